use super::{Operation, Resource, json_value, user};
use crate::auth::Auth;
use crate::error::ApiError;
use crate::settings::Endpoint;
use axum::RequestExt;
use axum::extract::{Path, Request};
use axum::response::{IntoResponse, Response};
use doorwarden_core::flow::log_out;
use doorwarden_core::session::{EndReason, Session, SessionCursor, SessionId};
use http::header::LINK;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

pub(super) fn list() -> Resource {
    let operation = Operation {
        method: Method::GET,
        id: "list_sessions",
        summary: "The sessions of the user, the newest 100; the one of the token is marked. The header `Link` leads to the next page.",
        authenticated: true,
        body: None,
        answers: &[
            (200, "The sessions.", Some("Sessions")),
            (400, "The cursor is not one of a `Link`.", Some("Detail")),
        ],
        handler: |auth, request| Box::pin(get(auth, request)),
    };
    Resource { endpoint: Endpoint::Sessions, operations: vec![operation] }
}

pub(super) fn one() -> Resource {
    let operation = Operation {
        method: Method::DELETE,
        id: "delete_session",
        summary: "End a session of the user.",
        authenticated: true,
        body: None,
        answers: &[(204, "Ended.", None), (404, "There is no such session that lives.", Some("Detail"))],
        handler: |auth, request| Box::pin(delete(auth, request)),
    };
    Resource { endpoint: Endpoint::Session, operations: vec![operation] }
}

async fn get(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let user = user(&auth, &request).await?;
    let after = cursor(request.uri().query().unwrap_or_default())?;
    let page = log_out::sessions(auth.context(), user.authenticated(), after).await?;
    let sessions: Vec<Value> = page.sessions.iter().map(|s| shown(s, user.session())).collect();
    let mut response = json_value(StatusCode::OK, &Value::Array(sessions));
    // Relative to the address that was asked, whatever a proxy has made of it.
    let next = page.next.map(|next| HeaderValue::try_from(format!("<?cursor={next}>; rel=\"next\"")));
    if let Some(Ok(next)) = next {
        response.headers_mut().insert(LINK, next);
    }
    Ok(response)
}

fn cursor(query: &str) -> Result<Option<SessionCursor>, ApiError> {
    let given = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "cursor");
    let refused = |_| ApiError::detail(StatusCode::BAD_REQUEST, "invalid_cursor", "Invalid cursor.");
    given.map(|(_, value)| value.parse().map_err(refused)).transpose()
}

async fn delete(auth: Auth, mut request: Request) -> Result<Response, ApiError> {
    let user = user(&auth, &request).await?;
    let Ok(Path(id)) = request.extract_parts::<Path<SessionId>>().await else {
        return Err(ApiError::not_found());
    };
    match log_out::end(auth.context(), user.authenticated(), id, EndReason::Revoked).await? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(ApiError::not_found()),
    }
}

fn shown(session: &Session, current: Option<SessionId>) -> Value {
    json!({
        "id": session.id,
        "current": Some(session.id) == current,
        "device": session.client.device_name(),
        "address": session.client.address,
        "user_agent": session.client.user_agent,
        "created_at": session.created_at.to_string(),
        "last_seen_at": session.last_seen_at.to_string(),
        "expires_at": session.expires_at.to_string(),
        "auth_time": session.auth.map(|auth| auth.auth_time.to_string()),
        "amr": session.auth.map_or_else(Vec::new, |auth| auth.methods.iter().collect()),
        "assurance_level": session.assurance_level(),
        "client_id": session.client_id,
        "refresh_repeated_late_at": session.repeats.last_late_at.map(|at| at.to_string()),
    })
}
