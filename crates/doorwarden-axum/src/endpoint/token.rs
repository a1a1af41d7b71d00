use super::{Operation, Resource, json, read, user};
use crate::auth::Auth;
use crate::error::ApiError;
use crate::refresh_cookie::{self, Transport};
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::Response;
use doorwarden_core::flow::log_in::Login;
use doorwarden_core::flow::obtain_tokens::{ExchangeError, exchange_session_token, obtain_tokens};
use doorwarden_core::flow::{FlowError, TokenPair};
use http::header::{AUTHORIZATION, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;

pub(super) fn resource() -> Resource {
    let operation = Operation {
        method: Method::POST,
        id: "create_token",
        summary: "Log in for an access token and a refresh token. With a session token and no body: a pair for its session.",
        authenticated: false,
        body: Some("Login"),
        answers: &[
            (200, "Logged in.", Some("TokenPair")),
            (400, "A field is wrong.", Some("FieldErrors")),
            (
                401,
                "Address and password do not belong together, or the session token is refused.",
                Some("Detail"),
            ),
            (403, "With the refresh cookie: another site sent the request.", Some("Detail")),
            (503, "Too busy, or the database is not available.", Some("Detail")),
        ],
        handler: |auth, request| Box::pin(post(auth, request)),
    };
    Resource { endpoint: Endpoint::Token, operations: vec![operation] }
}

async fn post(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let transport = refresh_cookie::transport(auth.settings(), request.headers())?;
    let has_body = !http_body::Body::is_end_stream(request.body());
    if !has_body && request.headers().contains_key(AUTHORIZATION) {
        let user = user(&auth, &request).await?;
        let pair = exchange_session_token(auth.context(), user.authenticated()).await;
        return Ok(answer(
            &pair.map_err(|error| match error {
                ExchangeError::Token(error) => ApiError::from(error),
                ExchangeError::Flow(error) => error.into(),
            })?,
            transport,
        ));
    }
    let (client, mut fields) = read(&auth, request).await?;
    let login = Login { email: fields.text("email"), password: fields.text("password"), client };
    match obtain_tokens(auth.context(), login).await {
        Ok((_, pair)) => Ok(answer(&pair, transport)),
        Err(FlowError::WrongCredentials) => Err(no_active_account()),
        Err(error) => Err(error.into()),
    }
}

/// SimpleJWT's words and shape.
fn no_active_account() -> ApiError {
    let text = "No active account found with the given credentials";
    ApiError::detail(StatusCode::UNAUTHORIZED, "no_active_account", text)
        .showing_code()
        .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"api\""))
}

#[derive(Serialize)]
struct Pair<'a> {
    access: &'a str,
    expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh: Option<&'a str>,
    refresh_expires_in: i64,
    token_type: &'static str,
}

/// A pair as an answer.
pub(super) fn answer(pair: &TokenPair, transport: Transport) -> Response {
    let body = Pair {
        access: &pair.access,
        expires_in: pair.expires_in,
        refresh: (transport == Transport::Body).then_some(&pair.refresh),
        refresh_expires_in: pair.refresh_expires_in,
        token_type: "Bearer",
    };
    let mut response = json(StatusCode::OK, serde_json::to_vec(&body).expect("texts and numbers are JSON"));
    if transport == Transport::Cookie {
        let cookie = refresh_cookie::set(&pair.refresh, pair.refresh_expires_in);
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}
