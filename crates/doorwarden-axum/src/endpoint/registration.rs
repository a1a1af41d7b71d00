use super::answer::{Answer, Created, Described, Json, WithCookies};
use super::login::Token;
use super::login_steps::{Asked, TokenAnswer, tokens};
use super::operation::{Anybody, AnybodyOrUser, Call, Data, user};
use super::receiver::Receiver;
use super::types::Types;
use crate::body::{Email, NewPassword, Username, Word};
use crate::error::ApiError;
use crate::extract::CurrentUser;
use crate::next_step::NextStep;
use crate::refresh_cookie::{self, Transport};
use axum::response::Response;
use doorwarden_core::error::FieldErrors;
use doorwarden_core::flow::invite::accept_invitation;
use doorwarden_core::flow::links;
use doorwarden_core::flow::register::{self, RegisterError, register};
use doorwarden_core::flow::verify_registration::{VerifyRegistration, verify_registration};
use doorwarden_core::settings::RegistrationMode;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Registration {
    email: Email,
    username: Username,
    password: NewPassword,
    /// Proof of work.
    #[serde(default)]
    altcha: Word,
}

pub(super) async fn post(call: Call<Anybody, Data<Registration>>) -> Result<Registered, ApiError> {
    let locale = call.locale();
    let receiver = Receiver::of(&call.auth, &call.parts, Transport::Body);
    let is_verified = call.auth.context().settings.registration.mode == RegistrationMode::Verified;
    let Data { fields: Registration { email, username, password, altcha }, others } = call.body;
    let client = receiver.client(altcha)?;
    let registration = register::Registration {
        email: email.0,
        username: username.0,
        password: password.0,
        others,
        client,
        locale,
    };
    match register(call.auth.context(), registration).await {
        Ok(registered) => Ok(Registered::Account(Token::of_login(registered.token, &receiver).map(Json))),
        Err(RegisterError::Pending(pending)) if is_verified => {
            Ok(Registered::Waiting(Json(NextStep::of(&pending))))
        }
        Err(error) => Err(error.into()),
    }
}

/// 201 with a token, or 202: the address must be proved first.
#[derive(Debug)]
pub(super) enum Registered {
    Account(WithCookies<Created<Token>>),
    Waiting(Asked),
}

impl Answer for Registered {
    fn describe(types: &mut Types) -> Vec<Described> {
        Created::<Token>::describe(types).into_iter().chain(Asked::describe(types)).collect()
    }

    fn respond(self) -> Response {
        match self {
            Self::Account(answer) => answer.respond(),
            Self::Waiting(answer) => answer.respond(),
        }
    }
}

/// `key`, or `login_token` and `code`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct VerifyEmail {
    /// Of the link.
    #[serde(default)]
    key: Word,
    #[serde(default)]
    login_token: Word,
    /// The code that was mailed.
    #[serde(default)]
    code: Word,
    /// The password of the account, where the link is opened without the login token of the registration.
    #[serde(default)]
    password: NewPassword,
}

pub(super) async fn verify(call: Call<Anybody, Data<VerifyEmail>>) -> Result<TokenAnswer<201>, ApiError> {
    let transport = refresh_cookie::transport(call.auth.settings(), &call.parts.headers)?;
    let receiver = Receiver::of(&call.auth, &call.parts, transport);
    let client = call.client();
    let VerifyEmail { key, login_token, code, password } = call.body.fields;
    let answer =
        links::Answer { key: key.0, login_token: login_token.0, code: code.0, ..links::Answer::default() };
    let request = VerifyRegistration { answer, password: password.0, client };
    tokens(verify_registration(call.auth.context(), request).await?, &receiver)
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Acceptance {
    /// Of the link.
    key: Word,
    username: Username,
    password: NewPassword,
}

pub(super) async fn accept(
    call: Call<AnybodyOrUser, Data<Acceptance>>,
) -> Result<WithCookies<Created<Token>>, ApiError> {
    // A token that is refused is nobody's.
    let who = match user(&call.auth, &call.parts).await {
        Ok(user) => Some(user),
        Err(error) if error.status().is_client_error() => None,
        Err(error) => return Err(error),
    };
    let who = who.as_ref().map(CurrentUser::authenticated);
    let receiver = Receiver::of(&call.auth, &call.parts, Transport::Body);
    let (client, locale) = (call.client(), call.locale());
    let Data { fields: Acceptance { key, username, password }, others } = call.body;
    let key = key.0.required().map_err(|complaint| ApiError::fields(FieldErrors::one("key", complaint)))?;
    let registration = register::Registration {
        username: username.0,
        password: password.0,
        others,
        client,
        locale,
        ..register::Registration::default()
    };
    let registered = accept_invitation(call.auth.context(), who, &key, registration).await?;
    Ok(Token::of_login(registered.token, &receiver).map(Json))
}
