use super::{Operation, Resource, token};
use crate::auth::Auth;
use crate::body::Fields;
use crate::client::client_info;
use crate::error::ApiError;
use crate::refresh_cookie::{self, Transport};
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::Response;
use doorwarden_core::error::{FieldErrors, Input};
use doorwarden_core::flow::refresh_tokens::{RefreshError, refresh_tokens};
use http::Method;
use http::header::SET_COOKIE;

pub(super) fn resource() -> Resource {
    let operation = Operation {
        method: Method::POST,
        id: "update_token",
        summary: "Exchange a refresh token for a new pair. The one before the newest gives the newest again, free within the grace; the third late one and an older one end the session.",
        authenticated: false,
        body: Some("Refresh"),
        answers: &[
            (200, "The new pair.", Some("TokenPair")),
            (400, "The refresh token is missing.", Some("FieldErrors")),
            (
                401,
                "The token is not valid (code token_not_valid), was used before (code refresh_reused), or the browser sent no cookie (code refresh_cookie_missing).",
                Some("Detail"),
            ),
            (403, "With the refresh cookie: another site sent the request.", Some("Detail")),
        ],
        handler: |auth, request| Box::pin(post(auth, request)),
    };
    Resource { endpoint: Endpoint::TokenRefresh, operations: vec![operation] }
}

async fn post(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let cookie = refresh_cookie::read(auth.settings(), request.headers());
    let is_expected = refresh_cookie::is_expected(auth.settings(), request.headers());
    let (parts, body) = request.into_parts();
    let client = client_info(&parts, auth.settings());
    let mut fields = Fields::read_optional(Request::from_parts(parts, body)).await?;
    let (token, transport) = match fields.text("refresh") {
        Input::Missing => (cookie?.ok_or_else(|| refresh_cookie::missing(is_expected))?, Transport::Cookie),
        given => {
            let token = given.required();
            let token =
                token.map_err(|complaint| ApiError::fields(FieldErrors::one("refresh", complaint)))?;
            (token, Transport::Body)
        }
    };
    match refresh_tokens(auth.context(), &token, client).await {
        Ok(pair) => Ok(token::answer(&pair, transport)),
        Err(error) => Err(match transport {
            Transport::Cookie if !matches!(error, RefreshError::Flow(_)) => {
                refused(error).header(SET_COOKIE, refresh_cookie::remove())
            }
            _ => refused(error),
        }),
    }
}

fn refused(error: RefreshError) -> ApiError {
    match error {
        RefreshError::Flow(error) => error.into(),
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
