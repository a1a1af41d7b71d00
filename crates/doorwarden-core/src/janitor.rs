//! Work in the background: what is written behind, and what is thrown away.

use crate::context::Context;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often `last_seen` is written.
const FLUSH_EVERY: Duration = Duration::from_secs(15);
/// Between two batches when there may be more to throw away.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two rounds otherwise.
const ROUND: Duration = Duration::from_mins(1);
/// How many sessions one batch deletes at most, so that no writer waits long.
const BATCH: u32 = 500;
/// How long an ended or expired session stays readable.
const KEEP: Duration = Duration::from_hours(24);
/// How many instants are written in one statement at most.
const SEEN_BATCH: usize = 1000;

/// Works until the context is dropped. To be spawned once for each context.
pub async fn run(context: Weak<Context>) {
    let mut until_purge = Duration::ZERO;
    loop {
        let wait = FLUSH_EVERY.min(until_purge.max(PAUSE));
        tokio::time::sleep(wait).await;
        let Some(context) = context.upgrade() else { return };
        flush_seen(&context).await;
        until_purge = until_purge.saturating_sub(wait);
        if until_purge.is_zero() {
            until_purge = purge(&context).await;
        }
    }
}

/// Writes when sessions were last seen. Also to be called once before the store is closed.
pub async fn flush_seen(context: &Arc<Context>) {
    let seen = context.live.take_seen();
    for batch in seen.chunks(SEEN_BATCH) {
        if let Err(error) = context.store.touch_sessions(batch).await {
            tracing::warn!(%error, "when sessions were last seen could not be written");
        }
    }
}

/// Deletes a batch of sessions that are long over; after how long to come again.
async fn purge(context: &Arc<Context>) -> Duration {
    let before = context.now().before(KEEP);
    match context.store.purge_sessions(before, BATCH).await {
        Ok(deleted) if deleted >= u64::from(BATCH) => PAUSE,
        Ok(_) => ROUND,
        Err(error) => {
            tracing::warn!(%error, "old sessions could not be deleted");
            ROUND
        }
    }
}
