//! Buckets in memory: a table of fixed size, whoever fills it.

use super::gcra::{Quota, Verdict};
use crate::random::RandomSource;
use parking_lot::Mutex;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// How many buckets lie together: a cache line of tags and one of levels.
const WAYS: usize = 8;
/// A set: the tags of its buckets, and when each is empty, in microseconds. 0 is a bucket that nobody uses.
///
/// Numbers, and not a type of its own: memory of zeros that nobody has written is not there yet, and so
/// a table costs nothing before it is used.
const SET: usize = 2 * WAYS;
/// How many locks there are.
const SHARDS: usize = 64;

/// A table of buckets. A new bucket takes the place of the one that empties first among the eight where it
/// may lie: a full table forgets the least loaded, and refuses nobody.
///
/// The place of a bucket follows from a key that nobody outside knows, so that nobody can choose whom to
/// displace. Two buckets are taken for one with a probability of 2⁻⁶⁴ for each pair.
pub(crate) struct Table {
    shards: Box<[Mutex<Box<[u64]>>]>,
    hasher: foldhash::quality::FixedState,
    key: [u64; 2],
}

/// What a bucket is for, and whose it is.
pub(crate) type Name = [u8; 18];

impl Table {
    /// A table for at least so many buckets, 16 bytes each.
    pub(crate) fn new(buckets: usize, random: &dyn RandomSource) -> Self {
        let sets = (buckets / (SHARDS * WAYS)).next_power_of_two().max(1);
        let shard = || Mutex::new(vec![0; sets * SET].into_boxed_slice());
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
        let mut shard = self.shards[place % SHARDS].lock();
        let (tags, levels) = set(&mut shard, place / SHARDS);
        let found = tags.iter().position(|other| *other == tag);
        quota.decide(found.map_or(Duration::ZERO, |way| Duration::from_micros(levels[way])), now)
    }

    /// The tag of a bucket, which is not 0, and where it lies.
    fn place(&self, name: &Name) -> (u64, usize) {
        let hash = self.hash(name);
        (hash | 1, usize::try_from(hash >> 1).unwrap_or(usize::MAX))
    }

    fn with<T>(&self, name: &Name, now: Duration, change: impl FnOnce(&mut Duration) -> T) -> T {
        let (tag, place) = self.place(name);
        let mut shard = self.shards[place % SHARDS].lock();
        let (tags, levels) = set(&mut shard, place / SHARDS);
        let now = micros(now);
        let found = tags.iter().position(|other| *other == tag);
        let way = found.unwrap_or_else(|| {
            let least = (0..WAYS).min_by_key(|way| levels[*way].max(now));
            let way = least.unwrap_or_default();
            (tags[way], levels[way]) = (tag, 0);
            way
        });
        let mut empty = Duration::from_micros(levels[way]);
        let done = change(&mut empty);
        levels[way] = micros(empty);
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

/// The tags and the levels of a set of a shard.
fn set(shard: &mut [u64], place: usize) -> (&mut [u64], &mut [u64]) {
    let begin = place % (shard.len() / SET) * SET;
    shard[begin..begin + SET].split_at_mut(WAYS)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").finish_non_exhaustive()
    }
}
