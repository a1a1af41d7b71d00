//! The key set: fetched again before it is too old, and when a key is unknown.

use super::http::{FetchError, text};
use super::{Shared, backoff, jittered};
use http::header::CACHE_CONTROL;
use http::{HeaderMap, Response};
use std::sync::Arc;
use std::time::Duration;

const PATH: &str = "/.well-known/jwks.json";
/// Enough for 64 RSA keys of 8192 bits.
const MAX_BYTES: usize = 256 << 10;
/// The lifetime of the key set without `Cache-Control`, and the accepted range of one.
const USUAL_AGE: Duration = Duration::from_mins(5);
const LEAST_AGE: Duration = Duration::from_secs(10);
const LONGEST_AGE: Duration = Duration::from_hours(1);

#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the key set is refused: {0}")]
    Key(#[from] crate::KeyError),
}

/// Fetches the key set now, whenever at least half of its lifetime is over, and on request.
pub(super) async fn keep_fresh(shared: Arc<Shared>) {
    let mut failures = 0;
    loop {
        let is_asked = shared.keys.next().await;
        let pause = match shared.fetch_keys(is_asked).await {
            Ok(max_age) => {
                failures = 0;
                jittered(max_age)
            }
            Err(error) => {
                shared.warn("the key set was not fetched", &error);
                failures += 1;
                backoff(failures)
            }
        };
        shared.keys.ended(is_asked, pause);
    }
}

impl Shared {
    /// Fetches the key set and returns its lifetime. A requested fetch bypasses every cache, because the
    /// cached set lacks a key.
    async fn fetch_keys(&self, is_asked: bool) -> Result<Duration, KeysError> {
        let accept = ["application/jwk-set+json", "application/json"];
        let response: Response<_> = self.issuer.get(PATH, &accept, None, is_asked).await?;
        let max_age = max_age(response.headers()).unwrap_or(USUAL_AGE).clamp(LEAST_AGE, LONGEST_AGE);
        if self.checker.set_keys(&text(response, MAX_BYTES).await?)? {
            tracing::debug!(issuer = self.issuer.url(), "the key set has changed");
        }
        self.announce();
        Ok(max_age)
    }
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut directives = headers.get(CACHE_CONTROL)?.to_str().ok()?.split(',');
    let seconds = directives.find_map(|one| one.trim().strip_prefix("max-age="))?;
    Some(Duration::from_secs(seconds.parse().ok()?))
}
