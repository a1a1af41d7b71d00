use super::{Operation, Resource, json, json_value};
use crate::auth::Auth;
use crate::error::ApiError;
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::Response;
use doorwarden_core::store::Store;
use http::{Method, StatusCode};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// The longest that the database may take to show a sign of life.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long an answer is good for everybody.
const KEPT: Duration = Duration::from_millis(250);

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
        summary: "Whether the service can work: the database answers, and holds what requests need. An answer is up to 250 ms old.",
        authenticated: false,
        body: None,
        answers: &[(200, "It can.", Some("Status")), (503, "It cannot.", Some("Status"))],
        handler: |auth, request| Box::pin(readiness(auth, request)),
    };
    Resource { endpoint: Endpoint::Ready, operations: vec![operation] }
}

async fn readiness(auth: Auth, _: Request) -> Result<Response, ApiError> {
    Ok(match auth.readiness().ask(auth.context().store.as_ref()).await {
        true => json_value(StatusCode::OK, &json!({"status": "ok"})),
        false => {
            json_value(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "the database does not answer"}))
        }
    })
}

/// What the database last answered, so that whoever asks for it often does not keep the database from working.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, bool)>>);

impl Readiness {
    /// Whether requests can be answered. Who asks meanwhile waits for the same answer.
    async fn ask(&self, store: &dyn Store) -> bool {
        let mut last = self.0.lock().await;
        if let Some((at, ready)) = *last
            && at.elapsed() < KEPT
        {
            return ready;
        }
        let ready = match timeout(PATIENCE, store.ready()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "not ready");
                false
            }
            Err(_) => false,
        };
        *last = Some((Instant::now(), ready));
        ready
    }
}
