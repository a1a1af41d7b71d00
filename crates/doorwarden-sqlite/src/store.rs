use crate::connection::SqliteOptions;
use crate::failure::Failure;
use crate::feed::{self, Poke};
use crate::migrations;
use crate::readers::Readers;
use crate::rows::one;
use crate::writer::Writer;
use async_trait::async_trait;
use doorwarden_core::store::{
    ChangeFeed, ChangeSink, DurabilitySetting, MigrateError, Store, StoreError, StoreFacts,
};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::fmt;
use std::sync::Arc;

/// Accounts in a SQLite database. Cheap to clone; the last clone that is dropped closes it.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    options: SqliteOptions,
    writer: Writer,
    readers: Readers,
    follower: Arc<Mutex<Option<Poke>>>,
}

impl SqliteStore {
    /// Opens the database, and creates it if there is none. Does not migrate it.
    ///
    /// # Errors
    /// If the file cannot be created or opened, or is no database.
    pub fn open(options: &SqliteOptions) -> Result<Self, StoreError> {
        options
            .create()
            .map_err(|error| StoreError::unavailable(format!("{}: {error}", options.path.display())))?;
        let follower: Arc<Mutex<Option<Poke>>> = Arc::default();
        let poked = Arc::clone(&follower);
        let writer = Writer::start(options, move || {
            if let Some(poke) = poked.lock().as_ref() {
                // Full: the follower is about to look anyway.
                let _ = poke.try_send(());
            }
        })?;
        let readers = Readers::new(options.clone());
        Ok(Self(Arc::new(Inner { options: options.clone(), writer, readers, follower })))
    }

    pub(crate) fn options(&self) -> &SqliteOptions {
        &self.0.options
    }

    /// How many transactions this store has committed.
    pub fn commits(&self) -> u64 {
        self.0.writer.commits()
    }

    pub(crate) fn read<T, E: From<Failure>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.0.readers.read(work)
    }

    /// Reads what takes long, beside the async workers.
    pub(crate) async fn scan<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || store.read(work)).await;
        Ok(done.unwrap_or(Err(Failure::Unavailable("the database is closed")))?)
    }

    pub(crate) async fn write<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        StoreError: Into<E>,
    {
        self.0.writer.run(work).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn migrate(&self) -> Result<(), MigrateError> {
        Ok(self.write(migrations::migrate).await?)
    }

    async fn pending_migrations(&self) -> Result<Vec<String>, MigrateError> {
        Ok(self.read(migrations::pending)?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A table, not a constant: the file must be there.
        self.read(|connection| one(connection, "SELECT count(*) FROM sqlite_master", (), |_| Ok(())))?;
        Ok(())
    }

    async fn facts(&self) -> Result<StoreFacts, StoreError> {
        // Asked of the writer: each connection has settings of its own.
        self.write(|connection| facts(connection).map_err(StoreError::from)).await
    }

    async fn close(&self) {
        let store = self.clone();
        let closed = tokio::task::spawn_blocking(move || {
            store.0.follower.lock().take();
            store.0.readers.close();
            store.0.writer.stop();
        });
        if closed.await.is_err() {
            tracing::error!("the database could not be closed");
        }
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }
}

fn facts(connection: &Connection) -> Result<StoreFacts, Failure> {
    let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0))?;
    let setting = |name, value, safe| DurabilitySetting { name, value, safe };
    let levels = ["off", "normal", "full", "extra"];
    let level = usize::try_from(synchronous).ok().and_then(|level| levels.get(level)).copied();
    Ok(StoreFacts {
        version: format!("SQLite {}", rusqlite::version()),
        now: None,
        durability: vec![
            setting("journal_mode", journal.clone(), journal == "wal"),
            setting("synchronous", level.unwrap_or("unknown").to_owned(), synchronous >= 2),
        ],
    })
}

impl ChangeFeed for SqliteStore {
    fn follow(&self, sink: Arc<dyn ChangeSink>) {
        let (poke, pokes) = feed::channel();
        *self.0.follower.lock() = Some(poke);
        feed::start(self.0.options.clone(), pokes, sink);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.follower.lock().take();
        self.writer.stop();
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.options.path).finish_non_exhaustive()
    }
}
