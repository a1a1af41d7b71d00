//! The table of operations, one row for each endpoint. The router, the OpenAPI document, the table of
//! docs/http.md and the requests of deploy/postman.json are generated from this table and from the names and
//! paths of [`Endpoint`].
//!
//! A row has, for each method of the endpoint, the handler, whose type determines the caller, the body and
//! the response; the descriptions of the responses; and the errors, besides those that follow from the caller
//! and the body.

mod answer;
mod docs;
mod health;
mod jwks;
mod login;
mod logout;
mod me;
mod metadata;
mod oauth;
mod openapi;
mod operation;
mod password;
mod problem;
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
use answer::{Created, Document, Json, NoContent, Page, Rendered, WithCookie};
use doorwarden_core::session::SessionId;
use http::Method;
use operation::{Anybody, AnybodyOrUser, Data, Operation, Service, Unread, operation};

macro_rules! operations {
    ($($endpoint:ident: [$($operation:expr),+ $(,)?];)+) => {
        /// The operations of an endpoint, one for each method.
        fn operations(endpoint: Endpoint) -> Vec<Operation> {
            match endpoint {
                $(Endpoint::$endpoint => vec![$($operation),+]),+
            }
        }
    };
}

operations! {
    Registration: [
        operation::<Anybody, Data<registration::Registration>, Created<login::Token>>(
            Method::POST, "create_account", "Create an account and log in to it.", registration::post,
        )
        .answers(&["The account was created."])
        .errors(&[problem::BUSY, problem::STOPPING]),
    ];
    Login: [
        operation::<Anybody, Data<login::Login>, Json<login::Token>>(
            Method::POST, "create_login", "Log in with an email address and a password.", login::post,
        )
        .answers(&["Logged in."])
        .errors(&[problem::WRONG_CREDENTIALS, problem::BUSY, problem::STOPPING]),
    ];
    Me: [
        operation::<CurrentUser, (), Rendered<me::User>>(
            Method::GET, "read_me", "The user of the token.", me::get,
        )
        .answers(&["The user."]),
        operation::<CurrentUser, Data<me::WholeProfile>, Rendered<me::User>>(
            Method::PUT, "replace_me", "As PATCH, with everything that a registration must give.", me::put,
        )
        .answers(&["The updated user."])
        .errors(&[problem::READ_ONLY]),
        operation::<CurrentUser, Data<me::Profile>, Rendered<me::User>>(
            Method::PATCH,
            "update_me",
            "Change the username or the fields that a user may write. What is not sent stays as it is.",
            me::patch,
        )
        .answers(&["The updated user."])
        .errors(&[problem::READ_ONLY]),
        operation::<CurrentUser, Data<me::Confirmation>, NoContent>(
            Method::DELETE, "delete_me", "Delete the account. Asks for the password.", me::delete,
        )
        .answers(&["The account was deleted."])
        .errors(&[problem::WRONG_PASSWORD, problem::BUSY, problem::STOPPING]),
    ];
    Logout: [
        operation::<CurrentUser, (), NoContent>(
            Method::POST,
            "delete_login",
            "End this session, or with ?scope=others or ?scope=all the others or all.",
            logout::post,
        )
        .query::<logout::Scope>("scope", "Which sessions end.")
        .answers(&["The sessions have ended."])
        .errors(&[problem::INVALID_SCOPE]),
    ];
    PasswordChange: [
        operation::<CurrentUser, Data<password::PasswordChange>, Option<Json<login::Token>>>(
            Method::POST, "update_password", "Change the password. Ends the other sessions.", password::post,
        )
        .answers(&["Changed; the caller's own session has ended too, so here is a new token.", "Changed."])
        .errors(&[problem::WRONG_PASSWORD, problem::BUSY, problem::STOPPING]),
    ];
    Sessions: [
        operation::<CurrentUser, (), Page<sessions::UserSession<'static>>>(
            Method::GET,
            "list_sessions",
            "The sessions of the user, the newest 100; the one of the token is marked. The header `Link` leads to the next page.",
            sessions::get,
        )
        .query::<String>("cursor", "Where the page begins, of the header `Link`.")
        .answers(&["The sessions."])
        .errors(&[problem::INVALID_CURSOR]),
    ];
    Session: [
        operation::<CurrentUser, (), NoContent>(
            Method::DELETE, "delete_session", "End a session of the user.", sessions::delete,
        )
        .path::<SessionId>("id", "The id of a session.")
        .answers(&["The session has ended."])
        .errors(&[problem::NO_SESSION]),
    ];
    Token: [
        operation::<AnybodyOrUser, Unread<token::TokenLogin>, WithCookie<Json<token::TokenPair>>>(
            Method::POST,
            "create_token",
            "Log in for an access token and a refresh token. With a session token and no body: a pair for its session, whose refresh token is newer than any before.",
            token::post,
        )
        .body_optional()
        .answers(&["Logged in."])
        .errors(&[
            problem::INVALID_TARGET, problem::COOKIE_CROSS_SITE, problem::NO_ACTIVE_ACCOUNT, problem::TOKEN_NOT_EXCHANGED, problem::CSRF_FAILED, problem::BUSY, problem::STOPPING,
        ]),
    ];
    TokenRefresh: [
        operation::<Anybody, Unread<token_refresh::Refresh>, WithCookie<Json<token::TokenPair>>>(
            Method::POST,
            "update_token",
            "Exchange a refresh token for a new pair. The one before the newest gives the newest again, free within the grace; the third late one and an older one end the session.",
            token_refresh::post,
        )
        .answers(&["The new pair."])
        .errors(&[problem::TOKEN_NOT_VALID, problem::REFRESH_REUSED, problem::COOKIE_MISSING, problem::CSRF_FAILED, problem::STOPPING]),
    ];
    TokenVerify: [
        operation::<Anybody, Data<token_verify::TokenInBody>, Json<token_verify::Nothing>>(
            Method::POST, "verify_token", "Whether a token of any kind is valid at this moment.", token_verify::post,
        )
        .answers(&["The token is valid."])
        .errors(&[problem::TOKEN_NOT_VALID]),
    ];
    TokenRevoke: [
        operation::<Anybody, Unread<token_revoke::Revocation>, WithCookie<NoContent>>(
            Method::POST,
            "delete_token",
            "End the session of a token: refresh, access or session token.",
            token_revoke::post,
        )
        .answers(&["The session has ended, now or before."])
        .errors(&[problem::TOKEN_WITHOUT_SESSION, problem::TOKEN_NOT_VALID, problem::COOKIE_MISSING, problem::CSRF_FAILED]),
    ];
    OauthRevoke: [
        operation::<Service, Unread<oauth::TokenInForm>, Json<token_verify::Nothing>>(
            Method::POST, "revoke_for_client", "Revoke a token and its session (RFC 7009).", oauth::revoke,
        )
        .form()
        .answers(&["The token is not valid, whether it was before or not."])
        .errors(&[problem::OAUTH_INVALID_REQUEST, problem::OAUTH_UNSUPPORTED_TOKEN, problem::OAUTH_INVALID_CLIENT]),
    ];
    OauthIntrospect: [
        operation::<Service, Unread<oauth::TokenInForm>, Json<oauth::Introspection>>(
            Method::POST,
            "introspect_for_client",
            "Whether a token is valid at this moment, and what it says (RFC 7662).",
            oauth::introspect,
        )
        .form()
        .answers(&["What is known of the token, or only that it is not active."])
        .errors(&[problem::OAUTH_INVALID_REQUEST, problem::OAUTH_INVALID_CLIENT]),
    ];
    Jwks: [
        operation::<Anybody, (), Document<jwks::KeySet>>(
            Method::GET,
            "read_keys",
            "The public keys that access tokens and revocation statements are verified with (RFC 7517).",
            jwks::get,
        )
        .answers(&["The key set.", "It has not changed."]),
    ];
    Metadata: [
        operation::<Anybody, (), Document<metadata::Metadata>>(
            Method::GET, "read_metadata", "Where the endpoints are, and what they support (RFC 8414).", metadata::get,
        )
        .answers(&["The metadata.", "It has not changed."]),
    ];
    OpenIdConfiguration: [
        operation::<Anybody, (), Document<metadata::Metadata>>(
            Method::GET, "read_openid_configuration", "The same where OpenID Connect looks for it.", metadata::get,
        )
        .answers(&["The metadata.", "It has not changed."]),
    ];
    Revocations: [
        operation::<Anybody, (), Document<revocations::Statement>>(
            Method::GET, "read_revocations", "What was revoked lately, as a signed statement.", revocations::get,
        )
        .answers(&["The statement, a compact JWS.", "It has not changed."]),
    ];
    RevocationStream: [
        operation::<Anybody, (), revocations::EventStream>(
            Method::GET,
            "stream_revocations",
            "The statement now, and a new one whenever something is revoked, at least every five seconds.",
            revocations::stream,
        )
        .answers(&["Server-sent events named `revocations`."])
        .errors(&[problem::TOO_MANY_STREAMS]),
    ];
    OpenApi: [
        operation::<Anybody, (), Document<docs::OpenApi>>(
            Method::GET, "read_openapi", "This document.", docs::openapi,
        )
        .answers(&["The OpenAPI document.", "It has not changed."]),
    ];
    Docs: [
        operation::<Anybody, (), docs::Page>(
            Method::GET, "read_docs", "An interactive page about this interface.", docs::page,
        )
        .answers(&["The page."]),
    ];
    Health: [
        operation::<Anybody, (), Json<health::Status>>(
            Method::GET, "read_health", "Whether the process answers.", health::alive,
        )
        .answers(&["The process is up."]),
    ];
    Ready: [
        operation::<Anybody, (), health::Ready>(
            Method::GET,
            "read_readiness",
            "Whether the service can work: the database answers, and holds what requests need. An answer is up to 250 ms old.",
            health::ready,
        )
        .answers(&["Ready.", "Not ready."]),
    ];
}

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
