//! Fetches the keys and follows the feed, on tokio.

mod builder;
mod feed;
mod fetcher;
mod http;
mod keys;
mod sse;

use crate::{Checker, Now, Refusal, Refused};
pub use builder::{BuildError, Builder};
use doorwarden_token::access::AccessClaims;
use fetcher::{Fetcher, WAIT};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// The time between two fetches of the statement where there is no stream.
const POLL: Duration = Duration::from_secs(1);
/// How long [`Verifier::ready`] waits for the issuer.
const READY: Duration = Duration::from_secs(5);

/// Verifies access tokens of one issuer. Cheap to clone; the background tasks end with the last clone.
#[derive(Clone)]
pub struct Verifier {
    running: Arc<Running>,
}

struct Running {
    shared: Arc<Shared>,
    tasks: [AbortHandle; 3],
}

/// The state that the verifier and its tasks share.
struct Shared {
    checker: Checker,
    issuer: http::Issuer,
    clock: Box<dyn Fn() -> i64 + Send + Sync>,
    /// The minimum time between two fetches of the key set because of unknown keys.
    refresh_interval: Duration,
    keys: Fetcher,
    statements: Fetcher,
    /// The start of the monotonic clock.
    started: Instant,
    minutely: Minutely,
    /// The last problem, for the error of [`Verifier::ready`].
    trouble: Mutex<Option<String>>,
    /// Whether keys and a statement have been received.
    ready: watch::Sender<bool>,
    /// Whether the feed was silent at the last check, to log each change once.
    was_stale: AtomicBool,
}

/// The state of a verifier, for health checks and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Whether the keys were fetched.
    pub has_keys: bool,
    /// Seconds since the newest statement of the feed was received; `None` if none was.
    pub silence_secs: Option<i64>,
    /// Whether the feed has been silent for too long, so that [`WhenStale`](crate::WhenStale) applies.
    pub is_stale: bool,
}

impl Verifier {
    /// Configures a verifier for the issuer with this URL, exactly as in `iss` of its tokens.
    pub fn builder(issuer: impl Into<String>) -> Builder {
        Builder::new(issuer.into())
    }

    /// The claims of an access token that is valid now. If the token names an unknown key, the key set is
    /// fetched again, at most once in each [`refresh_interval`](Builder::refresh_interval). Before tokens are
    /// refused because the feed is silent, its statement is fetched. No call waits for longer than two
    /// seconds.
    ///
    /// # Errors
    /// If the token is not valid, or cannot be verified now.
    pub async fn verify(&self, token: &str) -> Result<Arc<AccessClaims>, Refused> {
        let shared = &self.running.shared;
        let now = shared.now();
        let mut decided = shared.checker.verify(token, now);
        if !matches!(decided, Err(Refused::NoKeys | Refused::Stale | Refused::Token(Refusal::UnknownKey))) {
            return shared.note(token, now, decided);
        }
        let end = Instant::now() + WAIT;
        let left = || end.saturating_duration_since(Instant::now());
        if decided != Err(Refused::Stale) {
            shared.keys.ask(shared.refresh_interval, left()).await;
            decided = shared.checker.verify(token, shared.now());
        }
        if decided == Err(Refused::Stale) {
            shared.statements.ask(POLL, left()).await;
            decided = shared.checker.verify(token, shared.now());
        }
        shared.note(token, shared.now(), decided)
    }

    /// Like [`verify`](Self::verify), but fetches nothing and never waits.
    ///
    /// # Errors
    /// If the token is not valid, or cannot be verified now.
    pub fn check(&self, token: &str) -> Result<Arc<AccessClaims>, Refused> {
        let shared = &self.running.shared;
        let now = shared.now();
        shared.note(token, now, shared.checker.verify(token, now))
    }

    /// Waits until the keys and a first statement have been received, for at most five seconds. A service
    /// that awaits this before it listens refuses no valid token at its start. A service that must start
    /// without its issuer does not await it.
    ///
    /// # Errors
    /// If the issuer was not reached in time; the verifier goes on trying.
    pub async fn ready(&self) -> Result<(), NotReady> {
        self.ready_within(READY).await
    }

    /// Like [`ready`](Self::ready), with another time limit.
    ///
    /// # Errors
    /// If the issuer was not reached in time; the verifier goes on trying.
    pub async fn ready_within(&self, limit: Duration) -> Result<(), NotReady> {
        let shared = &self.running.shared;
        let mut ready = shared.ready.subscribe();
        match timeout(limit, ready.wait_for(|ready| *ready)).await {
            // The sender lives as long as `self`.
            Ok(_) => Ok(()),
            Err(_) => Err(NotReady {
                issuer: shared.issuer.url().to_owned(),
                limit,
                trouble: shared.trouble.lock().clone().unwrap_or_else(|| "no response".to_owned()),
            }),
        }
    }

    /// The current state.
    pub fn status(&self) -> Status {
        let shared = &self.running.shared;
        let now = shared.now();
        Status {
            has_keys: shared.checker.has_keys(),
            silence_secs: shared.checker.silence_secs(now),
            is_stale: shared.checker.is_stale(now),
        }
    }
}

impl Shared {
    fn now(&self) -> Now {
        Now { unix_secs: (self.clock)(), steady: Some(self.started.elapsed()) }
    }

    /// Logs what the operator should know of a decision.
    fn note(
        &self,
        token: &str,
        now: Now,
        decided: Result<Arc<AccessClaims>, Refused>,
    ) -> Result<Arc<AccessClaims>, Refused> {
        let issuer = self.issuer.url();
        let is_stale = self.checker.is_stale(now);
        if self.was_stale.load(Ordering::Relaxed) != is_stale
            && self.was_stale.swap(is_stale, Ordering::Relaxed) != is_stale
        {
            if is_stale {
                tracing::warn!(issuer, "the revocation feed is silent");
            } else {
                tracing::info!(issuer, "the revocation feed is no longer silent");
            }
        }
        if let Err(refused) = decided
            && let Some(reason) = self.checker.explain(refused, token, now)
            && self.minutely.allows(refused.code())
        {
            tracing::warn!(issuer, "tokens are refused: {reason:.400}");
        }
        decided
    }

    /// Logs a problem, once a minute each.
    fn warn(&self, what: &'static str, error: &dyn fmt::Display) {
        if self.minutely.allows(what) {
            tracing::warn!(issuer = self.issuer.url(), %error, "{what}");
        }
        *self.trouble.lock() = Some(format!("{what}: {error}"));
    }

    /// Wakes the tasks that wait, once there are keys and a statement.
    fn announce(&self) {
        if self.checker.has_keys() && self.checker.statement_received_at().is_some() {
            self.ready.send_if_modified(|ready| !std::mem::replace(ready, true));
        }
    }
}

/// Allows one log line of each kind per minute.
#[derive(Default)]
struct Minutely(Mutex<HashMap<&'static str, Instant>>);

impl Minutely {
    fn allows(&self, kind: &'static str) -> bool {
        let mut last = self.0.lock();
        let is_due = last.get(kind).is_none_or(|at| at.elapsed() >= Duration::from_mins(1));
        if is_due {
            last.insert(kind, Instant::now());
        }
        is_due
    }
}

/// The issuer was not reached in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{issuer} was not reached within {limit:?} ({trouble}). hint: check that it runs and can be reached from here; where it has another name \
     here, give that to Builder::address"
)]
pub struct NotReady {
    issuer: String,
    limit: Duration,
    trouble: String,
}

/// Between half of `duration` and all of it, so that many services do not come back at once.
fn jittered(duration: Duration) -> Duration {
    // The standard library's random seed; nothing secret depends on it.
    let random = std::collections::hash_map::RandomState::new().hash_one(0_u8);
    duration.mul_f64(0.5 + f64::from((random >> 48) as u16) / f64::from(u16::MAX) / 2.0)
}

/// How long to wait after this many failures in a row.
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
