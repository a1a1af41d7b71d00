//! Login without a password: a link and a code are mailed.

use super::alike::on_grid;
use super::pending::{Ask, Pending, PendingStep, State, WantedTokens, ask};
use super::rules;
use super::throttle::{self, throttled_as};
use crate::audit::{Actor, Origin};
use crate::challenge::ChallengePurpose;
use crate::context::Context;
use crate::error::{FieldErrors, Input};
use crate::limit::Throttled;
use crate::mail::{Locale, MailKind};
use crate::session::ClientInfo;
use crate::store::{CreateChallengeError, StoreError};
use serde_json::{Map, Value};
use std::time::Duration;

/// The contents of the request.
#[derive(Debug, Default)]
pub struct MailedLogin {
    /// The email address.
    pub email: Input<String>,
    /// What the login is for.
    pub tokens: WantedTokens,
    /// The language of whoever asks.
    pub locale: Option<Locale>,
    /// The client that sent the request.
    pub client: ClientInfo,
}

/// Why nothing was mailed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequestMailError {
    /// The input is not an email address.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// Too many mails were asked for before this one.
    #[error(transparent)]
    Throttled(Box<Throttled>),
    /// This service sends no mail.
    #[error("this service sends no mail")]
    NoMail,
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

throttled_as!(RequestMailError);

impl From<CreateChallengeError> for RequestMailError {
    fn from(error: CreateChallengeError) -> Self {
        match error {
            CreateChallengeError::Store(error) => Self::Store(error),
            CreateChallengeError::UsernameTaken => Self::Store(StoreError::failed(error)),
        }
    }
}

/// Mails a link and a code with which the user logs in. An address without an active account is answered
/// alike, after the same work: the same rows are written, and nothing is sent.
///
/// # Errors
/// [`RequestMailError`] if the input is not an email address, no mail can be sent, or the database operation
/// failed.
pub async fn request_login(context: &Context, login: MailedLogin) -> Result<Pending, RequestMailError> {
    let data = State::new(login.tokens.clone(), &[]).write();
    let lifetime = context.settings.mail.login_lifetime;
    request(context, login, (ChallengePurpose::LogIn, MailKind::LogIn), lifetime, data).await
}

/// Mails a link and a code for a purpose to the owner of an address, if there is one.
pub(super) async fn request(
    context: &Context,
    login: MailedLogin,
    (purpose, kind): (ChallengePurpose, MailKind),
    lifetime: Duration,
    data: Map<String, Value>,
) -> Result<Pending, RequestMailError> {
    if !context.outbox.is_open() {
        return Err(RequestMailError::NoMail);
    }
    let mut errors = FieldErrors::new();
    let Some(email) = rules::new_email(login.email, &mut errors) else {
        return Err(RequestMailError::Invalid(errors));
    };
    on_grid(async {
        let owner = context.store.user_by_email(&email.key()).await?.filter(|user| user.is_active);
        throttle::mail(context, &login.client, &email.key(), owner.as_ref()).await?;
        let origin = Origin::new(Actor::Anonymous, login.client);
        let asked = Ask {
            purpose,
            user: owner.as_ref(),
            // The mail goes to the address of the account, whoever typed it in another spelling.
            email: owner.as_ref().map_or(email, |owner| owner.email.clone()),
            lifetime,
            data,
            username_key: None,
            mail: Some(kind),
            is_decoy: owner.is_none(),
            locale: login.locale,
            spends: None,
        };
        let (login_token, expires_at) = ask(context, asked, &origin, None).await?;
        Ok(Pending { step: PendingStep::EmailCode, login_token, expires_in: expires_at.since(context.now()) })
    })
    .await
}
