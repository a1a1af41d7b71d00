//! Fetches the keys and follows the feed, on tokio.

mod builder;
mod feed;
mod http;
mod keys;
mod sse;

use crate::{Checker, Refusal, Refused};
pub use builder::{BuildError, Builder};
use doorwarden_token::access::AccessClaims;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, watch};
use tokio::task::AbortHandle;

/// Verifies access tokens of one issuer. Cheap to clone; what works in the background ends with the last clone.
#[derive(Clone)]
pub struct Verifier {
    running: Arc<Running>,
}

struct Running {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 2],
}

/// What the verifier and its tasks share.
struct Shared {
    checker: Checker,
    issuer: http::Issuer,
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
    /// Between two fetches of the key set because of unknown keys.
    refresh_interval: Duration,
    /// When the key set was last asked for; held while it is fetched.
    refreshed: Mutex<Option<Instant>>,
    /// Whether keys and a statement have come.
    ready: watch::Sender<bool>,
    /// Whether the last token was checked in silence, to log the change once.
    was_stale: AtomicBool,
}

/// What a verifier knows of its issuer, for health checks and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Whether the keys were fetched.
    pub has_keys: bool,
    /// How many seconds ago the newest statement of the feed came; `None`: none came yet.
    pub heard_secs_ago: Option<i64>,
    /// Whether that is longer than the limit, so that [`WhenStale`](crate::WhenStale) applies.
    pub is_stale: bool,
}

impl Verifier {
    /// Begins with the URL of the issuer, exactly as tokens have it in `iss`.
    pub fn builder(issuer: impl Into<String>) -> Builder {
        Builder::new(issuer.into())
    }

    /// The claims of an access token that counts now. If the token names a key that is not known, the key set is fetched again,
    /// at most once in each [`refresh_interval`](Builder::refresh_interval).
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn verify(&self, token: &str) -> Result<Arc<AccessClaims>, Refused> {
        let shared = &self.running.shared;
        match shared.check(token) {
            Err(Refused::NoKeys | Refused::Token(Refusal::UnknownKey)) => {
                shared.refresh_keys(shared.refresh_interval).await;
                shared.check(token)
            }
            decided => decided,
        }
    }

    /// Like [`verify`](Self::verify), but fetches nothing and never waits.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, token: &str) -> Result<Arc<AccessClaims>, Refused> {
        self.running.shared.check(token)
    }

    /// Waits until the keys and a first statement have come. A service that awaits this before it listens refuses nobody at its
    /// start; one that must start without its issuer does not.
    pub async fn ready(&self) {
        let mut ready = self.running.shared.ready.subscribe();
        // The sender lives as long as `self`.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// What is known of the issuer at this moment.
    pub fn status(&self) -> Status {
        let shared = &self.running.shared;
        let now = (shared.clock)();
        Status {
            has_keys: shared.checker.has_keys(),
            heard_secs_ago: shared.checker.heard_at().map(|at| now.saturating_sub(at)),
            is_stale: shared.checker.is_stale(now),
        }
    }
}

impl Shared {
    fn check(&self, token: &str) -> Result<Arc<AccessClaims>, Refused> {
        let now = (self.clock)();
        let is_stale = self.checker.is_stale(now);
        if self.was_stale.load(Ordering::Relaxed) != is_stale
            && self.was_stale.swap(is_stale, Ordering::Relaxed) != is_stale
        {
            let issuer = self.issuer.url();
            if is_stale {
                tracing::warn!(issuer, "nothing is heard from the revocation feed");
            } else {
                tracing::info!(issuer, "the revocation feed is heard again");
            }
        }
        self.checker.verify(token, now)
    }

    /// Tells those who wait, once there are keys and a statement.
    fn announce(&self) {
        if self.checker.has_keys() && self.checker.heard_at().is_some() {
            self.ready.send_if_modified(|ready| !std::mem::replace(ready, true));
        }
    }
}

/// Between half of `duration` and all of it, so that many services do not come back at once.
fn jittered(duration: Duration) -> Duration {
    // The standard library's random seed; nothing secret depends on it.
    let random = std::collections::hash_map::RandomState::new().hash_one(0_u8);
    duration.mul_f64(0.5 + f64::from((random >> 48) as u16) / f64::from(u16::MAX) / 2.0)
}

/// How long to wait after so many failures in a row.
fn backoff(failures: u32) -> Duration {
    jittered(Duration::from_millis(100) * 2_u32.pow(failures.min(7))).min(Duration::from_secs(10))
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verifier").field(&self.running.shared.checker).finish()
    }
}
