//! Work in the background: what is written behind, and what is thrown away.

use crate::audit::Actor;
use crate::context::Context;
use crate::skew::may_delete;
use crate::store::StoreError;
use crate::time::Timestamp;
use crate::user::UserId;
use parking_lot::Mutex;
use std::collections::HashSet;
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
/// How many sessions one batch changes or deletes at most, so that no writer waits long.
const BATCH: u32 = 500;
/// How often users whom SQL by hand has written get their keys, if nobody needs them before.
const KEYS_EVERY: Duration = Duration::from_secs(2);
/// How long nothing is thrown away after the clock was set: somebody may set it right again.
const WAIT_AFTER_STEP: Duration = Duration::from_hours(1);
/// How many entries of the change log one batch deletes at most.
const CHANGES_BATCH: u32 = 5_000;
/// How long an ended or expired session stays readable.
const KEEP: Duration = Duration::from_hours(24);
/// How long after the end of all sessions of a user their rows say so: when no revocation statement speaks of them any more.
const SETTLE_AFTER: Duration = Duration::from_hours(1);
/// How many instants are written in one statement at most.
const SEEN_BATCH: usize = 1000;

/// What flows leave to the work in the background.
#[derive(Debug, Default)]
pub struct Duties {
    over_limit: Mutex<HashSet<UserId>>,
}

impl Duties {
    /// This user may have more sessions than a user may have.
    pub fn limit_sessions_of(&self, user: UserId) {
        self.over_limit.lock().insert(user);
    }
}

/// Works until the context is dropped. To be spawned once for each context.
pub async fn run(context: Weak<Context>) {
    let (mut until_round, mut until_flush) = (Duration::ZERO, FLUSH_EVERY);
    let mut before = None;
    loop {
        let wait = KEYS_EVERY.min(until_round.max(PAUSE));
        tokio::time::sleep(wait).await;
        let Some(context) = context.upgrade() else { return };
        let looked = (context.now(), Instant::now());
        let step = before.replace(looked).and_then(|before| step(before, looked));
        if let Some(seconds) = step {
            tracing::warn!(
                seconds,
                "the clock was set, or the machine slept: tokens, sessions and keys are judged by the new time"
            );
        }
        resolve_keys(&context).await;
        until_flush = until_flush.saturating_sub(wait);
        if until_flush.is_zero() {
            until_flush = FLUSH_EVERY;
            flush_seen(&context).await;
        }
        until_round = left(until_round, wait, step);
        if until_round.is_zero() {
            until_round = if tidy(&context).await { PAUSE } else { ROUND };
        }
    }
}

/// How long it still is until the next round, after waiting for `waited`.
fn left(until_round: Duration, waited: Duration, step: Option<i64>) -> Duration {
    step.map_or(until_round.saturating_sub(waited), |_| WAIT_AFTER_STEP)
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

/// Does a batch of everything that there is to do; whether there may be more. What fails does not keep the rest from being done.
pub async fn tidy(context: &Arc<Context>) -> bool {
    let (store, now) = (&context.store, context.now());
    let long_ago = now.before(KEEP);
    let is_full = |done: u64, batch: u32| done >= u64::from(batch);
    [
        told(limit_sessions(context).await, "surplus sessions could not be ended"),
        told(store.settle_ends(now.before(SETTLE_AFTER), BATCH).await, "ended sessions could not be marked"),
        told(
            purge_sessions(context, long_ago).await.map(|done| is_full(done, BATCH)),
            "old sessions could not be deleted",
        ),
        // The largest table comes last.
        told(
            store.purge_changes(long_ago, CHANGES_BATCH).await.map(|done| is_full(done, CHANGES_BATCH)),
            "the log of changes could not be shortened",
        ),
    ]
    .contains(&true)
}

/// Deletes a batch of sessions that are long over, unless nobody can tell by this clock; how many.
async fn purge_sessions(context: &Arc<Context>, long_ago: Timestamp) -> Result<u64, StoreError> {
    if may_delete(context).await? { context.store.purge_sessions(long_ago, BATCH).await } else { Ok(0) }
}

/// Ends a batch of the sessions that one user has beyond the limit; whether there may be more to do.
async fn limit_sessions(context: &Arc<Context>) -> Result<bool, StoreError> {
    let next = context.duties.over_limit.lock().iter().next().copied();
    let Some((user, most)) = next.zip(context.settings.session.max_per_user) else { return Ok(false) };
    let ended = context.store.limit_sessions(user, most, context.now(), BATCH).await?;
    if ended.len() < BATCH as usize {
        context.duties.over_limit.lock().remove(&user);
    }
    let cause = context.effects(&Actor::System.into(), []);
    context.forget_surplus(&cause, user, &ended).await;
    Ok(!context.duties.over_limit.lock().is_empty())
}

/// Whether there is more to do. What went wrong is tried again in the next round.
fn told(done: Result<bool, StoreError>, what: &str) -> bool {
    done.unwrap_or_else(|error| {
        tracing::warn!(%error, "{what}");
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_deleted_for_an_hour_after_the_clock_was_set() {
        let wait = Duration::from_secs(2);
        for seconds in [61 * 86_400, -5] {
            let mut until_round = left(ROUND, wait, Some(seconds));
            let mut waited = Duration::ZERO;
            while !until_round.is_zero() {
                (until_round, waited) = (left(until_round, wait, None), waited + wait);
            }
            assert_eq!(waited, Duration::from_hours(1));
            assert_eq!(left(wait, wait, Some(seconds)), waited, "also when the round is due");
            assert_eq!(left(waited / 2, wait, Some(seconds)), waited, "it begins anew with each step");
        }
        assert_eq!(left(ROUND, wait, None), Duration::from_secs(58));
    }

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
