//! The operations of the [table](crate::table), from which the router, the OpenAPI document, the table of
//! docs/http.md and the requests of deploy/postman.json are generated.
//!
//! A row has, for each method of the endpoint, the handler, whose type determines the caller, the body and
//! the response; the descriptions of the responses; and the errors, besides those that follow from the caller
//! and the body.

mod answer;
mod config;
mod docs;
mod email_change;
mod events;
mod export;
mod factors;
mod health;
mod invitations;
mod jwks;
mod links;
mod login;
mod login_steps;
mod logout;
mod me;
mod metadata;
mod oauth;
mod openapi;
mod operation;
mod pages;
mod passkeys;
mod password;
mod password_reset;
mod pow;
mod problem;
mod reauthenticate;
mod receiver;
mod registration;
mod revocations;
mod route;
mod service;
mod sessions;
mod token;
mod token_refresh;
mod token_revoke;
mod token_verify;
mod types;

use crate::extract::CurrentUser;
use crate::settings::Endpoint;
use answer::{Created, Document, Json, NoContent, Page, Rendered, WithCookies};
use doorwarden_core::challenge::ChallengeId;
use doorwarden_core::factor::FactorId;
use doorwarden_core::limit::proof_of_work::{WorkChallenge, WorkPurpose};
use doorwarden_core::session::SessionId;
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use doorwarden_core::view::{EventView, OwnEventView};
use doorwarden_core::webauthn::{CreationOptions, RequestOptions};
use http::Method;
use operation::{
    Anybody, AnybodyOrUser, Auditing, Data, Inviting, Operation, Permitted, Recent, RecentUserOrLogin,
    Service, Unread, operation,
};

/// What the answers of a page mean.
const PAGE: &[&str] = &[
    "The page.",
    "The page says what is wrong with the link or the form.",
    "The form was sent by another page.",
    "The page says that there were too many attempts, and when to try again.",
    "The page says that the service is not available at the moment.",
];

macro_rules! operations {
    ($($endpoint:ident, $label:literal, $path:literal: [$($operation:expr),+ $(,)?];)+) => {
        /// The operations of an endpoint, one for each method.
        fn operations(endpoint: Endpoint) -> Vec<Operation> {
            match endpoint {
                $(Endpoint::$endpoint => vec![$($operation),+]),+
            }
        }
    };
}

crate::table::endpoint_table!(operations);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use types::Types;

    #[test]
    fn each_answer_of_an_operation_has_a_meaning() {
        for operation in Endpoint::ALL.into_iter().flat_map(operations) {
            let described = (operation.answers)(&mut Types::default());
            assert_eq!(described.len(), operation.meanings.len(), "{}", operation.id);
        }
    }

    #[test]
    fn ids_are_unique() {
        let ids: Vec<_> = Endpoint::ALL.into_iter().flat_map(operations).map(|o| o.id).collect();
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "{ids:?}");
    }
}
