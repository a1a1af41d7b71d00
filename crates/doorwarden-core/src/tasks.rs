//! Work in the background: a list of tasks, each with its interval.

use crate::audit::Actor;
use crate::challenge::Challenge;
use crate::context::Context;
use crate::flow::cut_events::cut_events;
use crate::flow::delete_account::delete_due;
use crate::flow::open_session::forget_surplus;
use crate::flow::signing_keys::{maintain, reload, replenish};
use crate::flow::throttle::{KEEP_NOBODYS, MOST_NOBODYS};
use crate::flow::{seal_events, send_mails, send_webhooks};
use crate::outbox;
use crate::skew::may_delete;
use crate::store::StoreError;
use crate::time::Timestamp;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// A recurring task.
struct Task {
    /// The name in the log.
    name: &'static str,
    every: Duration,
    /// Whether it goes by the calendar, and so waits after the clock was set: the clock may be corrected
    /// again.
    by_calendar: bool,
    run: for<'c> fn(&'c Context) -> Run<'c>,
}

type Run<'c> = Pin<Box<dyn Future<Output = Result<Left, StoreError>> + Send + 'c>>;

/// Whether a task has done all that there was to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    /// A batch is done, and there may be more.
    Something,
}

/// The tasks. They are done one after the other, the largest table last.
const TASKS: [Task; 13] = [
    Task {
        name: "unique keys of users whom SQL has written",
        every: Duration::from_secs(2),
        by_calendar: false,
        run: |context| Box::pin(resolve_keys(context)),
    },
    Task {
        name: "when sessions were last seen",
        every: Duration::from_secs(15),
        by_calendar: false,
        run: |context| Box::pin(write_seen(context)),
    },
    Task {
        name: "surplus sessions",
        every: ROUND,
        by_calendar: true,
        run: |context| Box::pin(limit_sessions(context)),
    },
    Task {
        name: "marks of ended sessions",
        every: ROUND,
        by_calendar: true,
        run: |context| Box::pin(settle_ends(context)),
    },
    Task {
        name: "old sessions",
        every: ROUND,
        by_calendar: true,
        run: |context| Box::pin(purge_sessions(context)),
    },
    Task {
        name: "accounts to be deleted",
        every: ROUND,
        by_calendar: true,
        run: |context| Box::pin(delete_accounts(context)),
    },
    Task {
        name: "expired challenges",
        every: ROUND,
        by_calendar: true,
        run: |context| Box::pin(purge_challenges(context)),
    },
    Task {
        name: "old attempts at passwords",
        every: ROUND,
        by_calendar: true,
        run: |context| Box::pin(purge_attempts(context)),
    },
    Task {
        name: "mails that were sent",
        every: ROUND,
        by_calendar: true,
        run: |context| Box::pin(purge_mails(context)),
    },
    Task {
        name: "old webhooks",
        every: ROUND,
        by_calendar: true,
        run: |context| Box::pin(purge_deliveries(context)),
    },
    Task {
        name: "clients of old events",
        every: ROUND,
        by_calendar: true,
        run: |context| Box::pin(forget_clients(context)),
    },
    Task {
        name: "old events",
        every: ROUND,
        by_calendar: true,
        run: |context| Box::pin(delete_events(context)),
    },
    Task {
        name: "log of changes",
        every: ROUND,
        by_calendar: true,
        run: |context| Box::pin(purge_changes(context)),
    },
];

/// Between two rounds of what is not urgent.
const ROUND: Duration = Duration::from_mins(1);
/// Before the first round, and between two batches when there may be more to do.
const PAUSE: Duration = Duration::from_millis(200);
/// By how much the clock must differ from the time that has passed to have been set: more than what corrects
/// itself step by step.
const STEP_MICROS: i64 = 5_000_000;
/// How long tasks that go by the calendar wait after the clock was set.
const WAIT_AFTER_STEP: Duration = Duration::from_hours(1);
/// How many sessions one batch changes or deletes at most, so that no writer waits long.
const BATCH: u32 = 500;
/// How many entries of the change log one batch deletes at most.
const CHANGES_BATCH: u32 = 5_000;
/// How long an ended or expired session stays readable.
const KEEP: Duration = Duration::from_hours(24);
/// How long after the end of all sessions of a user their rows say so: when no revocation statement speaks of
/// them any more.
const SETTLE_AFTER: Duration = Duration::from_hours(1);
/// How many instants are written in one statement at most.
const SEEN_BATCH: usize = 1000;
/// Time between two reads of the stored keys while the change feed is disconnected.
const DEAF: Duration = Duration::from_millis(500);

/// Starts everything that works in the background until the context is dropped, with or without what needs
/// the secret key: the maintenance of signing keys, and the seals of the audit log.
pub fn start(context: &Arc<Context>, has_keys: bool) {
    tokio::spawn(run(Arc::downgrade(context)));
    send_mails::start(context);
    send_webhooks::start(context);
    if has_keys {
        seal_events::start(context);
        tokio::spawn(follow_signing_keys(Arc::downgrade(context)));
    }
}

/// Runs every task once; returns whether there may be more to do.
pub async fn run_once(context: &Context) -> bool {
    let mut is_left = false;
    for task in &TASKS {
        is_left |= task.done(context, &mut false).await == Left::Something;
    }
    is_left
}

impl Task {
    /// Does it. A failure is logged if it is the first in a row; it is tried again when it is due.
    async fn done(&self, context: &Context, has_failed: &mut bool) -> Left {
        let done = (self.run)(context).await;
        let had_failed = std::mem::replace(has_failed, done.is_err());
        done.unwrap_or_else(|error| {
            if !had_failed {
                tracing::warn!(task = self.name, %error, "a background task failed; retrying");
            }
            Left::Nothing
        })
    }
}

async fn run(context: Weak<Context>) {
    let mut due = [PAUSE; TASKS.len()];
    let mut failed = [false; TASKS.len()];
    let mut before = None;
    loop {
        let wait = due.into_iter().min().unwrap_or(PAUSE);
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
        for ((task, due), failed) in TASKS.iter().zip(&mut due).zip(&mut failed) {
            *due = left(*due, wait, step.filter(|_| task.by_calendar));
            if due.is_zero() {
                *due = match task.done(&context, failed).await {
                    Left::Something => PAUSE,
                    Left::Nothing => task.every,
                };
            }
        }
    }
}

/// How long it still is until the next round, after waiting for `waited`.
fn left(until_round: Duration, waited: Duration, step: Option<i64>) -> Duration {
    step.map_or(until_round.saturating_sub(waited), |_| WAIT_AFTER_STEP)
}

/// By how many seconds the clock was set between two looks at it and at a clock that nobody sets; `None` if
/// it was not.
fn step(before: (Timestamp, Instant), after: (Timestamp, Instant)) -> Option<i64> {
    let by_clock = after.0.as_micros().saturating_sub(before.0.as_micros());
    let passed = i64::try_from(after.1.duration_since(before.1).as_micros()).unwrap_or(i64::MAX);
    let difference = by_clock.saturating_sub(passed);
    (difference.unsigned_abs() >= STEP_MICROS.unsigned_abs()).then_some(difference / 1_000_000)
}

/// Gives users who were written by SQL their keys.
async fn resolve_keys(context: &Context) -> Result<Left, StoreError> {
    let users = context.store.resolve_keys().await?;
    if users > 0 {
        tracing::info!(users, "computed the unique keys of users written by SQL");
    }
    Ok(Left::Nothing)
}

/// Writes when sessions were last seen. Also to be called once before the store is closed.
pub async fn flush_seen(context: &Context) {
    if let Err(error) = write_seen(context).await {
        tracing::warn!(%error, "the times of last use of sessions could not be written");
    }
}

async fn write_seen(context: &Context) -> Result<Left, StoreError> {
    let seen = context.live.take_seen();
    let mut written = Ok(Left::Nothing);
    for batch in seen.chunks(SEEN_BATCH) {
        let done = context.store.touch_sessions(batch).await;
        written = written.and(done.map(|()| Left::Nothing));
    }
    written
}

/// Ends a batch of the sessions that one user has beyond the limit.
async fn limit_sessions(context: &Context) -> Result<Left, StoreError> {
    let next = context.duties.next_over_limit();
    let Some((user, most)) = next.zip(context.settings.session.max_per_user) else {
        return Ok(Left::Nothing);
    };
    let cause = context.effects(&Actor::System.into(), []);
    let ended = context.store.limit_sessions(user, most, cause.at, BATCH, cause.clone()).await?;
    if ended.len() < BATCH as usize {
        context.duties.is_within_limit(user);
    }
    forget_surplus(context, &cause, user, &ended).await;
    Ok(if context.duties.next_over_limit().is_some() { Left::Something } else { Left::Nothing })
}

/// Marks a batch of sessions that ended together with all others of their user.
async fn settle_ends(context: &Context) -> Result<Left, StoreError> {
    let is_left = context.store.settle_ends(context.now().before(SETTLE_AFTER), BATCH).await?;
    Ok(if is_left { Left::Something } else { Left::Nothing })
}

/// Deletes a batch of sessions that expired long ago, unless the clock is wrong.
async fn purge_sessions(context: &Context) -> Result<Left, StoreError> {
    if !may_delete(context.store.as_ref(), context.clock.as_ref()).await? {
        return Ok(Left::Nothing);
    }
    Ok(rest(context.store.purge_sessions(context.now().before(KEEP), BATCH).await?, BATCH))
}

/// Deletes a batch of the accounts whose users wanted that and had time to change their mind, unless the
/// clock is wrong.
async fn delete_accounts(context: &Context) -> Result<Left, StoreError> {
    if !may_delete(context.store.as_ref(), context.clock.as_ref()).await? {
        return Ok(Left::Nothing);
    }
    Ok(if delete_due(context, BATCH).await? { Left::Something } else { Left::Nothing })
}

/// Deletes a batch of challenges that expired a while ago, unless the clock is wrong.
async fn purge_challenges(context: &Context) -> Result<Left, StoreError> {
    if !may_delete(context.store.as_ref(), context.clock.as_ref()).await? {
        return Ok(Left::Nothing);
    }
    let before = context.now().before(Challenge::ATTEMPTS_COUNT_FOR);
    Ok(rest(context.store.purge_challenges(before, BATCH).await?, BATCH))
}

/// Deletes a batch of the attempts at accounts that do not exist, and of the proofs of work that have
/// expired, unless the clock is wrong.
async fn purge_attempts(context: &Context) -> Result<Left, StoreError> {
    if !may_delete(context.store.as_ref(), context.clock.as_ref()).await? {
        return Ok(Left::Nothing);
    }
    let (now, before) = (context.now(), context.now().before(KEEP_NOBODYS));
    Ok(rest(context.store.purge_attempts(now, before, MOST_NOBODYS, BATCH).await?, BATCH))
}

/// Deletes a batch of mails that were sent or given up, unless the clock is wrong.
async fn purge_mails(context: &Context) -> Result<Left, StoreError> {
    if !may_delete(context.store.as_ref(), context.clock.as_ref()).await? {
        return Ok(Left::Nothing);
    }
    Ok(rest(context.store.purge_mails(context.now().before(outbox::KEEP), BATCH).await?, BATCH))
}

/// Deletes a batch of webhooks that are older than these are kept, and secrets that sign no longer, unless
/// the clock is wrong.
async fn purge_deliveries(context: &Context) -> Result<Left, StoreError> {
    if !may_delete(context.store.as_ref(), context.clock.as_ref()).await? {
        return Ok(Left::Nothing);
    }
    for webhook in context.store.webhooks().await? {
        if webhook.former.as_ref().is_some_and(|(_, until)| *until <= context.now()) {
            context.store.reseal_webhook(&webhook, &webhook.sealed, None).await?;
        }
    }
    let before = context.now().before(context.settings.webhooks.keep);
    Ok(rest(context.store.purge_deliveries(before, BATCH).await?, BATCH))
}

/// Forgets the clients of a batch of events that are older than these may be known, unless the clock is
/// wrong.
async fn forget_clients(context: &Context) -> Result<Left, StoreError> {
    let Some(kept) = context.settings.retention.client_information else { return Ok(Left::Nothing) };
    if !may_delete(context.store.as_ref(), context.clock.as_ref()).await? {
        return Ok(Left::Nothing);
    }
    Ok(rest(context.store.forget_clients(context.now().before(kept), BATCH).await?, BATCH))
}

/// Deletes a batch of events that are older than they are to be kept, unless the clock is wrong.
async fn delete_events(context: &Context) -> Result<Left, StoreError> {
    let Some(kept) = context.settings.retention.events else { return Ok(Left::Nothing) };
    if !may_delete(context.store.as_ref(), context.clock.as_ref()).await? {
        return Ok(Left::Nothing);
    }
    let is_left = cut_events(context, context.now().before(kept)).await?;
    Ok(if is_left { Left::Something } else { Left::Nothing })
}

/// Deletes a batch of old entries of the change log.
async fn purge_changes(context: &Context) -> Result<Left, StoreError> {
    Ok(rest(context.store.purge_changes(context.now().before(KEEP), CHANGES_BATCH).await?, CHANGES_BATCH))
}

/// A full batch may not be the last.
fn rest(done: u64, batch: u32) -> Left {
    if done >= u64::from(batch) { Left::Something } else { Left::Nothing }
}

/// Works until the context is dropped: reads the signing keys when they change, and makes new ones in time.
async fn follow_signing_keys(context: Weak<Context>) {
    let Some(mut changes) = context.upgrade().map(|context| context.live.watch()) else { return };
    let (mut seen, mut failed) = (None, false);
    let mut until_round = Duration::ZERO;
    loop {
        let Some(strong) = context.upgrade() else { return };
        let current = changes.borrow_and_update().keys;
        let is_deaf = !strong.live.is_connected();
        let done = match () {
            () if until_round.is_zero() => maintain(&strong).await,
            () if seen != Some(current) => replenish(&strong).await,
            () if is_deaf => reload(&strong).await,
            () => Ok(()),
        };
        match done {
            Ok(()) => (seen, failed) = (Some(current), false),
            Err(error) => {
                if !failed {
                    tracing::warn!(%error, hint = error.hint(), "signing keys could not be maintained; retrying");
                }
                (seen, failed) = (None, true);
            }
        }
        if until_round.is_zero() {
            until_round = ROUND;
        }
        let wait = if is_deaf || seen.is_none() { DEAF } else { until_round };
        drop(strong);
        let began = std::time::Instant::now();
        let _ = tokio::time::timeout(wait, changes.changed()).await;
        until_round = until_round.saturating_sub(began.elapsed());
    }
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
