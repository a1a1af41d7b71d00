//! Buckets in memory: a table of fixed size, whoever fills it.

use super::gcra::{Quota, Verdict};
use crate::random::RandomSource;
use parking_lot::Mutex;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// How many buckets lie together: a cache line of keys and one of levels, which come into the cache together.
const WAYS: usize = 8;
/// How many locks there are.
const SHARDS: usize = 64;

/// A table of buckets. A new bucket takes the place of the one that empties first among the eight where it
/// may lie: a full table forgets the least loaded, and refuses nobody.
///
/// The place of a bucket follows from a key that nobody outside knows, so that nobody can choose whom to
/// displace. Two buckets are taken for one with a probability of 2⁻⁶⁴ for each pair.
pub(crate) struct Table {
    shards: Box<[Mutex<Box<[Set]>>]>,
    hasher: foldhash::quality::FixedState,
    key: [u64; 2],
}

#[derive(Clone, Copy, Default)]
#[repr(align(128))]
struct Set {
    tags: [u64; WAYS],
    /// When the bucket is empty, in microseconds; 0 is a bucket that nobody uses.
    empty: [u64; WAYS],
}

/// What a bucket is for, and whose it is.
pub(crate) type Name = [u8; 18];

impl Table {
    /// A table for at least so many buckets, 16 bytes each.
    pub(crate) fn new(buckets: usize, random: &dyn RandomSource) -> Self {
        let sets = (buckets / (SHARDS * WAYS)).next_power_of_two().max(1);
        let shard = || Mutex::new(vec![Set::default(); sets].into_boxed_slice());
        let seed = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: foldhash::quality::FixedState::with_seed(seed(random.bytes())),
            key: [seed(random.bytes()), seed(random.bytes())],
        }
    }

    /// Counts one request in a bucket, if there is room for it.
    pub(crate) fn take(&self, name: &Name, quota: Quota, now: Duration) -> Verdict {
        self.with(name, now, |empty| match quota.decide(*empty, now) {
            Verdict::Allowed(next) => {
                *empty = next;
                Verdict::Allowed(next)
            }
            denied @ Verdict::Denied(_) => denied,
        })
    }

    /// Whether there is room for one more, which is not counted.
    pub(crate) fn look(&self, name: &Name, quota: Quota, now: Duration) -> Verdict {
        let (tag, place) = self.place(name);
        let shard = self.shards[place % SHARDS].lock();
        let set = &shard[place / SHARDS % shard.len()];
        let found = set.tags.iter().position(|other| *other == tag);
        quota.decide(found.map_or(Duration::ZERO, |way| Duration::from_micros(set.empty[way])), now)
    }

    /// The tag of a bucket, which is not 0, and where it lies.
    fn place(&self, name: &Name) -> (u64, usize) {
        let hash = self.hash(name);
        (hash | 1, usize::try_from(hash >> 1).unwrap_or(usize::MAX))
    }

    fn with<T>(&self, name: &Name, now: Duration, change: impl FnOnce(&mut Duration) -> T) -> T {
        let (tag, place) = self.place(name);
        let mut shard = self.shards[place % SHARDS].lock();
        let sets = shard.len();
        let set = &mut shard[place / SHARDS % sets];
        let now = micros(now);
        let found = set.tags.iter().position(|other| *other == tag);
        let way = found.unwrap_or_else(|| {
            let least = (0..WAYS).min_by_key(|way| set.empty[*way].max(now));
            let way = least.unwrap_or_default();
            (set.tags[way], set.empty[way]) = (tag, 0);
            way
        });
        let mut empty = Duration::from_micros(set.empty[way]);
        let done = change(&mut empty);
        set.empty[way] = micros(empty);
        done
    }

    fn hash(&self, name: &Name) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(self.key[0]);
        hasher.write(name);
        hasher.write_u64(self.key[1]);
        hasher.finish()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}
