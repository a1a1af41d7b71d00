use doorwarden_core::random::RandomSource;
use std::sync::atomic::{AtomicU64, Ordering};

/// Pseudorandom bytes that are the same in every run (SplitMix64). Predictable, so for tests only.
///
/// ```
/// use doorwarden_core::random::RandomSource;
/// use doorwarden_testkit::SeededRandom;
///
/// let (a, b): (&dyn RandomSource, &dyn RandomSource) = (&SeededRandom::new(1), &SeededRandom::new(1));
/// let first = a.bytes::<16>();
/// assert_eq!(first, b.bytes());
/// assert_ne!(first, a.bytes());
/// ```
#[derive(Debug)]
pub struct SeededRandom(AtomicU64);

impl SeededRandom {
    /// The source for this seed.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    fn next(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl RandomSource for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}
