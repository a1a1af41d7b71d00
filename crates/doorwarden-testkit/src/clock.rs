use doorwarden_core::time::{Clock, Timestamp};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A clock that shows the same instant until it is moved, so that tests of expiry take no time.
///
/// ```
/// use doorwarden_core::time::Clock;
/// use doorwarden_testkit::{ManualClock, NOON};
/// use std::time::Duration;
///
/// let clock = ManualClock::new(NOON);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), NOON.after(Duration::from_secs(60)));
/// ```
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_micros()))
    }

    /// Moves the clock to `now`, also back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).expect("tests do not wait 292,000 years");
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}
