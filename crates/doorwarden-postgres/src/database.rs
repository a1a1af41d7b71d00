//! One statement on one pooled connection, within a time limit.

use crate::failure::Failure;
use crate::options::{Access, OptionsError, PostgresOptions};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

/// How long a caller waits, for everything together. The server gives a statement up a little earlier.
pub(crate) const CALL_LIMIT: Duration = Duration::from_millis(1800);

/// How long a sign of life may take.
const PING_LIMIT: Duration = Duration::from_millis(900);

/// How often the server is asked for a sign of life while it works on a statement that may take long.
const WATCH_EVERY: Duration = Duration::from_millis(500);

/// How long closing waits for the calls that have begun.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How often a statement that others have rolled back is tried.
const CONFLICT_TRIES: u32 = 8;

/// A parameter and its type. Naming the type saves the round trip that asks for it.
pub(crate) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// What kind of statement it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Changes nothing: asked again on a fresh connection if the pooled one turns out to be dead.
    Read,
    /// May have happened although no answer came: never repeated.
    Write,
    /// May look at every row: the limit is 30 s, as long as the server gives signs of life.
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
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(access.config.clone(), access.tls.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(options.max_connections)
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a pool with a runtime can be built");
        Ok(Self {
            pool,
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
        let deadline = Instant::now() + CALL_LIMIT;
        let mut conflicts = 0;
        let mut may_repeat = effort == Effort::Read;
        loop {
            match self.attempt(effort, deadline, sql, params).await {
                Err(failure) if failure.is_conflict() && conflicts < CONFLICT_TRIES => conflicts += 1,
                Err(Failure::Lost(_)) if may_repeat && Instant::now() < deadline => may_repeat = false,
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

    /// Asks the server for a sign of life.
    pub(crate) async fn ping(&self) -> Result<(), Failure> {
        let _call = self.begin()?;
        self.attempt(Effort::Read, Instant::now() + PING_LIMIT, "SELECT 1", &[]).await.map(drop)
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
        self.pool.close();
    }

    /// Tells when the store closes.
    pub(crate) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    async fn attempt(
        &self,
        effort: Effort,
        deadline: Instant,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, Failure> {
        let mut lease = Lease(Some(self.connection(deadline).await?));
        let result = match &mut lease.0 {
            Some(connection) if effort == Effort::Long => tokio::select! {
                result = long(connection, sql, params) => result,
                failure = self.watch() => Err(failure),
            },
            Some(connection) => {
                let query = query(connection, self.access.statement_cache, sql, params);
                timeout_at(deadline, query).await.unwrap_or_else(|_| Err(Failure::silent()))
            }
            None => Err(Failure::closed()),
        };
        if matches!(result, Err(Failure::Lost(_))) {
            // The others were made for the same server: all that are idle are as dead as this one.
            self.pool.retain(|_, _| false);
        } else {
            drop(lease.0.take());
        }
        result
    }

    /// A connection from the pool. That all are in use is no sign that the server is gone, hence the two limits.
    async fn connection(&self, deadline: Instant) -> Result<Object, Failure> {
        let wait = deadline.saturating_duration_since(Instant::now()) * 9 / 10;
        let limits = Timeouts { wait: Some(wait), create: None, recycle: None };
        let connection = timeout_at(deadline, self.pool.timeout_get(&limits)).await;
        Ok(connection.map_err(|_| Failure::silent())??)
    }

    /// Returns when the server gives no sign of life any more. Asks over connections of its own: those of the pool may
    /// all be in use.
    async fn watch(&self) -> Failure {
        loop {
            sleep(WATCH_EVERY).await;
            if let Err(failure @ Failure::Lost(_)) = self.access.connect(PING_LIMIT).await {
                return failure;
            }
        }
    }
}

/// A connection that does not go back to the pool unless it is taken out of here: it is lost, or its statement was
/// abandoned and may still be running.
struct Lease(Option<Object>);

impl Drop for Lease {
    fn drop(&mut self) {
        drop(self.0.take().map(Object::take));
    }
}

/// One statement, one round trip: prepared before on this connection, or not at all.
async fn query(
    connection: &Object,
    statement_cache: bool,
    sql: &str,
    params: &[Param<'_>],
) -> Result<Vec<Row>, Failure> {
    if !statement_cache {
        let client: &Client = connection;
        return Ok(client.query_typed(sql, params).await?);
    }
    let (values, types): (Vec<_>, Vec<_>) = params.iter().cloned().unzip();
    let statement = connection.prepare_typed_cached(sql, &types).await?;
    Ok(connection.query(&statement, &values).await?)
}

/// One statement that may take long, in a transaction of its own because that is how far its time limit reaches.
async fn long(connection: &mut Object, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Failure> {
    let transaction = connection.transaction().await?;
    transaction.batch_execute("SET LOCAL statement_timeout = '30s'").await?;
    let rows = transaction.query_typed(sql, params).await?;
    transaction.commit().await?;
    Ok(rows)
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}
