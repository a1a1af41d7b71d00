//! Whether the database is ready.

use doorwarden_core::store::Store;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// The maximum time that the database may take to respond.
const PATIENCE: Duration = Duration::from_millis(1500);

/// How long a result is cached.
const KEPT: Duration = Duration::from_millis(250);

/// The cached readiness of the database, so that frequent readiness probes put no load on the database.
#[derive(Debug, Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, bool)>>);

impl Readiness {
    /// Whether the database is ready. Concurrent callers wait for the same result.
    pub(crate) async fn ask(&self, store: &dyn Store) -> bool {
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
