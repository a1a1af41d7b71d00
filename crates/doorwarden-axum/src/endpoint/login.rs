use super::answer::{Json, WithCookies};
use super::operation::{Anybody, Call, Data};
use super::receiver::Receiver;
use crate::body::{Email, Password, Word};
use crate::error::ApiError;
use crate::refresh_cookie::Transport;
use doorwarden_core::flow::IssuedToken;
use doorwarden_core::flow::log_in::{self, log_in};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Login {
    email: Email,
    password: Password,
    /// A solution of the challenge that an answer with the status 429 had: proof of work.
    #[serde(default)]
    altcha: Word,
}

/// A session token.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Token {
    token: String,
    /// Of a login: to be sent with later ones, as the header `X-Device-Token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    device_token: Option<String>,
}

impl From<IssuedToken> for Token {
    fn from(issued: IssuedToken) -> Self {
        Self { token: issued.token, device_token: None }
    }
}

impl Token {
    /// The token of a login, with the mark of the device in the answer and in a cookie.
    pub(super) fn of_login(issued: IssuedToken, receiver: &Receiver<'_>) -> WithCookies<Self> {
        let (device_token, cookie) = receiver.device(issued.user);
        WithCookies(Self { device_token, ..issued.into() }, cookie.into_iter().collect())
    }
}

pub(super) async fn post(call: Call<Anybody, Data<Login>>) -> Result<WithCookies<Json<Token>>, ApiError> {
    let receiver = Receiver::of(&call.auth, &call.parts, Transport::Body);
    let Login { email, password, altcha } = call.body.fields;
    let login = log_in::Login { email: email.0, password: password.0, client: receiver.client(altcha)? };
    let (_, issued) = log_in(call.auth.context(), login).await?;
    Ok(Token::of_login(issued, &receiver).map(Json))
}
