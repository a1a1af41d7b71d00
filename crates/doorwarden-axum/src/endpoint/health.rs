use super::{Operation, Resource, json, json_value};
use crate::auth::Auth;
use crate::error::ApiError;
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;

/// The longest that the database may take to show a sign of life.
const PATIENCE: Duration = Duration::from_millis(1500);

pub(super) fn alive() -> Resource {
    let operation = Operation {
        method: Method::GET,
        id: "read_health",
        summary: "Whether the process answers.",
        authenticated: false,
        body: None,
        answers: &[(200, "It does.", Some("Status"))],
        handler: |_, _| Box::pin(async { Ok(json(StatusCode::OK, r#"{"status":"ok"}"#)) }),
    };
    Resource { endpoint: Endpoint::Health, operations: vec![operation] }
}

pub(super) fn ready() -> Resource {
    let operation = Operation {
        method: Method::GET,
        id: "read_readiness",
        summary: "Whether the service can work: the database answers.",
        authenticated: false,
        body: None,
        answers: &[(200, "It can.", Some("Status")), (503, "It cannot.", Some("Status"))],
        handler: |auth, request| Box::pin(readiness(auth, request)),
    };
    Resource { endpoint: Endpoint::Ready, operations: vec![operation] }
}

async fn readiness(auth: Auth, _: Request) -> Result<Response, ApiError> {
    let answer = tokio::time::timeout(PATIENCE, auth.context().store.ping()).await;
    Ok(match answer {
        Ok(Ok(())) => json_value(StatusCode::OK, &json!({"status": "ok"})),
        _ => json_value(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "the database does not answer"})),
    })
}
