use super::answer::{Json, WithCookies};
use super::operation::{Anybody, Call, Unread};
use super::token::{self, TokenPair};
use crate::body::Word;
use crate::error::ApiError;
use crate::refresh_cookie::{self, Transport};
use doorwarden_core::error::{FieldErrors, Input};
use doorwarden_core::flow::refresh_tokens::{RefreshError, refresh_tokens};
use http::header::SET_COOKIE;
use schemars::JsonSchema;
use serde::Deserialize;

/// A refresh token, unless it is a cookie.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Refresh {
    refresh: Word,
}

pub(super) async fn post(
    call: Call<Anybody, Unread<Refresh>>,
) -> Result<WithCookies<Json<TokenPair>>, ApiError> {
    let (settings, headers) = (call.auth.settings(), &call.parts.headers);
    let client = call.client();
    let cookie = refresh_cookie::read(settings, headers);
    let is_expected = refresh_cookie::is_expected(settings, headers);
    let fields = call.body.read_optional(&call.parts).await?.fields;
    let (token, transport) = match fields.refresh.0 {
        Input::Missing => (cookie?.ok_or_else(|| refresh_cookie::missing(is_expected))?, Transport::Cookie),
        given => {
            let token = given.required();
            let token =
                token.map_err(|complaint| ApiError::fields(FieldErrors::one("refresh", complaint)))?;
            (token, Transport::Body)
        }
    };
    match refresh_tokens(call.auth.context(), &token, client).await {
        Ok(pair) => Ok(token::answer(pair, None, transport)),
        Err(error) => Err(match transport {
            Transport::Cookie
                if !matches!(
                    error,
                    RefreshError::Sign(_) | RefreshError::Store(_) | RefreshError::Throttled(_)
                ) =>
            {
                refused(error).header(SET_COOKIE, refresh_cookie::remove())
            }
            _ => refused(error),
        }),
    }
}

fn refused(error: RefreshError) -> ApiError {
    match error {
        RefreshError::Sign(error) => error.into(),
        RefreshError::Store(error) => error.into(),
        RefreshError::Throttled(throttled) => (*throttled).into(),
        RefreshError::Reused => {
            let text = "Token was used before; its session has ended";
            ApiError::unauthorized("refresh_reused", text).showing_code()
        }
        RefreshError::Token(_) | RefreshError::Ended => {
            tracing::debug!(%error, "a refresh token was refused");
            ApiError::token_not_valid()
        }
    }
}
