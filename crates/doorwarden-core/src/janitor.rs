//! Work in the background: what is written behind, and what is thrown away.

use crate::context::Context;
use crate::time::Timestamp;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How often `last_seen` is written.
const FLUSH_EVERY: Duration = Duration::from_secs(15);
/// Between two batches when there may be more to throw away.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two rounds otherwise.
const ROUND: Duration = Duration::from_mins(1);
/// By how much the clock must differ from the time that has passed to have been set: more than what corrects itself step by step.
const STEP_MICROS: i64 = 5_000_000;
/// How many sessions one batch deletes at most, so that no writer waits long.
const BATCH: u32 = 500;
/// How often users whom SQL by hand has written get their keys, if nobody needs them before.
const KEYS_EVERY: Duration = Duration::from_secs(2);
/// How long nothing is thrown away after the clock was set: somebody may set it right again.
const WAIT_AFTER_STEP: Duration = Duration::from_hours(1);
/// How long an ended or expired session stays readable.
const KEEP: Duration = Duration::from_hours(24);
/// How many instants are written in one statement at most.
const SEEN_BATCH: usize = 1000;

/// Works until the context is dropped. To be spawned once for each context.
pub async fn run(context: Weak<Context>) {
    let (mut until_purge, mut until_flush) = (Duration::ZERO, FLUSH_EVERY);
    let mut before = None;
    loop {
        let wait = KEYS_EVERY.min(until_purge.max(PAUSE));
        tokio::time::sleep(wait).await;
        let Some(context) = context.upgrade() else { return };
        let looked = (context.now(), Instant::now());
        if let Some(seconds) = before.replace(looked).and_then(|before| step(before, looked)) {
            tracing::warn!(
                seconds,
                "the clock was set, or the machine slept: tokens, sessions and keys are judged by the new time"
            );
            until_purge = WAIT_AFTER_STEP;
        }
        resolve_keys(&context).await;
        until_flush = until_flush.saturating_sub(wait);
        if until_flush.is_zero() {
            until_flush = FLUSH_EVERY;
            flush_seen(&context).await;
        }
        until_purge = until_purge.saturating_sub(wait);
        if until_purge.is_zero() {
            until_purge = purge(&context).await;
        }
    }
}

/// By how many seconds the clock was set between two looks at it and at a clock that nobody sets; `None` if it was not.
fn step(before: (Timestamp, Instant), after: (Timestamp, Instant)) -> Option<i64> {
    let by_clock = after.0.as_micros().saturating_sub(before.0.as_micros());
    let passed = i64::try_from(after.1.duration_since(before.1).as_micros()).unwrap_or(i64::MAX);
    let difference = by_clock.saturating_sub(passed);
    (difference.unsigned_abs() >= STEP_MICROS.unsigned_abs()).then_some(difference / 1_000_000)
}

/// Gives users whom SQL by hand has written their keys.
async fn resolve_keys(context: &Arc<Context>) {
    match context.store.resolve_keys().await {
        Ok(0) => {}
        Ok(users) => tracing::info!(users, "the keys of users were made whom SQL has written"),
        Err(error) => tracing::debug!(%error, "the keys of users could not be looked at"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_noticed_and_one_that_is_corrected_is_not() {
        let noon = Timestamp::from_seconds(1_795_435_200);
        let start = Instant::now();
        let after = |clock: i64, passed: u64| {
            let clock = Timestamp::from_micros(noon.as_micros() + clock * 1000);
            step((noon, start), (clock, start + Duration::from_millis(passed)))
        };
        for (clock, passed, set) in [
            (15_000, 15_000, None),
            (15_400, 15_000, None),
            (11_000, 15_000, None),
            (80_000, 80_000, None),
            (15_000 + 3_600_000, 15_000, Some(3600)),
            (15_000 - 61_000, 15_000, Some(-61)),
            (0, 15_000, Some(-15)),
            (20_000, 15_000, Some(5)),
        ] {
            assert_eq!(after(clock, passed), set, "{clock} {passed}");
        }
    }
}
