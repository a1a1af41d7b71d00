use super::{Operation, Resource, json, read, user_of};
use crate::auth::Auth;
use crate::body::Fields;
use crate::client::client_info;
use crate::error::ApiError;
use crate::extract::CurrentUser;
use crate::refresh_cookie::{self, Transport};
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::Response;
use doorwarden_core::flow::log_in::Login;
use doorwarden_core::flow::obtain_tokens::{ExchangeError, Resources, exchange_session_token, obtain_tokens};
use doorwarden_core::flow::{FlowError, TokenPair};
use doorwarden_core::session::ClientInfo;
use http::header::{AUTHORIZATION, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;

pub(super) fn resource() -> Resource {
    let operation = Operation {
        method: Method::POST,
        id: "create_token",
        summary: "Log in for an access token and a refresh token. With a session token and no body: a pair for its session, whose refresh token is newer than any before.",
        authenticated: false,
        body: Some("TokenLogin"),
        answers: &[
            (200, "Logged in.", Some("TokenPair")),
            (
                400,
                "A field is wrong, the resource is none (code invalid_target), or the browser would drop the refresh cookie (code refresh_cookie_cross_site).",
                Some("FieldErrors"),
            ),
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
    if !request.headers().contains_key(AUTHORIZATION) {
        let (client, mut fields) = read(&auth, request).await?;
        let resources = fields.texts("resource");
        return log_in(&auth, client, fields, resources, transport).await;
    }
    let (parts, body) = request.into_parts();
    let client = client_info(&parts, auth.settings());
    let (headers, known) = (parts.headers.clone(), CurrentUser::found(&parts.extensions, &auth));
    let mut fields = Fields::read_optional(Request::from_parts(parts, body)).await?;
    let resources = fields.texts("resource");
    if !fields.is_empty() {
        return log_in(&auth, client, fields, resources, transport).await;
    }
    let user = user_of(&auth, known, &headers).await?;
    let audience = audience(&auth, resources)?;
    match exchange_session_token(auth.context(), user.authenticated(), audience).await {
        Ok(pair) => Ok(answer(&pair, transport)),
        Err(ExchangeError::Token(error)) => Err(error.into()),
        Err(ExchangeError::Flow(error)) => Err(error.into()),
    }
}

/// Whom a token is asked for.
fn audience(auth: &Auth, named: Option<Vec<String>>) -> Result<Option<Resources>, ApiError> {
    let named = named.ok_or(FlowError::InvalidTarget)?;
    Ok(Resources::of(&auth.context().settings.access, &named)?)
}

async fn log_in(
    auth: &Auth,
    client: ClientInfo,
    mut fields: Fields,
    resources: Option<Vec<String>>,
    transport: Transport,
) -> Result<Response, ApiError> {
    let audience = audience(auth, resources)?;
    let login = Login { email: fields.text("email"), password: fields.text("password"), client };
    match obtain_tokens(auth.context(), login, audience).await {
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
