//! The source of randomness.

use crate::time::Timestamp;
use std::fmt;
use uuid::Uuid;

/// A source of cryptographically secure random bytes. A parameter everywhere, so that tests can repeat
/// themselves.
pub trait RandomSource: Send + Sync + fmt::Debug + 'static {
    /// Fills `bytes` with fresh random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn RandomSource {
    /// `N` fresh random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// A UUIDv7: its first 48 bits are this instant, the rest is random.
pub(crate) fn uuid(now: Timestamp, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(now.as_micros() / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl RandomSource for SystemRandom {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the machine for randomness"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        // Without randomness no salt, no session id and no key is safe: stopping is the only safe reaction.
        getrandom::fill(bytes).expect("the operating system provides randomness");
    }
}
