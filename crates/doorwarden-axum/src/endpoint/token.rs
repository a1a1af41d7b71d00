use super::answer::{Json, WithCookies};
use super::operation::{AnybodyOrUser, Call, Data, Unread, user};
use super::receiver::Receiver;
use crate::auth::Auth;
use crate::body::{Email, Password, Texts, Word};
use crate::error::ApiError;
use crate::refresh_cookie::{self, Transport};
use doorwarden_core::error::Input;
use doorwarden_core::flow;
use doorwarden_core::flow::log_in::{Login, LoginError};
use doorwarden_core::flow::obtain_tokens::{
    InvalidTarget, ObtainTokensError, Resources, exchange_session_token, obtain_tokens,
};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct TokenLogin {
    email: Email,
    password: Password,
    /// Whom the access token is for (RFC 8707).
    #[serde(default)]
    resource: Texts,
    /// Proof of work.
    #[serde(default)]
    altcha: Word,
}

/// An access token and, unless it is a cookie, a refresh token.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TokenPair {
    access: String,
    /// Seconds.
    expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    refresh: Option<String>,
    /// Seconds.
    refresh_expires_in: i64,
    token_type: TokenType,
    /// Of a login: to be sent with later ones, as the header `X-Device-Token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    device_token: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
enum TokenType {
    Bearer,
}

type Answer = WithCookies<Json<TokenPair>>;

pub(super) async fn post(call: Call<AnybodyOrUser, Unread<TokenLogin>>) -> Result<Answer, ApiError> {
    let auth = &call.auth;
    let transport = refresh_cookie::transport(auth.settings(), &call.parts.headers)?;
    let receiver = Receiver::of(auth, &call.parts, transport);
    let client = call.client();
    let has_token = call.parts.headers.contains_key(AUTHORIZATION);
    let data = match has_token {
        true => call.body.read_optional(&call.parts).await?,
        false => call.body.read(&call.parts).await?,
    };
    let Data { fields: TokenLogin { email, password, resource, altcha }, others } = data;
    let is_empty = matches!((&email.0, &password.0), (Input::Missing, Input::Missing)) && others.is_empty();
    if !(has_token && is_empty) {
        let audience = audience(auth, resource)?;
        let client = receiver.client(altcha)?;
        let login = Login { email: email.0, password: password.0, client };
        return match obtain_tokens(auth.context(), login, audience).await {
            Ok((_, pair)) => Ok(of_login(pair, &receiver)),
            Err(ObtainTokensError::Login(LoginError::WrongCredentials)) => Err(no_active_account()),
            Err(ObtainTokensError::Login(error)) => Err(error.into()),
            Err(ObtainTokensError::Sign(error)) => Err(error.into()),
        };
    }
    let user = user(auth, &call.parts).await?;
    let audience = audience(auth, resource)?;
    let pair = exchange_session_token(auth.context(), user.authenticated(), audience, client).await?;
    Ok(answer(pair, None, transport))
}

/// Whom a token is asked for.
pub(super) fn audience(auth: &Auth, resource: Texts) -> Result<Option<Resources>, ApiError> {
    let named = resource.0.ok_or(InvalidTarget)?;
    Ok(Resources::of(&auth.context().settings.access, &named)?)
}

/// SimpleJWT's words and shape.
fn no_active_account() -> ApiError {
    let text = "No active account found with the given credentials";
    ApiError::detail(StatusCode::UNAUTHORIZED, "no_active_account", text)
        .showing_code()
        .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"api\""))
}

/// The pair of a login as an answer, with the mark of the device.
pub(super) fn of_login(pair: flow::TokenPair, receiver: &Receiver<'_>) -> Answer {
    let (device_token, cookie) = receiver.device(pair.user);
    let WithCookies(pair, mut cookies) = answer(pair, device_token, receiver.transport);
    cookies.extend(cookie);
    WithCookies(pair, cookies)
}

/// A pair as an answer.
pub(super) fn answer(pair: flow::TokenPair, device_token: Option<String>, transport: Transport) -> Answer {
    let is_cookie = transport == Transport::Cookie;
    let cookie = is_cookie.then(|| refresh_cookie::set(&pair.refresh, pair.refresh_expires_in));
    let body = TokenPair {
        access: pair.access,
        expires_in: pair.expires_in,
        refresh: (!is_cookie).then_some(pair.refresh),
        refresh_expires_in: pair.refresh_expires_in,
        token_type: TokenType::Bearer,
        device_token,
    };
    WithCookies(Json(body), cookie.into_iter().collect())
}
