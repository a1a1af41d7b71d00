//! The thread that writes.

use crate::connection::SqliteOptions;
use crate::failure::Failure;
use doorwarden_core::store::StoreError;
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// How many jobs may wait.
const QUEUE: usize = 4096;
/// How many jobs share one commit at most.
const BATCH: usize = 256;

/// Does the work, or takes notice that it cannot be done, and gives what tells the caller once it is known whether the
/// commit succeeded.
type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Tell + Send>;
type Tell = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The way to the thread that writes.
pub(crate) struct Writer {
    jobs: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread. `committed` is called after each commit.
    pub(crate) fn start(
        options: &SqliteOptions,
        committed: impl Fn() + Send + 'static,
    ) -> Result<Self, StoreError> {
        let connection = options.writer().map_err(StoreError::from)?;
        let (sender, receiver) = sync_channel::<Job>(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        let thread = std::thread::Builder::new()
            .name("doorwarden-sqlite".to_owned())
            .spawn(move || {
                work(&connection, &receiver, || {
                    counter.fetch_add(1, Ordering::Relaxed);
                    committed();
                });
                // The last writer leaves a database without a log behind.
                if let Err(error) =
                    connection.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)")
                {
                    tracing::debug!(%error, "the last checkpoint failed");
                }
            })
            .map_err(StoreError::unavailable)?;
        Ok(Self { jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), commits })
    }

    /// Runs `work` in a savepoint of its own and returns when it is committed. An error of it undoes what it did, and nothing else.
    pub(crate) async fn run<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        StoreError: Into<E>,
    {
        let (sender, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let result = match connection {
                Ok(connection) => in_savepoint(connection, work),
                Err(error) => Err(error.into()),
            };
            Box::new(move |commit| {
                let told = match commit {
                    Ok(()) => result,
                    Err(error) => Err(error.into()),
                };
                // Whoever asked may be gone.
                let _ = sender.send(told);
            })
        });
        self.submit(job)?;
        answer.await.unwrap_or_else(|_| Err(Failure::Unavailable("the database is closed").into()))
    }

    /// How many transactions were committed.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Does what waits, then ends. Later jobs are refused.
    pub(crate) fn stop(&self) {
        lock(&self.jobs).take();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the writing thread panicked");
        }
    }

    fn submit(&self, job: Job) -> Result<(), Failure> {
        match lock(&self.jobs).as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => Ok(()),
            Some(Err(TrySendError::Full(_))) => Err(Failure::Unavailable("too much waits to be written")),
            _ => Err(Failure::Unavailable("the database is closed")),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn in_savepoint<T, E: From<Failure>>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let run =
        |sql: &str| connection.prepare_cached(sql).and_then(|mut s| s.execute(())).map_err(Failure::from);
    run("SAVEPOINT job")?;
    let result = catch_unwind(AssertUnwindSafe(|| work(connection))).unwrap_or_else(|_| {
        tracing::error!("a write panicked");
        Err(Failure::Unreadable("a write panicked".to_owned()).into())
    });
    if result.is_err() {
        run("ROLLBACK TO job")?;
    }
    run("RELEASE job")?;
    result
}

/// Takes jobs until nobody can send any more. What arrived during one commit goes into the next one.
fn work(connection: &Connection, jobs: &Receiver<Job>, committed: impl Fn()) {
    let run =
        |sql: &str| connection.execute_batch(sql).map_err(|error| StoreError::from(Failure::from(error)));
    while let Ok(first) = jobs.recv() {
        let batch = std::iter::once(first).chain(jobs.try_iter().take(BATCH - 1));
        if let Err(error) = run("BEGIN IMMEDIATE") {
            for job in batch {
                job(Err(error.clone()))(Ok(()));
            }
            continue;
        }
        let told: Vec<Tell> = batch
            .map(|job| {
                // A full disk may have ended the transaction; outside of one each savepoint would commit by itself.
                let lost =
                    connection.is_autocommit().then(|| StoreError::unavailable("the transaction was lost"));
                job(lost.map_or(Ok(connection), Err))
            })
            .collect();
        let commit = run("COMMIT");
        if commit.is_ok() {
            committed();
        } else if !connection.is_autocommit()
            && let Err(error) = run("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be undone");
        }
        for tell in told {
            tell(commit.clone());
        }
    }
}
