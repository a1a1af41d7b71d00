//! Revocation (RFC 7009) and introspection (RFC 7662) for services, in the shapes of those RFCs. The services are the operator's own, so
//! each may ask about and revoke every token that it was shown.

use super::{Operation, Resource, json_value, read};
use crate::auth::Auth;
use crate::body::media_type;
use crate::error::ApiError;
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use doorwarden_core::error::Input;
use doorwarden_core::flow::authenticate::{Authenticated, TokenClaims};
use doorwarden_core::flow::introspect::{Introspected, introspect as look};
use doorwarden_core::flow::revoke_token::{RevokeError, revoke_token};
use doorwarden_core::refresh::idle_until;
use doorwarden_core::session::{EndReason, Session};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

pub(super) fn revoke() -> Resource {
    let operation = Operation {
        method: Method::POST,
        id: "revoke_for_client",
        summary: "Revoke a token and its session (RFC 7009).",
        authenticated: false,
        body: Some("TokenInForm"),
        answers: &[
            (200, "It does not count, whether it did before or not.", Some("Nothing")),
            (400, "The request is malformed, or the token names no session.", Some("OauthError")),
            (401, "The service is not known.", Some("OauthError")),
            (503, "The database is not available.", Some("Detail")),
        ],
        handler: |auth, request| Box::pin(post_revoke(auth, request)),
    };
    Resource { endpoint: Endpoint::OauthRevoke, operations: vec![operation] }
}

pub(super) fn introspect() -> Resource {
    let operation = Operation {
        method: Method::POST,
        id: "introspect_for_client",
        summary: "Whether a token counts at this moment, and what it says (RFC 7662).",
        authenticated: false,
        body: Some("TokenInForm"),
        answers: &[
            (200, "What is known of it, or only that it is not active.", Some("Introspection")),
            (400, "The request is malformed.", Some("OauthError")),
            (401, "The service is not known.", Some("OauthError")),
            (503, "The database is not available.", Some("Detail")),
        ],
        handler: |auth, request| Box::pin(post_introspect(auth, request)),
    };
    Resource { endpoint: Endpoint::OauthIntrospect, operations: vec![operation] }
}

async fn post_revoke(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let token = match token(&auth, request).await? {
        Ok(token) => token,
        Err(response) => return Ok(response),
    };
    match revoke_token(auth.context(), &token, EndReason::Revoked).await {
        // An invalid token does not count already (RFC 7009, section 2.2).
        Ok(()) | Err(RevokeError::Token(_)) => Ok(json_value(StatusCode::OK, &json!({}))),
        Err(RevokeError::WithoutSession) => {
            let text = "the token names no session and cannot be revoked by itself";
            Ok(refusal(StatusCode::BAD_REQUEST, "unsupported_token_type", text))
        }
        Err(RevokeError::Store(error)) => Err(error.into()),
    }
}

async fn post_introspect(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let token = match token(&auth, request).await? {
        Ok(token) => token,
        Err(response) => return Ok(response),
    };
    let issuer = &auth.context().settings.access.issuer;
    let mut known = match look(auth.context(), &token).await? {
        None => json!({"active": false}),
        Some(Introspected::Bearer(who)) => bearer(&who, issuer),
        Some(Introspected::Refresh { session, user }) => {
            refresh(&session, user.account.user.username.as_str(), issuer)
        }
    };
    // Tools keep an answer until then, and would not hear of the end of a session.
    let soon = auth.context().now().after(auth.settings().introspection_lifetime).as_seconds();
    if let Some(exp) = known.get("exp").and_then(Value::as_i64) {
        known["exp"] = exp.min(soon).into();
    }
    Ok(json_value(StatusCode::OK, &known))
}

fn bearer(who: &Authenticated, issuer: &str) -> Value {
    let user = &who.user.account.user;
    let mut known = json!({
        "active": true,
        "token_type": "Bearer",
        "sub": user.id.0.to_string(),
        "username": user.username.as_str(),
        "iss": issuer,
    });
    match &who.token {
        TokenClaims::Session(claims) => {
            known["exp"] = claims.exp.into();
            known["iat"] = claims.iat.into();
            known["sid"] = claims.sid.map(|sid| sid.to_string()).into();
        }
        TokenClaims::Access(claims) => {
            known["exp"] = claims.exp.into();
            known["iat"] = claims.iat.into();
            known["sid"] = claims.sid.map(|sid| sid.to_string()).into();
            known["aud"] = claims.aud.clone().into();
            known["jti"] = claims.jti.as_str().into();
            known["client_id"] = claims.client_id.as_str().into();
            known["acr"] = claims.acr.clone().into();
            known["amr"] = Some(claims.amr.clone()).filter(|amr| !amr.is_empty()).into();
            known["auth_time"] = claims.auth_time.into();
        }
    }
    without_nulls(known)
}

fn refresh(session: &Session, username: &str, issuer: &str) -> Value {
    let ends = idle_until(session).map_or(session.expires_at, |idle| session.expires_at.min(idle));
    without_nulls(json!({
        "active": true,
        "sub": session.user.0.to_string(),
        "username": username,
        "iss": issuer,
        "client_id": session.client_id,
        "sid": session.id,
        "exp": ends.as_seconds(),
        "auth_time": session.auth.map(|auth| auth.auth_time.as_seconds()),
    }))
}

fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        members.retain(|_, member| !member.is_null());
    }
    value
}

/// The parameter `token` of a request by a known service; `token_type_hint` is not needed. Otherwise the refusal.
///
/// A service authenticates with HTTP Basic or, where there is no such header, with `client_id` and `client_secret` in the form
/// (RFC 6749, section 2.3.1).
async fn token(auth: &Auth, request: Request) -> Result<Result<String, Response>, ApiError> {
    let clients = &auth.settings().oauth_clients;
    let has_header = request.headers().contains_key(AUTHORIZATION);
    let is_form = media_type(request.headers()).eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let is_known = has_header && clients.authenticate(request.headers()).is_some();
    if !is_known && (has_header || !is_form) {
        return Ok(Err(invalid_client()));
    }
    let invalid = |text| refusal(StatusCode::BAD_REQUEST, "invalid_request", text);
    if !is_form {
        return Ok(Err(invalid("the parameters must be sent as application/x-www-form-urlencoded")));
    }
    let (_, mut fields) = read(auth, request).await?;
    if !has_header {
        match (fields.text("client_id"), fields.text("client_secret")) {
            (Input::Given(id), Input::Given(secret)) if clients.knows(&id, &secret) => {}
            _ => return Ok(Err(invalid_client())),
        }
    }
    match fields.text("token") {
        Input::Given(token) if !token.is_empty() => Ok(Ok(token)),
        _ => Ok(Err(invalid("the parameter token is missing"))),
    }
}

fn invalid_client() -> Response {
    let text = "HTTP Basic, or client_id and client_secret in the form, with a known id and its secret";
    let mut response = refusal(StatusCode::UNAUTHORIZED, "invalid_client", text);
    let challenge = HeaderValue::from_static("Basic realm=\"oauth\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

/// An error of RFC 6749, section 5.2.
fn refusal(status: StatusCode, error: &str, description: &str) -> Response {
    json_value(status, &json!({"error": error, "error_description": description})).into_response()
}
