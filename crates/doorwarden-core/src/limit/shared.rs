//! Buckets that several instances share.

use super::gcra::{Quota, Verdict};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::fmt;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A bucket, as a store knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Its name: a MAC, which tells nothing about whose it is.
    pub key: [u8; 16],
    /// What it has room for.
    pub quota: Quota,
}

/// A store of buckets that several instances share. Each method is one atomic operation, by the store's
/// clock.
#[async_trait]
pub trait SharedBuckets: Send + Sync + fmt::Debug + 'static {
    /// Counts one request, if there is room for it.
    ///
    /// # Errors
    /// [`SharedBucketsError`] if the store does not answer.
    async fn take(&self, bucket: Bucket) -> Result<Verdict, SharedBucketsError>;

    /// Whether there is room for one more, which is not counted.
    ///
    /// # Errors
    /// [`SharedBucketsError`] if the store does not answer.
    async fn look(&self, bucket: Bucket) -> Result<Verdict, SharedBucketsError>;
}

/// The store of the buckets does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SharedBucketsError(pub String);

/// How long a request waits for the store.
const PATIENCE: Duration = Duration::from_millis(250);
/// After a failure, for how long no request waits for it at all.
const REST: Duration = Duration::from_secs(1);
/// How often a failure is logged at most.
const QUIET: Duration = Duration::from_mins(1);

/// What is known of a store that fails: each instance counts alone meanwhile.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    until: Option<Instant>,
    logged: Option<Instant>,
}

impl Trouble {
    /// The result, unless the store has failed.
    pub(super) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, SharedBucketsError>>,
    ) -> Option<T> {
        if self.0.lock().until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let error = match timeout(PATIENCE, work).await {
            Ok(Ok(done)) => {
                if self.0.lock().until.take().is_some() {
                    tracing::info!("the store of the limits answers again");
                }
                return Some(done);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} ms", PATIENCE.as_millis()),
        };
        let (now, mut state) = (Instant::now(), self.0.lock());
        state.until = Some(now + REST);
        if state.logged.is_none_or(|logged| now >= logged + QUIET) {
            state.logged = Some(now);
            tracing::warn!(
                error,
                "the store of the limits does not answer; this instance counts alone meanwhile"
            );
        }
        None
    }
}
