use doorwarden_core::time::{Clock, SystemClock, Timestamp};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A clock that stands still until it is moved, so that tests of expiry need not wait.
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
pub struct ManualClock {
    now: AtomicI64,
    paused: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now.as_micros()), paused: AtomicU64::new(0) }
    }

    /// Sets the clock to `now`, which may be earlier.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now.as_micros(), Ordering::SeqCst);
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).expect("tests do not wait 292,000 years");
        self.now.fetch_add(by, Ordering::SeqCst);
    }

    /// Simulates a suspension of the process for this long.
    pub fn pause(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).expect("tests do not wait 584,000 years");
        self.paused.fetch_add(micros, Ordering::SeqCst);
        self.advance(by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Ordering::SeqCst))
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime() + Duration::from_micros(self.paused.load(Ordering::SeqCst))
    }
}
