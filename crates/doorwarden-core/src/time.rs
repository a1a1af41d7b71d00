//! Instants and clocks.

use std::fmt;
use std::time::Duration;

/// An instant in UTC with microseconds, as both databases keep it.
///
/// Displayed as RFC 3339 with six decimals and `Z`, always 27 characters for the years 0 to 9999, so that the
/// text sorts like the instant.
///
/// ```
/// use doorwarden_core::time::Timestamp;
/// let t: Timestamp = "2026-11-23T18:56:05.5Z".parse().unwrap();
/// assert_eq!(t.to_string(), "2026-11-23T18:56:05.500000Z");
/// assert_eq!(t.as_seconds(), 1_795_460_165);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 instant between the years 0 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 date and time, such as 2026-11-23T18:56:05Z")]
pub struct ParseTimestampError;

impl Timestamp {
    /// From microseconds since 1970-01-01T00:00:00Z.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From whole seconds since 1970-01-01T00:00:00Z, as in a token's `exp`. Saturates.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This instant and `duration` later. Saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// This instant and `duration` earlier. Saturates.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }

    /// How much later this is than `earlier`; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// 1970-01-01T00:00:00 in UTC.
const EPOCH: jiff::civil::DateTime = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A civil time, because jiff's instants end a day before the year 9999 does.
        match EPOCH.checked_add(jiff::SignedDuration::from_micros(self.0)) {
            Ok(t) if (0..=9999).contains(&t.year()) => write!(f, "{t:.6}Z"),
            _ => write!(f, "{}us", self.0),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let micros = match text.strip_suffix(['Z', 'z']) {
            // Only digits, colons and a point behind the date: jiff would overlook an offset.
            Some(utc) if utc.get(11..).is_some_and(|time| !time.contains(['+', '-', '['])) => {
                let t: jiff::civil::DateTime = utc.parse().map_err(|_| ParseTimestampError)?;
                t.duration_since(EPOCH).as_micros()
            }
            _ => text.parse::<jiff::Timestamp>().map_err(|_| ParseTimestampError)?.as_microsecond().into(),
        };
        i64::try_from(micros).map(Self).map_err(|_| ParseTimestampError)
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Tells what time it is. A parameter everywhere, so that tests of expiry take no time.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// The present instant.
    fn now(&self) -> Timestamp;

    /// How long ago some fixed instant was, by a monotonic clock, which includes sleep where the platform has
    /// such a clock.
    fn uptime(&self) -> Duration {
        machine_uptime()
    }

    /// Whether the clock shows the machine's time, which may be wrong, and not a chosen time.
    fn is_machines(&self) -> bool {
        false
    }
}

#[cfg(target_os = "linux")]
fn machine_uptime() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let whole = Duration::from_secs(time.tv_sec.unsigned_abs());
    whole + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

#[cfg(not(target_os = "linux"))]
fn machine_uptime() -> Duration {
    static ORIGIN: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    ORIGIN.elapsed()
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Timestamp {
        C::now(self)
    }

    fn uptime(&self) -> Duration {
        C::uptime(self)
    }

    fn is_machines(&self) -> bool {
        C::is_machines(self)
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the machine for the time")]
    fn now(&self) -> Timestamp {
        let since_epoch =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(micros(since_epoch))
    }

    fn is_machines(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_fixed_width_and_sorts_like_the_instant() {
        let a = Timestamp::from_micros(1_538_654_400_000_000);
        let b = a.after(Duration::from_micros(1));
        assert_eq!(a.to_string(), "2018-10-04T12:00:00.000000Z");
        assert!(a.to_string() < b.to_string());
        assert_eq!(b.to_string().parse(), Ok(b));
        for edge in [-62_167_219_200_000_000, -1, 253_402_300_799_999_999] {
            let edge = Timestamp::from_micros(edge);
            assert_eq!(edge.to_string().len(), 27);
            assert_eq!(edge.to_string().parse(), Ok(edge));
        }
        assert_eq!("2018-10-04T14:00:00+02:00".parse(), Ok(a));
    }

    #[test]
    fn seconds_round_down_also_before_1970() {
        assert_eq!(Timestamp::from_micros(-1).as_seconds(), -1);
        assert_eq!(Timestamp::from_micros(1_999_999).as_seconds(), 1);
    }

    #[test]
    fn what_is_not_an_instant_is_refused() {
        for text in [
            "",
            "Z",
            "2026-11-23Z",
            "2026-13-01T00:00:00Z",
            "2026-11-23T18:56:05+01:00Z",
            "yesterday",
            "2026-11-23",
            "2026-11-23T18:56:05",
            "+12026-01-01T00:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }
}
