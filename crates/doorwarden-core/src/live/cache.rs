use crate::store::StoreError;
use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::OnceCell;

const SHARDS: usize = 64;

/// What one look-up in the store found, shared by all that wait for it.
type Flight<V> = Arc<OnceCell<Result<V, StoreError>>>;

/// A bounded map in front of the store. Concurrent misses of one key cause one read, and a value that was
/// read before an invalidation is never kept after it.
///
/// Each shard holds two generations: recent look-ups, and older ones. When the young generation is full it
/// becomes the old one, and the old one is dropped.
pub(super) struct Cache<K, V> {
    shards: Box<[Shard<K, V>]>,
    hasher: RandomState,
    generation: usize,
    /// Which values may be kept.
    keep: fn(&V) -> bool,
    /// Whether the change feed is connected. While it is not, nothing is kept.
    up: AtomicBool,
}

struct Shard<K, V> {
    entries: RwLock<Generations<K, V>>,
    flights: Mutex<HashMap<K, Flight<V>>>,
}

/// The ids come from verified tokens and from the database: a client cannot choose them so that they collide,
/// which is what a slower hash would guard against.
struct Generations<K, V> {
    young: HashMap<K, V, RandomState>,
    old: HashMap<K, V, RandomState>,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub(super) fn new(capacity: usize, keep: fn(&V) -> bool) -> Self {
        let shard = || Shard {
            entries: RwLock::new(Generations { young: HashMap::default(), old: HashMap::default() }),
            flights: Mutex::new(HashMap::new()),
        };
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::default(),
            generation: (capacity / SHARDS / 2).max(1),
            keep,
            up: AtomicBool::new(false),
        }
    }

    /// What is kept under this key.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let shard = self.shard(key);
        {
            let entries = shard.entries.read();
            if let Some(value) = entries.young.get(key) {
                return Some(value.clone());
            }
            entries.old.get(key)?;
        }
        let mut entries = shard.entries.write();
        let value = entries.old.remove(key)?;
        entries.insert(key.clone(), value.clone(), self.generation);
        Some(value)
    }

    /// What is kept under this key, or else what `load` finds. Unless the kept value is `fresh`, `load` runs
    /// for this caller alone: a value that others are just reading may be stale too.
    pub(super) async fn get_or_load(
        &self,
        key: K,
        fresh: bool,
        load: impl Future<Output = Result<V, StoreError>>,
    ) -> Result<V, StoreError> {
        if !fresh {
            return load.await;
        }
        if let Some(value) = self.get(&key) {
            return Ok(value);
        }
        let shard = self.shard(&key);
        let flight = {
            let mut flights = shard.flights.lock();
            // Under the lock, so that no flight is registered after `down` has cleared them.
            if !self.up.load(Ordering::SeqCst) {
                drop(flights);
                return load.await;
            }
            Arc::clone(flights.entry(key.clone()).or_default())
        };
        let found = flight.get_or_init(|| load).await.clone();
        let mut flights = shard.flights.lock();
        if flights.get(&key).is_some_and(|current| Arc::ptr_eq(current, &flight)) {
            flights.remove(&key);
            if let Ok(value) = &found
                && (self.keep)(value)
            {
                shard.entries.write().insert(key, value.clone(), self.generation);
            }
        }
        found
    }

    /// Changes what is kept under this key, if anything is.
    pub(super) fn update(&self, key: &K, change: impl FnOnce(&mut V)) {
        let mut entries = self.shard(key).entries.write();
        let Generations { young, old } = &mut *entries;
        if let Some(value) = young.get_mut(key).or_else(|| old.get_mut(key)) {
            change(value);
        }
    }

    /// Removes a key, and what is just being read under it.
    pub(super) fn invalidate(&self, key: &K) {
        let shard = self.shard(key);
        let mut flights = shard.flights.lock();
        flights.remove(key);
        let mut entries = shard.entries.write();
        entries.young.remove(key);
        entries.old.remove(key);
    }

    /// Removes the entries that `gone` selects, and everything that is just being read.
    pub(super) fn remove_where(&self, gone: impl Fn(&V) -> bool) {
        for shard in &self.shards {
            let mut flights = shard.flights.lock();
            flights.clear();
            let mut entries = shard.entries.write();
            entries.young.retain(|_, value| !gone(value));
            entries.old.retain(|_, value| !gone(value));
        }
    }

    /// Removes everything.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut flights = shard.flights.lock();
            flights.clear();
            let mut entries = shard.entries.write();
            entries.young = HashMap::default();
            entries.old = HashMap::default();
        }
    }

    /// From now on values may be kept.
    pub(super) fn up(&self) {
        self.up.store(true, Ordering::SeqCst);
    }

    /// From now on nothing is kept.
    pub(super) fn down(&self) {
        self.up.store(false, Ordering::SeqCst);
        self.clear();
    }

    /// How many values are kept.
    pub(super) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| {
                let entries = shard.entries.read();
                entries.young.len() + entries.old.len()
            })
            .sum()
    }

    fn shard(&self, key: &K) -> &Shard<K, V> {
        // The upper bits: the lower ones choose the bucket inside the shard's own map.
        let hash = self.hasher.hash_one(key);
        &self.shards[usize::try_from(hash >> 58).unwrap_or(0)]
    }
}

impl<K: Hash + Eq, V> Generations<K, V> {
    fn insert(&mut self, key: K, value: V, generation: usize) {
        if self.young.len() >= generation && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}
