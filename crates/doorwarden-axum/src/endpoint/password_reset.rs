use super::answer::{Json, NoContent};
use super::login_steps::Asked;
use super::operation::{Anybody, Call, Data};
use super::receiver::Receiver;
use crate::body::{Email, NewPassword, Word};
use crate::error::ApiError;
use crate::next_step::NextStep;
use crate::refresh_cookie::Transport;
use doorwarden_core::flow::links::Answer;
use doorwarden_core::flow::log_in_by_mail::MailedLogin;
use doorwarden_core::flow::pending::WantedTokens;
use doorwarden_core::flow::reset_password::{self, request_reset, reset_password};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct PasswordReset {
    email: Email,
    /// Proof of work.
    #[serde(default)]
    altcha: Word,
}

pub(super) async fn ask(call: Call<Anybody, Data<PasswordReset>>) -> Result<Asked, ApiError> {
    let locale = call.locale();
    let PasswordReset { email, altcha } = call.body.fields;
    let client = Receiver::of(&call.auth, &call.parts, Transport::Body).client(altcha)?;
    let asked = MailedLogin { email: email.0, tokens: WantedTokens::Session, locale, client };
    let pending = request_reset(call.auth.context(), asked).await?;
    Ok(Json(NextStep::of(&pending)))
}

/// `key`, or `login_token` and `code`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct PasswordResetConfirm {
    new_password: NewPassword,
    /// Of the link.
    #[serde(default)]
    key: Word,
    #[serde(default)]
    login_token: Word,
    /// The code that was mailed.
    #[serde(default)]
    code: Word,
}

pub(super) async fn confirm(call: Call<Anybody, Data<PasswordResetConfirm>>) -> Result<NoContent, ApiError> {
    let client = call.client();
    let PasswordResetConfirm { new_password, key, login_token, code } = call.body.fields;
    let answer = Answer { key: key.0, login_token: login_token.0, code: code.0, ..Answer::default() };
    let request = reset_password::ResetPassword { answer, new_password: new_password.0, client };
    reset_password(call.auth.context(), request).await?;
    Ok(NoContent)
}
