use super::answer::{NoContent, WithCookies};
use super::operation::{Anybody, Call, Unread};
use crate::body::Word;
use crate::error::ApiError;
use crate::refresh_cookie;
use doorwarden_core::error::{FieldErrors, Input};
use doorwarden_core::flow::revoke_token::{RevokeError, Revoker, revoke_token};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

/// A token of any kind, unless a refresh token is a cookie.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(extend("additionalProperties" = false, "minProperties" = 1))]
pub(super) struct Revocation {
    #[serde(default)]
    refresh: Word,
    #[serde(default)]
    token: Word,
}

pub(super) async fn post(
    call: Call<Anybody, Unread<Revocation>>,
) -> Result<WithCookies<NoContent>, ApiError> {
    let client = call.client();
    let fields = call.body.read_optional(&call.parts).await?.fields;
    let given = match fields.refresh.0 {
        Input::Missing => fields.token.0,
        given => given,
    };
    let (token, cookie) = match given {
        Input::Missing => {
            let (settings, headers) = (call.auth.settings(), &call.parts.headers);
            let cookie = refresh_cookie::read(settings, headers)?;
            let is_expected = refresh_cookie::is_expected(settings, headers);
            (cookie.ok_or_else(|| refresh_cookie::missing(is_expected))?, Some(refresh_cookie::remove()))
        }
        given => {
            let token = given.required();
            let token =
                token.map_err(|complaint| ApiError::fields(FieldErrors::one("refresh", complaint)))?;
            (token, None)
        }
    };
    revoke_token(call.auth.context(), &token, Revoker::Holder, client).await?;
    Ok(WithCookies(NoContent, cookie.into_iter().collect()))
}

impl From<RevokeError> for ApiError {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Token(refused) => {
                tracing::debug!(reason = refused.code(), "a token was not revoked");
                Self::token_not_valid()
            }
            RevokeError::WithoutSession => {
                let text = "This token names no session and cannot be revoked by itself.";
                Self::detail(StatusCode::BAD_REQUEST, "token_without_session", text).showing_code()
            }
            RevokeError::Store(error) => error.into(),
        }
    }
}
