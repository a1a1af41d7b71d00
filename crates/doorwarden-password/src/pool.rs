//! The hashing pool: threads, a bounded queue, and a deadline.

mod queue;
#[cfg(test)]
mod tests;
mod worker;

use crate::encoded::PasswordHash;
use crate::hasher::{Hasher, Verdict};
use crate::secret::Password;
use parking_lot::Mutex;
use queue::{Lane, Queue};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, io};
use tokio::sync::oneshot;

/// The resources that password hashing may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolSettings {
    /// The number of threads, and so the maximum number of hashes at a time. By default one for each core.
    /// Each thread holds the memory of one hash while there is work, and frees it after a minute without
    /// work.
    pub threads: usize,
    /// The maximum number of waiting jobs. By default 64 for each thread.
    pub queue: usize,
    /// The maximum time that a job waits. By default one second.
    pub deadline: Duration,
    /// The niceness of the threads, from 0 to 19. By default 10: other requests stay fast during a storm of
    /// logins, and logins still make progress during a storm of other requests. On Linux only.
    pub niceness: u8,
}

/// Why the pool did not compute a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The wait would exceed, or did exceed, the deadline, or the queue is full. Nothing was computed.
    #[error("too many passwords are being checked; try again in {} s", retry_after.as_secs_f64().ceil())]
    Busy {
        /// How long the waiting jobs will take.
        retry_after: Duration,
    },
    /// The pool was shut down, or the computation failed.
    #[error("the password hashing pool has stopped")]
    Stopped,
}

/// The state and the counters of a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Waiting jobs.
    pub queued: usize,
    /// Busy threads.
    pub busy: usize,
    /// Jobs computed since the start.
    pub total: u64,
    /// Jobs refused because of the queue or the deadline since the start.
    pub rejected: u64,
    /// Jobs skipped since the start, because their futures were dropped.
    pub abandoned: u64,
    /// The recent mean time of a job; zero before the first.
    pub mean: Duration,
    /// KiB that Argon2 has filled since the start, counting each pass.
    pub filled_kib: u64,
}

/// Hashes and verifies passwords on its own threads, so that password hashing cannot exhaust memory or
/// processor time.
///
/// - Each thread computes one hash at a time in memory that it keeps: in total, threads × the memory of one
///   hash.
/// - Hashes that need more memory than the current cost (imported ones) are computed one at a time in the
///   whole pool, and their memory is freed.
/// - When the wait would exceed the deadline, [`PoolError::Busy`] is returned at once.
/// - A job whose future was dropped before its turn is not computed.
///
/// Futures of the pool can be awaited on any runtime. Dropping the pool calls [`shutdown`](Self::shutdown).
pub struct HashPool {
    queue: Arc<Queue>,
    hasher: Hasher,
    dummy: PasswordHash,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl HashPool {
    /// Starts the threads. `random` must be fresh random bytes: they become the salt and the tag of the dummy
    /// hash.
    ///
    /// # Errors
    /// If the operating system cannot start a thread.
    pub fn start(settings: PoolSettings, hasher: Hasher, random: [u8; 48]) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(settings));
        let dummy = hasher.dummy(random);
        let pool = Self { queue, hasher, dummy, threads: Mutex::new(Vec::new()) };
        for _ in 0..settings.threads.max(1) {
            pool.threads.lock().push(worker::start(Arc::clone(&pool.queue), settings.niceness)?);
        }
        Ok(pool)
    }

    /// The hasher of the pool.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// The hash of a password at the current cost. `salt` must be fresh and random.
    ///
    /// # Errors
    /// If the wait would exceed the deadline, the queue is full or the pool has stopped.
    pub async fn hash(&self, password: &Password, salt: [u8; 16]) -> Result<PasswordHash, PoolError> {
        let (hasher, password) = (self.hasher, password.clone());
        self.run(Lane::Normal, move |arena| hasher.hash(&password, salt, arena)).await
    }

    /// Compares a password with a stored hash.
    ///
    /// Where there is nothing to compute ([`Verdict::Unusable`], [`Verdict::Unreadable`],
    /// [`Verdict::TooExpensive`]), the dummy hash is verified before returning, so that such users take as
    /// long as others; do not call [`verify_dummy`](Self::verify_dummy) for them again. Hashes of another
    /// cost or algorithm than the current one take another time, until a login replaces them.
    ///
    /// # Errors
    /// If the wait would exceed the deadline, the queue is full or the pool has stopped.
    pub async fn verify(&self, password: &Password, hash: &PasswordHash) -> Result<Verdict, PoolError> {
        let lane = if self.hasher.is_large(hash) { Lane::Large } else { Lane::Normal };
        let (hasher, dummy) = (self.hasher, self.dummy.clone());
        let (password, hash) = (password.clone(), hash.clone());
        self.run(lane, move |arena| {
            let verdict = hasher.verify(&password, &hash, arena);
            if matches!(verdict, Verdict::Unusable | Verdict::Unreadable | Verdict::TooExpensive) {
                hasher.verify(&password, &dummy, arena);
            }
            verdict
        })
        .await
    }

    /// Verifies the dummy hash, which matches no password, so that a login of an unknown user takes as long
    /// as that of a known one.
    ///
    /// # Errors
    /// If the wait would exceed the deadline, the queue is full or the pool has stopped.
    pub async fn verify_dummy(&self, password: &Password) -> Result<(), PoolError> {
        self.verify(password, &self.dummy).await.map(drop)
    }

    /// The state and the counters of a pool.
    pub fn stats(&self) -> PoolStats {
        self.queue.stats()
    }

    /// Finishes the running hashes, refuses the waiting jobs with [`PoolError::Stopped`], and ends the
    /// threads. Blocks for as long as one hash takes. Later calls return [`PoolError::Stopped`].
    pub fn shutdown(&self) {
        self.queue.stop();
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                tracing::error!("a hashing thread panicked");
            }
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        lane: Lane,
        work: impl FnOnce(&mut crate::Arena) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (reply, answer) = oneshot::channel();
        self.queue.submit(lane, Box::new(queue::Request::new(work, reply)))?;
        answer.await.unwrap_or(Err(PoolError::Stopped))
    }
}

impl Drop for HashPool {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl fmt::Debug for HashPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashPool")
            .field("hasher", &self.hasher)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Default for PoolSettings {
    fn default() -> Self {
        // Asked once: the answer takes the reading of three files, and settings have many defaults.
        static CORES: LazyLock<usize> =
            LazyLock::new(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        let threads = *CORES;
        Self { threads, queue: 64 * threads, deadline: Duration::from_secs(1), niceness: 10 }
    }
}
