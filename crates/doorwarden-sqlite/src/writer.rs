//! The thread that writes. All waiting jobs go into one transaction, and their results are returned after the
//! commit: while the disk works for one batch, the next one collects. There is no timer, so a single write
//! does not wait.

use crate::connection::{Opened, SqliteOptions};
use crate::failure::Failure;
use crate::job::{Job, job};
use crate::poke::Poke;
use crate::rows::run;
use doorwarden_core::store::{StoreError, patience};
use parking_lot::Mutex;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;
use tokio::time::timeout;

/// How many jobs may wait.
const QUEUE: usize = 4096;

/// How many jobs share one commit at most.
const BATCH: usize = 256;

/// How long a job may wait for other processes that write.
const LOCK_LIMIT: Duration = Duration::from_millis(1500);

/// After how long without a job the thread checks its files.
const IDLE: Duration = Duration::from_secs(1);

/// How long that waits for readers.
const REST_LIMIT: Duration = Duration::from_millis(50);

/// How long the answer to a write may take.
pub(crate) const SHORT: Duration = Duration::from_millis(1900);

/// How long the answer to a write may take that concerns many rows.
pub(crate) const LONG: Duration = Duration::from_mins(1);

/// The way to the thread that writes.
pub(crate) struct Writer {
    jobs: Mutex<Option<SyncSender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Closed when the thread has ended.
    ended: watch::Receiver<()>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread, which pokes whoever follows the changes after each commit.
    pub(crate) fn start(options: SqliteOptions, poke: Arc<Poke>) -> Result<Self, StoreError> {
        let opened = Some(options.writer()?);
        let (sender, jobs) = sync_channel(QUEUE);
        let (running, ended) = watch::channel(());
        let commits = Arc::new(AtomicU64::new(0));
        let work =
            Work { options, opened, poke, commits: Arc::clone(&commits), has_written: false, written: None };
        let thread = std::thread::Builder::new()
            .name("doorwarden-write".to_owned())
            .spawn(move || {
                work.run(&jobs);
                drop(running);
            })
            .map_err(StoreError::unavailable)?;
        Ok(Self { jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), ended, commits })
    }

    /// Runs `work` in a savepoint of its own and returns when it is committed. An error of it undoes what it
    /// did, and nothing else.
    pub(crate) async fn run<T, E>(
        &self,
        limit: Duration,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (job, answer) = job(work);
        self.submit(job).map_err(StoreError::from)?;
        let answered = match limit {
            SHORT => patience::call(limit, |limit| timeout(limit, answer)).await,
            _ => timeout(limit, answer).await,
        };
        match answered {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StoreError::from(Failure::CLOSED).into()),
            Err(_) => Err(StoreError::unavailable("the write took too long").into()),
        }
    }

    /// How many transactions were committed.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Refuses later jobs. The thread does what waits, then ends.
    pub(crate) fn stop(&self) {
        self.jobs.lock().take();
    }

    /// Waits for the end of the thread.
    pub(crate) async fn ended(&self) {
        // Nothing is ever sent: this returns when the other end is gone.
        let _ = self.ended.clone().changed().await;
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the writing thread panicked");
        }
    }

    fn submit(&self, job: Box<dyn Job>) -> Result<(), Failure> {
        match self.jobs.lock().as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err(Failure::Unavailable("too much waits to be written")),
            _ => Err(Failure::CLOSED),
        }
    }
}

/// What the thread has.
struct Work {
    options: SqliteOptions,
    opened: Option<Opened>,
    poke: Arc<Poke>,
    commits: Arc<AtomicU64>,
    /// Whether anything was written since the log was cut.
    has_written: bool,
    /// When the database was last written as far as this thread knows; `None` if it does not.
    written: Option<SystemTime>,
}

impl Work {
    /// Takes jobs until the channel is closed. What arrived during one commit goes into the next one.
    fn run(mut self, jobs: &Receiver<Box<dyn Job>>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let first = match jobs.recv_timeout(IDLE) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    self.rest();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            batch.extend(std::iter::once(first).chain(jobs.try_iter()).take(BATCH));
            // A client that no longer waits for the response must not lose its refresh token.
            batch.retain(|job| !job.is_abandoned());
            if !batch.is_empty() {
                self.settle(&mut batch);
            }
        }
        self.finish();
    }

    /// One transaction, and the answers.
    fn settle(&mut self, batch: &mut Vec<Box<dyn Job>>) {
        let committed = self.transact(batch);
        match &committed {
            Ok(()) => {
                self.has_written = true;
                self.written = database_written(&self.options);
                self.commits.fetch_add(1, Ordering::Relaxed);
                self.poke.now();
            }
            Err(failure) => {
                tracing::warn!(?failure, jobs = batch.len(), "a transaction failed");
                // A connection that failed is not used again: its file may be gone.
                if !failure.is_busy() {
                    self.opened = None;
                }
            }
        }
        let committed = committed.map_err(StoreError::from);
        for job in batch.drain(..) {
            job.answer(committed.clone());
        }
    }

    fn transact(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        let connection = self.connection()?;
        let oldest = batch.iter().map(|job| job.since()).min().unwrap_or_else(Instant::now);
        connection.busy_timeout((oldest + LOCK_LIMIT).saturating_duration_since(Instant::now()))?;
        run(connection, "BEGIN IMMEDIATE", ())?;
        let result = batch.iter_mut().try_for_each(|job| job.run(connection));
        let result = result.and_then(|()| run(connection, "COMMIT", ()));
        if result.is_err() && !connection.is_autocommit() {
            run(connection, "ROLLBACK", ())?;
        }
        result.map(|_| ())
    }

    /// The connection; a new one if it failed, or if another file lies at the path now.
    fn connection(&mut self) -> Result<&Connection, Failure> {
        let opened = match self.opened.take() {
            Some(opened) if self.options.is_current(&opened)? => opened,
            Some(opened) => {
                self.leave(&opened);
                drop(opened);
                self.options.writer()?
            }
            None => self.options.writer()?,
        };
        let connection = &self.opened.insert(opened).connection;
        if self.written.is_none() {
            self.written = database_written(&self.options);
        }
        Ok(connection)
    }

    /// What to do with files that are no longer those at the path. A removed log holds acknowledged writes:
    /// it is checkpointed into the database, unless another program has written to the database since,
    /// because the two must not be mixed.
    fn leave(&mut self, opened: &Opened) {
        let is_ours = self.options.identity().is_ok_and(|identity| identity == opened.identity)
            && self.written.is_some()
            && self.written == database_written(&self.options);
        self.written = None;
        let left = match is_ours {
            true => opened.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"),
            false => {
                opened.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(|_| ())
            }
        };
        tracing::error!(
            saved = is_ours && left.is_ok(),
            "the files of the database were replaced or removed while in use"
        );
    }

    /// Nothing waits: is everything where it was? And the log need not stay as long as it was at its longest.
    fn rest(&mut self) {
        if self.opened.is_none() || self.connection().is_err() || !self.has_written {
            return;
        }
        let Some(opened) = &self.opened else { return };
        let cut = opened.connection.busy_timeout(REST_LIMIT).and_then(|()| {
            opened.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0))
        });
        // 1: there is a reader; the next time will do.
        self.has_written = cut != Ok(0);
        self.written = database_written(&self.options);
    }

    /// The last writer leaves a database without a log behind, so that the file alone is a whole copy.
    fn finish(&mut self) {
        if let Ok(connection) = self.connection()
            && let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        {
            tracing::debug!(%error, "the last checkpoint failed");
        }
    }
}

/// When the database itself was last written.
fn database_written(options: &SqliteOptions) -> Option<SystemTime> {
    std::fs::metadata(&options.path).and_then(|file| file.modified()).ok()
}

#[cfg(test)]
mod tests {
    use crate::rows::run;
    use crate::{SqliteOptions, SqliteStore};
    use doorwarden_core::store::{Store, StoreError, UserStore};
    use doorwarden_testkit::{new_user, no_effects, sqlite_path};

    #[tokio::test]
    async fn a_panic_undoes_its_own_write_and_nothing_else() {
        let (_folder, path) = sqlite_path();
        let store = SqliteStore::open(&SqliteOptions::new(path)).unwrap();
        store.migrate().await.unwrap();
        let panics = store.write::<(), StoreError>(|connection| {
            run(connection, "INSERT INTO doorwarden_groups (name) VALUES ('half')", ())?;
            panic!("on purpose")
        });
        let (failed, created) = tokio::join!(panics, store.create_user(new_user("ada"), no_effects()));
        assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
        assert_eq!(store.user(created.as_ref().unwrap().id).await.unwrap(), created.ok());
        let groups = doorwarden_core::store::GroupStore::groups(&store).await.unwrap();
        assert_eq!(groups, []);
        store.close().await;
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_gave_up_did_not_happen() {
        let (_folder, path) = sqlite_path();
        let store = SqliteStore::open(&SqliteOptions::new(path)).unwrap();
        store.migrate().await.unwrap();
        // As after a failure of the disk.
        let lost = store.write::<_, StoreError>(|connection| {
            run(connection, "ROLLBACK", ())?;
            Ok::<_, StoreError>(())
        });
        let (created, lost) = tokio::join!(store.create_user(new_user("ada"), no_effects()), lost);
        assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
        assert_eq!(store.count_users().await.unwrap(), u64::from(created.is_ok()));
        store.create_user(new_user("bob"), no_effects()).await.unwrap();
        store.close().await;
        assert!(matches!(store.count_users().await, Err(StoreError::Unavailable(_))));
    }
}
