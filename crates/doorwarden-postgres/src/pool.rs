//! Reused connections, and the two bounds on their number: those that are in use or idle, and those whose
//! caller has given up while the server still works.

use crate::failure::Failure;
use crate::server::{Line, Role, Servers};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

/// The connections.
pub(crate) struct Pool {
    servers: Arc<Servers>,
    idle: Mutex<Vec<Connection>>,
    /// One for each connection that may be in use.
    places: Arc<Semaphore>,
    /// One for each that may be abandoned. Whoever writes takes one before: a commit that waits for a standby
    /// ends when it ends, whoever gives up, and must not keep a place from those who read.
    abandoned: Arc<Semaphore>,
    most: usize,
}

/// A connection that is open.
pub(crate) struct Connection {
    client: Client,
    generation: u64,
    statements: Mutex<HashMap<String, Statement>>,
    /// What is free again when this is gone and the connection has ended on the server, too.
    seat: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

/// A connection in use. One that is not given back was abandoned.
pub(crate) struct Lease<'p> {
    pool: &'p Pool,
    connection: Option<Connection>,
    place: Option<OwnedSemaphorePermit>,
    reserved: Option<OwnedSemaphorePermit>,
}

impl Pool {
    pub(crate) fn new(servers: Arc<Servers>, most: usize) -> Self {
        Self {
            servers,
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(most)),
            abandoned: Arc::new(Semaphore::new(most)),
            most,
        }
    }

    /// A connection. `writes`: the statement may have to continue although its caller no longer waits.
    /// `fresh`: one that was not used before.
    pub(crate) async fn take(
        &self,
        writes: bool,
        fresh: bool,
        deadline: Instant,
    ) -> Result<Lease<'_>, Failure> {
        // That all are in use is no sign that the server is gone, hence the two limits.
        let patience = deadline.saturating_duration_since(Instant::now()) * 9 / 10;
        let until = Instant::now() + patience;
        let reserved = match writes {
            true => Some(permit(&self.abandoned, until).await?),
            false => None,
        };
        let place = permit(&self.places, until).await?;
        let connection = match (fresh, self.reusable()) {
            (false, Some(connection)) => connection,
            _ => self.open(deadline.saturating_duration_since(Instant::now())).await?,
        };
        Ok(Lease { pool: self, connection: Some(connection), place: Some(place), reserved })
    }

    /// Drops idle connections.
    pub(crate) fn clear(&self) {
        self.idle.lock().clear();
    }

    /// Number of idle connections.
    pub(crate) fn idle(&self) -> usize {
        self.idle.lock().len()
    }

    fn reusable(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        std::iter::from_fn(|| idle.pop()).find(|connection| self.is_good(connection))
    }

    fn is_good(&self, connection: &Connection) -> bool {
        !connection.client.is_closed() && connection.generation == self.servers.generation()
    }

    async fn open(&self, limit: Duration) -> Result<Connection, Failure> {
        let Line { client, connection, generation } = self.servers.connect(Role::Primary, limit).await?;
        let seat = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&seat);
        tokio::spawn(async move {
            // The task ends when the client is dropped and the server has completed its statements. Errors
            // are returned to the client.
            let _ = connection.await;
            drop(kept);
        });
        Ok(Connection { client, generation, statements: Mutex::default(), seat })
    }
}

async fn permit(of: &Arc<Semaphore>, until: Instant) -> Result<OwnedSemaphorePermit, Failure> {
    match timeout_at(until, Arc::clone(of).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) => Err(Failure::closed()),
        Err(_) => Err(Failure::Busy("no connection in time".to_owned())),
    }
}

impl Connection {
    /// A statement that is prepared once on each connection.
    pub(crate) async fn prepared(&self, sql: &str, types: &[Type]) -> Result<Statement, Failure> {
        let known = self.statements.lock().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare_typed(sql, types).await?;
        self.statements.lock().insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Lease<'_> {
    /// The connection.
    pub(crate) fn connection(&mut self) -> Result<&mut Connection, Failure> {
        self.connection.as_mut().ok_or_else(Failure::closed)
    }

    /// Begins a transaction.
    pub(crate) async fn transaction(&mut self) -> Result<tokio_postgres::Transaction<'_>, Failure> {
        Ok(self.connection()?.client.transaction().await?)
    }

    /// The server has answered: the connection may be used again. An error if another server has taken over
    /// in the meantime.
    pub(crate) fn give_back(mut self) -> Result<(), Failure> {
        let Some(connection) = self.connection.take() else { return Ok(()) };
        if connection.generation != self.pool.servers.generation() {
            return Err(Failure::lost("another server answers now"));
        }
        let mut idle = self.pool.idle.lock();
        if idle.len() < self.pool.most && !connection.client.is_closed() {
            idle.push(connection);
        }
        Ok(())
    }
}

impl Drop for Lease<'_> {
    /// The caller gave up: the server may still be working, and the connection is counted until the statement
    /// has ended.
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let spare = || Arc::clone(&self.pool.abandoned).try_acquire_owned().ok();
        let seat = self.reserved.take().or_else(spare).or_else(|| self.place.take());
        *connection.seat.lock() = seat;
    }
}
