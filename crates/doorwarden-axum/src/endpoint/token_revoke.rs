use super::{Operation, Resource};
use crate::auth::Auth;
use crate::body::Fields;
use crate::error::ApiError;
use crate::refresh_cookie;
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use doorwarden_core::error::{FieldErrors, Input};
use doorwarden_core::flow::revoke_token::{RevokeError, revoke_token};
use doorwarden_core::session::EndReason;
use http::header::SET_COOKIE;
use http::{Method, StatusCode};

pub(super) fn resource() -> Resource {
    let operation = Operation {
        method: Method::POST,
        id: "delete_token",
        summary: "End the session of a token: refresh, access or session token.",
        authenticated: false,
        body: Some("Revocation"),
        answers: &[
            (204, "Ended, now or before.", None),
            (400, "The token is missing, or names no session.", Some("FieldErrors")),
            (
                401,
                "It is no token that counts, or the browser sent no cookie (code refresh_cookie_missing).",
                Some("Detail"),
            ),
            (403, "With the refresh cookie: another site sent the request.", Some("Detail")),
        ],
        handler: |auth, request| Box::pin(post(auth, request)),
    };
    Resource { endpoint: Endpoint::TokenRevoke, operations: vec![operation] }
}

async fn post(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let mut fields = Fields::read_optional(request).await?;
    let given = match fields.text("refresh") {
        Input::Missing => fields.text("token"),
        given => given,
    };
    let (token, has_cookie) = match given {
        Input::Missing => {
            let cookie = refresh_cookie::read(auth.settings(), &headers)?;
            let is_expected = refresh_cookie::is_expected(auth.settings(), &headers);
            (cookie.ok_or_else(|| refresh_cookie::missing(is_expected))?, true)
        }
        given => {
            let token = given.required();
            let token =
                token.map_err(|complaint| ApiError::fields(FieldErrors::one("refresh", complaint)))?;
            (token, false)
        }
    };
    revoke_token(auth.context(), &token, EndReason::LoggedOut).await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if has_cookie {
        response.headers_mut().insert(SET_COOKIE, refresh_cookie::remove());
    }
    Ok(response)
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
