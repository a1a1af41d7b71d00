//! The generic cell rate algorithm: one number a bucket, which says when the bucket will be empty. It allows
//! exactly what a log of every request would.

use std::time::Duration;

/// So many at once, and after that one more each time that a share of the window has passed.
///
/// ```
/// use doorwarden_core::limit::Quota;
/// use std::time::Duration;
///
/// let quota = Quota::new(30, Duration::from_mins(1));
/// assert_eq!(quota.interval(), Duration::from_secs(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    count: u32,
    window: Duration,
    /// Kept, since a check would divide for longer than for everything else.
    interval: Duration,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is allowed, and counted: the bucket is empty then.
    Allowed(Duration),
    /// It is not, and is not counted. The next one is allowed after this time.
    Denied(Duration),
}

impl Quota {
    /// `count` within `window`. At least one, and a microsecond for each.
    pub fn new(count: u32, window: Duration) -> Self {
        let count = count.max(1);
        let window = window.max(Duration::from_micros(u64::from(count)));
        Self { count, window, interval: window / count }
    }

    /// How many are allowed at once.
    pub fn count(self) -> u32 {
        self.count
    }

    /// The time in which a full bucket empties.
    pub fn window(self) -> Duration {
        self.window
    }

    /// The time in which a full bucket has room for one more.
    pub fn interval(self) -> Duration {
        self.interval
    }

    /// The quota of a bucket that so many share.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        match factor {
            1 => self,
            factor => Self::new(self.count.saturating_mul(factor), self.window),
        }
    }

    /// Decides about a request at `now` in a bucket that is empty at `empty`. Instants are counted from any
    /// moment, the same for both.
    pub fn decide(self, empty: Duration, now: Duration) -> Verdict {
        let level = empty.saturating_sub(now);
        let room = self.interval() * self.count;
        let full = level + self.interval();
        match full.checked_sub(room) {
            None | Some(Duration::ZERO) => Verdict::Allowed(now + full),
            Some(too_much) => Verdict::Denied(too_much),
        }
    }

    /// How many more are allowed at `now` in a bucket that is empty at `empty`.
    pub fn remaining(self, empty: Duration, now: Duration) -> u32 {
        let room = (self.interval() * self.count).saturating_sub(empty.saturating_sub(now));
        u32::try_from(room.as_nanos() / self.interval().as_nanos().max(1)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same by a log of everything that was allowed: one more is too many if, since any of these, more
    /// came than the quota and the time that has passed allow.
    fn by_log(quota: Quota, log: &[Duration], now: Duration) -> bool {
        log.iter().enumerate().all(|(place, since)| {
            let with_this = u128::try_from(log.len() - place + 1).unwrap();
            let passed = now.saturating_sub(*since).as_nanos();
            with_this.saturating_sub(quota.count().into()) * quota.interval().as_nanos() <= passed
        })
    }

    proptest! {
        #[test]
        fn a_bucket_allows_what_a_log_of_all_requests_would(
            count in 1..6_u32,
            window in 1..20_000_u64,
            pauses in prop::collection::vec(prop_oneof![Just(0), 0..50_u64, 0..5_000_u64], 1..200),
        ) {
            let quota = Quota::new(count, Duration::from_micros(window * u64::from(count)));
            let (mut now, mut empty, mut log) = (Duration::from_secs(7), Duration::ZERO, Vec::new());
            for pause in pauses {
                now += Duration::from_micros(pause);
                let before = quota.remaining(empty, now);
                match quota.decide(empty, now) {
                    Verdict::Allowed(next) => {
                        prop_assert!(by_log(quota, &log, now));
                        prop_assert_eq!(quota.remaining(next, now) + 1, before);
                        log.push(now);
                        empty = next;
                    }
                    Verdict::Denied(wait) => {
                        prop_assert!(!by_log(quota, &log, now));
                        prop_assert_eq!(before, 0);
                        prop_assert!(matches!(quota.decide(empty, now + wait), Verdict::Allowed(_)));
                        let just_before = (now + wait).saturating_sub(Duration::from_nanos(1));
                        prop_assert!(matches!(quota.decide(empty, just_before), Verdict::Denied(_)));
                    }
                }
            }
        }
    }

    #[test]
    fn a_quota_is_allowed_at_once_and_then_one_each_interval() {
        let quota = Quota::new(3, Duration::from_secs(6));
        let (now, mut empty) = (Duration::from_hours(1), Duration::ZERO);
        for left in [2, 1, 0] {
            let Verdict::Allowed(next) = quota.decide(empty, now) else { panic!("{left}") };
            empty = next;
            assert_eq!(quota.remaining(empty, now), left);
        }
        assert_eq!(quota.decide(empty, now), Verdict::Denied(Duration::from_secs(2)));
        assert_eq!(quota.remaining(empty, now + Duration::from_secs(4)), 2);
        assert_eq!(quota.remaining(empty, now + Duration::from_hours(1)), 3);
    }
}
