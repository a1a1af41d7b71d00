//! The source of randomness.

use std::fmt;

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
