use super::answer::{Json, NoContent};
use super::operation::Anybody;
use super::operation::{AnybodyOrUser, Call, Data, Recent, user};
use crate::body::{Email, Word};
use crate::error::ApiError;
use crate::extract::CurrentUser;
use doorwarden_core::context::Context;
use doorwarden_core::error::FieldErrors;
use doorwarden_core::flow::change_email::{
    PendingEmail, cancel_email_change, confirm_email_change, pending_email, request_email_change,
    revert_email_change,
};
use doorwarden_core::user::User;
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct EmailChange {
    email: Email,
}

/// The change that waits to be confirmed, or `null`.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EmailChangeState {
    pending: Option<NewEmail>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
struct NewEmail {
    email: String,
    /// Seconds.
    expires_in: u64,
}

impl EmailChangeState {
    fn of(pending: Option<PendingEmail>, context: &Context) -> Self {
        let pending = pending.map(|pending| NewEmail {
            email: pending.email.as_str().to_owned(),
            expires_in: pending.expires_at.since(context.now()).as_secs(),
        });
        Self { pending }
    }
}

pub(super) async fn post(
    call: Call<Recent, Data<EmailChange>>,
) -> Result<Json<EmailChangeState, 202>, ApiError> {
    let (client, context) = (call.client(), call.auth.context());
    let (who, email) = (call.caller.0.authenticated(), call.body.fields.email.0);
    let pending = request_email_change(context, who, email, client).await?;
    Ok(Json(EmailChangeState::of(Some(pending), context)))
}

pub(super) async fn get(call: Call<CurrentUser>) -> Result<Json<EmailChangeState>, ApiError> {
    let context = call.auth.context();
    let pending = pending_email(context, call.caller.authenticated()).await?;
    Ok(Json(EmailChangeState::of(pending, context)))
}

pub(super) async fn delete(call: Call<CurrentUser>) -> Result<NoContent, ApiError> {
    let client = call.client();
    match cancel_email_change(call.auth.context(), call.caller.authenticated(), client).await? {
        true => Ok(NoContent),
        false => Err(ApiError::not_found()),
    }
}

/// `key`, or with a token of the user `code`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct EmailChangeConfirm {
    /// Of the link.
    #[serde(default)]
    key: Word,
    /// The code that was mailed.
    #[serde(default)]
    code: Word,
}

/// The email address of the account.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EmailOfAccount {
    email: String,
}

impl From<User> for EmailOfAccount {
    fn from(user: User) -> Self {
        Self { email: user.email.as_str().to_owned() }
    }
}

pub(super) async fn confirm(
    call: Call<AnybodyOrUser, Data<EmailChangeConfirm>>,
) -> Result<Json<EmailOfAccount>, ApiError> {
    let client = call.client();
    let who = match call.parts.headers.contains_key(AUTHORIZATION) {
        true => Some(user(&call.auth, &call.parts).await?),
        false => None,
    };
    let who = who.as_ref().map(CurrentUser::authenticated);
    let EmailChangeConfirm { key, code } = call.body.fields;
    let user = confirm_email_change(call.auth.context(), who, key.0, code.0, client).await?;
    Ok(Json(user.into()))
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct EmailChangeRevert {
    /// Of the link that the old address got.
    key: Word,
}

pub(super) async fn revert(
    call: Call<Anybody, Data<EmailChangeRevert>>,
) -> Result<Json<EmailOfAccount>, ApiError> {
    let client = call.client();
    let complain = |complaint| ApiError::fields(FieldErrors::one("key", complaint));
    let key = call.body.fields.key.0.required().map_err(complain)?;
    Ok(Json(revert_email_change(call.auth.context(), &key, client).await?.into()))
}
