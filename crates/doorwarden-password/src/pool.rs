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
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, io};
use tokio::sync::oneshot;

/// How much of the machine passwords may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSettings {
    /// Threads, and so the most hashes at a time. By default one for each core. Each holds the memory of one hash while
    /// there is work, and gives it back after a minute without.
    pub threads: usize,
    /// The most jobs that wait. By default 64 for each thread.
    pub queue: usize,
    /// The longest that a job may wait for its turn. By default one second.
    pub deadline: Duration,
    /// How far the threads step back behind others, from 0 (not at all) to 19. By default 10: other requests stay fast
    /// during a storm of logins, and logins still make progress during a storm of other requests. On Linux only.
    pub niceness: u8,
}

/// Why the pool did not compute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The wait would exceed, or did exceed, the deadline, or the queue is full. Nothing was computed.
    #[error("too many passwords are being checked; try again in {} s", retry_after.as_secs_f64().ceil())]
    Busy {
        /// How long the jobs that wait now will take.
        retry_after: Duration,
    },
    /// The pool was shut down, or the computation failed.
    #[error("the password hashing pool has stopped")]
    Stopped,
}

/// What the pool does and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Jobs that wait.
    pub queued: usize,
    /// Threads that compute.
    pub busy: usize,
    /// Jobs computed since the start.
    pub total: u64,
    /// Jobs refused because of the queue or the deadline since the start.
    pub rejected: u64,
    /// Jobs skipped because nobody waited for them any longer, since the start.
    pub abandoned: u64,
    /// The recent mean time of a job; zero before the first.
    pub mean: Duration,
    /// KiB that Argon2 filled since the start, each pass counted: the work done, whatever time it took.
    pub filled_kib: u64,
}

/// Hashes and verifies passwords on threads of its own, so that neither memory nor processor time can be exhausted
/// through them.
///
/// - Each thread computes one hash at a time in memory that it keeps: threads × the memory of one hash, in all.
/// - Hashes that need more memory than the current cost (imported ones) are computed one at a time in the whole pool, and
///   their memory is given back.
/// - When the wait would exceed the deadline the answer is [`PoolError::Busy`], at once.
/// - A job whose future was dropped before its turn is not computed.
///
/// Futures of the pool can be awaited on any runtime. Dropping the pool is [`shutdown`](Self::shutdown).
pub struct HashPool {
    queue: Arc<Queue>,
    hasher: Hasher,
    decoy: PasswordHash,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl HashPool {
    /// Starts the threads. `random` becomes the salt and the tag of the decoy: fresh random bytes.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(settings: PoolSettings, hasher: Hasher, random: [u8; 48]) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(settings));
        let decoy = hasher.decoy(random);
        let pool = Self { queue, hasher, decoy, threads: Mutex::new(Vec::new()) };
        for _ in 0..settings.threads.max(1) {
            pool.threads.lock().push(worker::start(Arc::clone(&pool.queue), settings.niceness)?);
        }
        Ok(pool)
    }

    /// How hashes are made and read.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// The hash of a password at the current cost. `salt` must be fresh and random.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn hash(&self, password: &Password, salt: [u8; 16]) -> Result<PasswordHash, PoolError> {
        let (hasher, password) = (self.hasher, password.clone());
        self.run(Lane::Normal, move |arena| hasher.hash(&password, salt, arena)).await
    }

    /// Compares a password with a stored hash.
    ///
    /// Where there is nothing to compute ([`Verdict::Unusable`], [`Verdict::Unreadable`], [`Verdict::TooExpensive`]) the
    /// work of the [`decoy`](Self::decoy) is done before answering, so that such users take as long as others: a caller
    /// must not call `decoy` for them again. Hashes of another cost or algorithm than the current one take their own time,
    /// until the login that makes them anew.
    ///
    /// # Errors
    /// [`PoolError`].
    pub async fn verify(&self, password: &Password, hash: &PasswordHash) -> Result<Verdict, PoolError> {
        let lane = if self.hasher.is_large(hash) { Lane::Large } else { Lane::Normal };
        let (hasher, decoy) = (self.hasher, self.decoy.clone());
        let (password, hash) = (password.clone(), hash.clone());
        self.run(lane, move |arena| {
            let verdict = hasher.verify(&password, &hash, arena);
            if matches!(verdict, Verdict::Unusable | Verdict::Unreadable | Verdict::TooExpensive) {
                hasher.verify(&password, &decoy, arena);
            }
            verdict
        })
        .await
    }

    /// Does the work of verifying a hash of the current cost, for a login that names no user. The hash is random and
    /// matches no password.
    ///
    /// # Errors
    /// [`PoolError`], as [`verify`](Self::verify) would.
    pub async fn decoy(&self, password: &Password) -> Result<(), PoolError> {
        self.verify(password, &self.decoy).await.map(drop)
    }

    /// What the pool does and did.
    pub fn stats(&self) -> PoolStats {
        self.queue.stats()
    }

    /// Finishes the hashes that have begun, answers the jobs that wait with [`PoolError::Stopped`], and ends the threads.
    /// Blocks for as long as one hash takes. Later calls of the pool give [`PoolError::Stopped`].
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
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { threads, queue: 64 * threads, deadline: Duration::from_secs(1), niceness: 10 }
    }
}
