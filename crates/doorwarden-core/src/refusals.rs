//! Operations that were refused, on their way into the audit log. Anybody can cause them, so they are written
//! in batches, a few a second, and beyond that only counted.

use crate::audit::{Actor, Effects};
use crate::event::Event;
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many are written at once at most, after a quiet time.
const BURST: i64 = 100;
/// How long it takes until one more is written.
const REFILL: Duration = Duration::from_millis(100);
/// How often those are written that were only counted.
const COUNTS_EVERY: Duration = Duration::from_mins(1);

/// What was refused and is not written yet.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<Waiting>);

#[derive(Debug)]
struct Waiting {
    effects: Vec<Effects>,
    /// How many may still be added.
    allowance: i64,
    refilled_at: Option<Timestamp>,
    counts: BTreeMap<&'static str, u64>,
    counts_written_at: Option<Timestamp>,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            effects: Vec::new(),
            allowance: BURST,
            refilled_at: None,
            counts: BTreeMap::new(),
            counts_written_at: None,
        }
    }
}

impl Refusals {
    /// Adds an operation that was refused, or counts it if there are too many.
    pub(crate) fn add(&self, effects: Effects) {
        let mut waiting = self.0.lock();
        waiting.refill(effects.at);
        let count = i64::try_from(effects.events.len()).unwrap_or(i64::MAX);
        if waiting.allowance >= count {
            waiting.allowance -= count;
            waiting.effects.push(effects);
        } else {
            for event in &effects.events {
                waiting.count(event.name());
            }
        }
    }

    /// Counts an operation that was refused.
    pub(crate) fn count(&self, kind: &'static str) {
        self.0.lock().count(kind);
    }

    /// What is to be written now. What was counted is written once a minute, or `everything` now.
    pub(crate) fn take(&self, now: Timestamp, everything: bool) -> Vec<Effects> {
        let mut waiting = self.0.lock();
        waiting.refill(now);
        let mut effects = std::mem::take(&mut waiting.effects);
        let since = *waiting.counts_written_at.get_or_insert(now);
        if !waiting.counts.is_empty() && (everything || now < since || now.since(since) >= COUNTS_EVERY) {
            waiting.counts_written_at = Some(now);
            let counts = std::mem::take(&mut waiting.counts);
            let events = counts.into_iter().map(|(kind, count)| Event::RefusalsCounted { kind, count });
            effects.push(Effects::new(now, &Actor::System.into(), events));
        }
        effects
    }

    /// Takes back what could not be written, as far as there is room.
    pub(crate) fn put_back(&self, effects: Vec<Effects>) {
        let mut waiting = self.0.lock();
        for effects in effects {
            for event in &effects.events {
                if let Event::RefusalsCounted { kind, count } = event {
                    *waiting.counts.entry(kind).or_default() += count;
                }
            }
            let is_summary = effects.events.iter().all(|e| matches!(e, Event::RefusalsCounted { .. }));
            let room = usize::try_from(BURST).unwrap_or_default();
            if !is_summary && waiting.effects.len() < room {
                waiting.effects.push(effects);
            } else if !is_summary {
                for event in &effects.events {
                    waiting.count(event.name());
                }
            }
        }
    }
}

impl Waiting {
    fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Lets more be added for the time that has passed.
    fn refill(&mut self, now: Timestamp) {
        let since = *self.refilled_at.get_or_insert(now);
        let passed = now.as_micros().saturating_sub(since.as_micros());
        let step = i64::try_from(REFILL.as_micros()).unwrap_or(i64::MAX);
        if passed < 0 {
            self.refilled_at = Some(now);
        } else if passed >= step {
            self.allowance = self.allowance.saturating_add(passed / step).min(BURST);
            self.refilled_at = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::LoginFailure;

    const NOON: Timestamp = Timestamp::from_seconds(1_795_435_200);

    fn refusal(at: Timestamp) -> Effects {
        let event = Event::LoginFailed { user: None, reason: LoginFailure::UnknownEmail };
        Effects::new(at, &Actor::Anonymous.into(), [event])
    }

    #[test]
    fn a_flood_is_written_in_part_and_counted_to_the_last_one() {
        let refusals = Refusals::default();
        let (mut written, mut counted) = (0, 0);
        let mut seen = |effects: Vec<Effects>| {
            for event in effects.iter().flat_map(|effects| &effects.events) {
                match event {
                    Event::RefusalsCounted { kind: "login_failed", count } => counted += count,
                    _ => written += 1,
                }
            }
        };
        for second in 0..120 {
            let now = NOON.after(Duration::from_secs(second));
            (0..1000).for_each(|_| refusals.add(refusal(now)));
            assert!(refusals.0.lock().effects.len() <= 100);
            seen(refusals.take(now, false));
        }
        seen(refusals.take(NOON.after(Duration::from_mins(2)), true));
        assert_eq!((written, written + counted), (100 + 119 * 10, 120_000));
    }

    #[test]
    fn what_could_not_be_written_is_kept_or_counted() {
        let refusals = Refusals::default();
        (0..101).for_each(|_| refusals.add(refusal(NOON)));
        let first = refusals.take(NOON, true);
        assert_eq!(first.len(), 101, "a hundred, and the count of the last one");
        refusals.put_back(first);
        let again = refusals.take(NOON, true);
        let count = Event::RefusalsCounted { kind: "login_failed", count: 1 };
        assert_eq!((again.len(), &again[100].events[..]), (101, &[count][..]));
    }

    #[test]
    fn what_is_only_counted_is_written_once_a_minute() {
        let refusals = Refusals::default();
        assert!(refusals.take(NOON, false).is_empty());
        (0..7).for_each(|_| refusals.count("login"));
        assert!(refusals.take(NOON.after(Duration::from_secs(59)), false).is_empty());
        let summary = refusals.take(NOON.after(COUNTS_EVERY), false);
        assert_eq!(summary[0].events, [Event::RefusalsCounted { kind: "login", count: 7 }]);
    }
}
