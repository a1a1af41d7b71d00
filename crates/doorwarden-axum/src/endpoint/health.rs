use super::answer::{Answer, Described, Json};
use super::operation::{Anybody, Call};
use super::types::Types;
use crate::error::ApiError;
use axum::response::Response;
use doorwarden_core::store::Store;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// The longest that the database may take to show a sign of life.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long an answer is good for everybody.
const KEPT: Duration = Duration::from_millis(250);

/// `ok`, or what is wrong.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Status {
    status: &'static str,
}

const OK: Status = Status { status: "ok" };

pub(super) async fn alive(_: Call<Anybody>) -> Result<Json<Status>, ApiError> {
    Ok(Json(OK))
}

/// Whether requests can be answered.
#[derive(Debug)]
pub(super) struct Ready(bool);

impl Answer for Ready {
    fn describe(types: &mut Types) -> Vec<Described> {
        let mut both = Json::<Status>::describe(types);
        both.extend(Json::<Status, 503>::describe(types));
        both
    }

    fn respond(self) -> Response {
        match self.0 {
            true => Json::<_>(OK).respond(),
            false => Json::<_, 503>(Status { status: "the database does not answer" }).respond(),
        }
    }
}

pub(super) async fn ready(call: Call<Anybody>) -> Result<Ready, ApiError> {
    Ok(Ready(call.auth.readiness().ask(call.auth.context().store.as_ref()).await))
}

/// The cached readiness of the database, so that frequent readiness probes put no load on the database.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, bool)>>);

impl Readiness {
    /// Whether the database is ready. Concurrent callers wait for the same result.
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
