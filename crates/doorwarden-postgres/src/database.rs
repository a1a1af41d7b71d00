//! One statement on one pooled connection, within a time limit.

use crate::challenges;
use crate::failure::Failure;
use crate::mails;
use crate::options::{Access, OptionsError, PostgresOptions};
use crate::pool::{Connection, Lease, Pool};
use crate::server::Role;
use doorwarden_core::audit::Effects;
use doorwarden_core::store::patience;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

/// How long a caller waits at most, for everything together. The server gives a statement up a little
/// earlier.
pub(crate) const CALL_LIMIT: Duration = Duration::from_millis(1800);

/// How long a sign of life may take.
const PING_LIMIT: Duration = Duration::from_millis(900);

/// How often the server is pinged while it works on a statement that may take long.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// How long closing waits for the calls that have begun.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How often a statement that others have rolled back is tried.
const CONFLICT_TRIES: u32 = 8;

/// What an ordinary connection has set for good.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 1500; \
    SET LOCAL idle_in_transaction_session_timeout = 10000";

/// The same within a transaction.
const LIMITS: &str =
    "SET LOCAL statement_timeout = 1500; SET LOCAL idle_in_transaction_session_timeout = 10000";

/// A parameter and its type. Naming the type saves a round trip.
pub(crate) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// What kind of statement it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Read-only: repeated on a fresh connection if the pooled one turns out to be dead.
    Read,
    /// May have happened although no answer came: never repeated.
    Write,
    /// May look at every row: the limit is 30 s, as long as the server responds to pings.
    Long,
}

/// The connections and what bounds their use.
pub(crate) struct Database {
    pool: Pool,
    pub(crate) access: Access,
    /// One permit per call in progress.
    calls: Semaphore,
    closed: AtomicBool,
    /// Becomes true when the store closes.
    closing: watch::Sender<bool>,
}

impl Database {
    pub(crate) fn new(options: &PostgresOptions) -> Result<Self, OptionsError> {
        let access = options.read()?;
        Ok(Self {
            pool: Pool::new(access.servers.clone(), options.max_connections),
            access,
            calls: Semaphore::new(Semaphore::MAX_PERMITS),
            closed: AtomicBool::new(false),
            closing: watch::Sender::new(false),
        })
    }

    /// Runs a statement and returns its rows.
    pub(crate) async fn rows(
        &self,
        effort: Effort,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let _call = self.begin()?;
        self.rows_of_begun_call(effort, sql, params).await
    }

    /// The same for a call that has begun already, and may finish although the store is closing.
    pub(crate) async fn rows_of_begun_call(
        &self,
        effort: Effort,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Failure> {
        patience::call(CALL_LIMIT, |limit| self.rows_within(limit, effort, sql, params)).await
    }

    async fn rows_within(
        &self,
        limit: Duration,
        effort: Effort,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let deadline = Instant::now() + limit;
        let mut conflicts = 0;
        let mut fresh = false;
        loop {
            match self.attempt(effort, fresh, deadline, sql, params).await {
                Err(failure) if failure.is_conflict() && conflicts < CONFLICT_TRIES => conflicts += 1,
                Err(Failure::Lost(_)) if effort == Effort::Read && !fresh && Instant::now() < deadline => {
                    fresh = true;
                }
                Err(failure) if effort != Effort::Write && failure.is_impossible_text() => {
                    return Ok(Vec::new());
                }
                result => return result,
            }
        }
    }

    /// Runs a statement that gives at most one row.
    pub(crate) async fn row(
        &self,
        effort: Effort,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Option<Row>, Failure> {
        Ok(self.rows(effort, sql, params).await?.pop())
    }

    /// Makes a change, by a statement that gives a row if there is one, with the mails that it causes, and
    /// after the challenge was spent that allows it: all or nothing. Without either it is the one statement.
    pub(crate) async fn change(
        &self,
        effects: &Effects,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Option<Row>, Failure> {
        if effects.mails.is_empty() && effects.spends.is_none() {
            return self.row(Effort::Write, sql, params).await;
        }
        let _call = self.begin()?;
        patience::call(CALL_LIMIT, |limit| async move {
            let deadline = Instant::now() + limit;
            let mut conflicts = 0;
            loop {
                let mut lease = self.pool.take(true, false, deadline).await?;
                let changing = in_transaction(&mut lease, effects, sql, params);
                let result = timeout_at(deadline, changing).await.unwrap_or(Err(Failure::Silent));
                match self.give_back(lease, result) {
                    Err(failure) if failure.is_conflict() && conflicts < CONFLICT_TRIES => conflicts += 1,
                    result => return result,
                }
            }
        })
        .await
    }

    /// Asks the server for a sign of life, by a statement that takes no time.
    pub(crate) async fn ping(&self, sql: &str) -> Result<(), Failure> {
        let _call = self.begin()?;
        let deadline = Instant::now() + PING_LIMIT;
        let answer = match self.attempt(Effort::Read, false, deadline, sql, &[]).await {
            // The pooled connection was dead; that says nothing of the server.
            Err(Failure::Lost(_)) => self.attempt(Effort::Read, true, deadline, sql, &[]).await,
            answer => answer,
        };
        answer.map(drop)
    }

    /// Takes part in what [`close`](Self::close) waits for.
    pub(crate) fn begin(&self) -> Result<SemaphorePermit<'_>, Failure> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Failure::closed());
        }
        self.calls.try_acquire().map_err(|_| Failure::closed())
    }

    /// Refuses new calls, waits for those that have begun, and closes the connections.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.closing.send_replace(true);
        let all = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
        let _ = timeout(CLOSE_LIMIT, self.calls.acquire_many(all)).await;
        self.pool.clear();
    }

    /// Tells when the store closes.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    async fn attempt(
        &self,
        effort: Effort,
        fresh: bool,
        deadline: Instant,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let mut lease = self.pool.take(effort != Effort::Read, fresh, deadline).await?;
        let result = if effort == Effort::Long {
            tokio::select! {
                result = long(&mut lease, sql, params) => result,
                failure = self.watch() => Err(failure),
            }
        } else {
            let query = self.query(lease.connection()?, sql, params);
            timeout_at(deadline, query).await.unwrap_or(Err(Failure::Silent))
        };
        self.give_back(lease, result)
    }

    /// The result of a call, after whose end the connection is used again or not.
    fn give_back<T>(&self, lease: Lease<'_>, result: Result<T, Failure>) -> Result<T, Failure> {
        match result {
            // Dropped: it may still be at work.
            Err(Failure::Silent) => {}
            Err(Failure::Lost(_)) => {
                drop(lease);
                // The others were made for the same server: all that are idle are as dead as this one.
                self.pool.clear();
            }
            _ => lease.give_back()?,
        }
        result
    }

    /// One statement, one round trip: prepared before on this connection, or not at all.
    async fn query(
        &self,
        connection: &Connection,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Failure> {
        if self.access.statement_cache {
            let (values, types): (Vec<_>, Vec<_>) = params.iter().cloned().unzip();
            let statement = connection.prepared(sql, &types).await?;
            return Ok(connection.query(&statement, &values).await?);
        }
        // Nothing stays on a connection behind a transaction pool, so its limits are set each time, in the
        // same packet.
        let (begun, rows, committed) = tokio::join!(
            biased;
            connection.batch_execute(BEGIN),
            connection.query_typed(sql, params),
            connection.batch_execute("COMMIT"),
        );
        begun?;
        let rows = rows?;
        committed?;
        Ok(rows)
    }

    /// Returns when the server gives no sign of life any more. Asks over connections of its own: those of the
    /// pool may all be in use.
    async fn watch(&self) -> Failure {
        loop {
            sleep(WATCH_EVERY).await;
            let asked = self.access.servers.connect(Role::Primary, PING_LIMIT).await;
            if let Err(failure @ (Failure::Lost(_) | Failure::Silent)) = asked {
                return failure;
            }
        }
    }
}

/// What allows a change, the change, and its mails.
async fn in_transaction(
    lease: &mut Lease<'_>,
    effects: &Effects,
    sql: &str,
    params: &[Param<'_>],
) -> Result<Option<Row>, Failure> {
    let transaction = lease.transaction().await?;
    transaction.batch_execute(LIMITS).await?;
    challenges::spend(&transaction, effects).await?;
    let row = transaction.query_typed(sql, params).await?.pop();
    if row.is_some() {
        mails::queue(&transaction, &effects.mails, row.as_ref()).await?;
        transaction.commit().await?;
    } else {
        transaction.rollback().await?;
    }
    Ok(row)
}

/// One statement that may take long, in a transaction of its own because that is how far its time limit
/// reaches.
async fn long(lease: &mut Lease<'_>, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
    let transaction = lease.transaction().await?;
    transaction.batch_execute("SET LOCAL statement_timeout = '30s'").await?;
    let rows = transaction.query_typed(sql, params).await?;
    transaction.commit().await?;
    Ok(rows)
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("idle", &self.pool.idle()).finish_non_exhaustive()
    }
}
