//! One write: work that runs inside a transaction which it shares with others, and whoever waits for its
//! result.

use crate::failure::Failure;
use crate::rows::run;
use doorwarden_core::store::StoreError;
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;
use tokio::sync::oneshot;

/// A write that waits for its turn.
pub(crate) trait Job: Send {
    /// Since when it waits.
    fn since(&self) -> Instant;

    /// Whether the caller no longer waits for the result.
    fn is_abandoned(&self) -> bool;

    /// Does the work in a savepoint of its own: whole or not at all. An error means that the transaction is
    /// lost.
    fn run(&mut self, connection: &Connection) -> Result<(), Failure>;

    /// Answers, once it is known what became of the transaction.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// Work that returns `T` or `E`.
struct Task<F, T, E> {
    work: Option<F>,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, E>>,
    since: Instant,
}

/// A job that does this work, and where its result arrives.
pub(crate) fn job<F, T, E>(work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, E>>)
where
    F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let (answer, result) = oneshot::channel();
    (Box::new(Task { work: Some(work), result: None, answer, since: Instant::now() }), result)
}

impl<F, T, E> Job for Task<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn since(&self) -> Instant {
        self.since
    }

    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> Result<(), Failure> {
        let Some(work) = self.work.take() else { return Ok(()) };
        run(connection, "SAVEPOINT job", ())?;
        // A fault in one job must not take the thread with it.
        let result = catch_unwind(AssertUnwindSafe(|| work(connection))).unwrap_or_else(|_| {
            tracing::error!("a write panicked");
            Err(StoreError::failed("a write panicked").into())
        });
        if connection.is_autocommit() {
            return Err(Failure::Unavailable(
                "the transaction was lost: the disk is full or does not answer",
            ));
        }
        if result.is_err() {
            run(connection, "ROLLBACK TO job", ())?;
        }
        run(connection, "RELEASE job", ())?;
        self.result = Some(result);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (committed, self.result) {
            // Also if the work was refused: perhaps because of another's that now has not happened.
            (Err(failure), _) => Err(failure.into()),
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(StoreError::unavailable("the write was not begun").into()),
        };
        // The caller may be gone.
        let _ = self.answer.send(result);
    }
}
