//! Logins of more than one step, and those without a password.

use super::answer::{Json, NoContent, WithCookies};
use super::login::Token;
use super::operation::{Anybody, Call, Data};
use super::reauthenticate::Authentication;
use super::receiver::Receiver;
use super::token::{self, TokenPair};
use crate::auth::Auth;
use crate::body::{Email, NewPassword, Password, Texts, Word};
use crate::error::ApiError;
use crate::next_step::NextStep;
use crate::refresh_cookie::{self, Transport};
use doorwarden_core::challenge::Secret;
use doorwarden_core::error::{FieldError, FieldErrors, Input};
use doorwarden_core::flow::continue_login::{
    LoginTokens, Step, cancel_login, continue_login, pending_login, resend_mail,
};
use doorwarden_core::flow::links::{Answer, RedeemError};
use doorwarden_core::flow::log_in_by_mail::{MailedLogin, request_login};
use doorwarden_core::flow::pending::WantedTokens;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// 202 with the next step.
pub(super) type Asked = Json<NextStep, 202>;

/// What a login answers: a session token, or a token pair if that is what it was for. Of a session that was
/// authenticated once more: how and when.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(super) enum Tokens {
    Session(Token),
    Pair(TokenPair),
    Reauthenticated(Authentication),
}

/// Tokens with the status of the operation.
pub(super) type TokenAnswer<const STATUS: u16> = WithCookies<Json<Tokens, STATUS>>;

/// The same, or 204 where the steps were for a new password, which logs nobody in.
pub(super) type StepAnswer = WithCookies<Option<Json<Tokens>>>;

/// The result of a step as an answer.
pub(super) fn step(tokens: LoginTokens, receiver: &Receiver<'_>) -> StepAnswer {
    let json = |tokens| Some(Json(tokens));
    match tokens {
        LoginTokens::Session(issued) => {
            Token::of_login(issued, receiver).map(|token| json(Tokens::Session(token)))
        }
        LoginTokens::Pair(pair) => token::of_login(pair, receiver).map(|Json(pair)| json(Tokens::Pair(pair))),
        LoginTokens::Reauthenticated(auth) => {
            WithCookies(json(Tokens::Reauthenticated(auth.into())), Vec::new())
        }
        LoginTokens::PasswordReset => WithCookies(None, Vec::new()),
    }
}

/// The tokens as an answer.
pub(super) fn tokens<const STATUS: u16>(
    tokens: LoginTokens,
    receiver: &Receiver<'_>,
) -> Result<TokenAnswer<STATUS>, ApiError> {
    match step(tokens, receiver) {
        WithCookies(Some(Json(tokens)), cookie) => Ok(WithCookies(Json(tokens), cookie)),
        // A link or a registration is for no new password.
        WithCookies(None, _) => Err(RedeemError::LinkInvalid.into()),
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct EmailLogin {
    email: Email,
    /// `session`, the default, or `pair`.
    #[serde(default)]
    tokens: Word,
    /// Whom the access token of a pair is for (RFC 8707).
    #[serde(default)]
    resource: Texts,
    /// Proof of work.
    #[serde(default)]
    altcha: Word,
}

pub(super) async fn email(call: Call<Anybody, Data<EmailLogin>>) -> Result<Asked, ApiError> {
    let locale = call.locale();
    let EmailLogin { email, tokens, resource, altcha } = call.body.fields;
    let client = Receiver::of(&call.auth, &call.parts, Transport::Body).client(altcha)?;
    let tokens = wanted(&call.auth, tokens, resource)?;
    let login = MailedLogin { email: email.0, tokens, locale, client };
    let pending = request_login(call.auth.context(), login).await?;
    Ok(Json(NextStep::of(&pending)))
}

/// Which tokens a login is for.
pub(super) fn wanted(auth: &Auth, tokens: Word, resource: Texts) -> Result<WantedTokens, ApiError> {
    match tokens.0 {
        Input::Missing => Ok(WantedTokens::Session),
        Input::Given(word) if word == "session" => Ok(WantedTokens::Session),
        Input::Given(word) if word == "pair" => Ok(WantedTokens::pair(token::audience(auth, resource)?)),
        _ => {
            let complaint = FieldError::new("invalid_choice", "Send `session` or `pair`.");
            Err(ApiError::fields(FieldErrors::one("tokens", complaint)))
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct LoginStep {
    login_token: Word,
    /// `email_code`, `totp`, `recovery_code`, `password`, `new_password`, `cancel_deletion`, or `continue`
    /// after a step of the application's own.
    method: Word,
    /// The code that was mailed, that the authenticator app shows, or a recovery code.
    #[serde(default)]
    code: Word,
    /// The password of the account.
    #[serde(default)]
    password: Password,
    /// The password to be set.
    #[serde(default)]
    new_password: NewPassword,
}

pub(super) async fn verify(call: Call<Anybody, Data<LoginStep>>) -> Result<StepAnswer, ApiError> {
    let transport = refresh_cookie::transport(call.auth.settings(), &call.parts.headers)?;
    let receiver = Receiver::of(&call.auth, &call.parts, transport);
    let client = call.client();
    let LoginStep { login_token, method, code, password, new_password } = call.body.fields;
    let login_token = login_token.0;
    let required = |field, complaint| ApiError::fields(FieldErrors::one(field, complaint));
    let next = match method.0.required().map_err(|complaint| required("method", complaint))?.as_str() {
        "email_code" => {
            let code = code.0.required().map_err(|complaint| required("code", complaint))?;
            let code = Input::Given(code);
            Step::Mail(Answer { key: Input::Missing, login_token, code, ..Answer::default() })
        }
        "totp" => Step::Totp { login_token, code: code.0 },
        "recovery_code" => Step::RecoveryCode { login_token, code: code.0 },
        "password" => Step::Password { login_token, password: password.0 },
        "continue" => Step::Continue { login_token },
        "new_password" => Step::NewPassword { login_token, new_password: new_password.0 },
        "cancel_deletion" => Step::CancelDeletion { login_token },
        _ => {
            let text = "Send `email_code`, `totp`, `recovery_code`, `password`, `new_password`, `cancel_deletion` or `continue`.";
            return Err(required("method", FieldError::new("invalid_choice", text)));
        }
    };
    Ok(step(continue_login(call.auth.context(), next, client).await?, &receiver))
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct LinkLogin {
    key: Word,
    /// On the device that asked: the link then stands beside what was proved there.
    #[serde(default)]
    login_token: Word,
}

pub(super) async fn link(call: Call<Anybody, Data<LinkLogin>>) -> Result<TokenAnswer<200>, ApiError> {
    let transport = refresh_cookie::transport(call.auth.settings(), &call.parts.headers)?;
    let receiver = Receiver::of(&call.auth, &call.parts, transport);
    let client = call.client();
    let LinkLogin { key, login_token } = call.body.fields;
    let key = key.0.required().map_err(|complaint| ApiError::fields(FieldErrors::one("key", complaint)))?;
    let answer = Answer {
        key: Input::Given(key),
        login_token: login_token.0,
        code: Input::Missing,
        ..Answer::default()
    };
    tokens(continue_login(call.auth.context(), Step::Mail(answer), client).await?, &receiver)
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct PendingLogin {
    login_token: Word,
}

impl PendingLogin {
    fn token(self) -> Result<String, ApiError> {
        let complain = |complaint| ApiError::fields(FieldErrors::one("login_token", complaint));
        self.login_token.0.required().map_err(complain)
    }
}

/// The next step again, as an error like the first time.
pub(super) async fn state(call: Call<Anybody, Data<PendingLogin>>) -> Result<NoContent, ApiError> {
    let token = call.body.fields.token()?;
    let pending = pending_login(call.auth.context(), &token).await?;
    Err(ApiError::pending(&pending))
}

pub(super) async fn cancel(call: Call<Anybody, Data<PendingLogin>>) -> Result<NoContent, ApiError> {
    let client = call.client();
    let token = call.body.fields.token()?;
    if !token.trim().starts_with(Secret::LOGIN) {
        let complaint = FieldError::new("invalid", "Not a login token.");
        return Err(ApiError::fields(FieldErrors::one("login_token", complaint)));
    }
    match cancel_login(call.auth.context(), &token, client).await {
        // There is nothing to end.
        Ok(()) | Err(RedeemError::LoginExpired) => Ok(NoContent),
        Err(error) => Err(error.into()),
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Resending {
    login_token: Word,
    /// Proof of work.
    #[serde(default)]
    altcha: Word,
}

pub(super) async fn resend(call: Call<Anybody, Data<Resending>>) -> Result<Asked, ApiError> {
    let Resending { login_token, altcha } = call.body.fields;
    let client = Receiver::of(&call.auth, &call.parts, Transport::Body).client(altcha)?;
    let token = PendingLogin { login_token }.token()?;
    let pending = resend_mail(call.auth.context(), &token, client).await?;
    Ok(Json(NextStep::of(&pending)))
}
