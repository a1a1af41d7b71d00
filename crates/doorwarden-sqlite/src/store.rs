use crate::audit;
use crate::backup;
use crate::connection::SqliteOptions;
use crate::failure::Failure;
use crate::feed::Follower;
use crate::migrations;
use crate::poke::Poke;
use crate::readers::Readers;
use crate::rows::{get, one, run, session_columns, text, user_columns};
use crate::writer::{LONG, SHORT, Writer};
use async_trait::async_trait;
use doorwarden_core::audit::{Effects, Found};
use doorwarden_core::session::EndReason;
use doorwarden_core::store::{
    ChangeFeed, ChangeSink, DurabilitySetting, MigrateError, Restored, Store, StoreError, StoreFacts,
};
use doorwarden_core::time::Timestamp;
use parking_lot::Mutex;
use rusqlite::Connection;
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a sign of life may take.
const PING_LIMIT: Duration = Duration::from_millis(900);

/// Accounts in a SQLite database. Needs a Tokio runtime. Cheap to clone; the last clone that is dropped
/// closes it.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    options: SqliteOptions,
    writer: Writer,
    readers: Readers,
    poke: Arc<Poke>,
    follower: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteStore {
    /// Opens the database, and creates it (mode 0600) and its folder if there is none. Does not migrate it.
    ///
    /// # Errors
    /// [`MigrateError::Store`] if the file cannot be created or opened, or is no database;
    /// [`MigrateError::Taken`] if it is another program's, which has a table of a name that is needed.
    pub fn open(options: &SqliteOptions) -> Result<Self, MigrateError> {
        let options = options.clone().create()?;
        let poke = Arc::new(Poke::default());
        Ok(Self(Arc::new(Inner {
            writer: Writer::start(options.clone(), Arc::clone(&poke))?,
            readers: Readers::new(options.clone()),
            options,
            poke,
            follower: Mutex::default(),
        })))
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
        let done = spawn_blocking(move || store.read(work)).await;
        Ok(done.unwrap_or(Err(Failure::Unavailable("the database is closed")))?)
    }

    /// Writes: all that `work` does, or nothing if it returns an error.
    pub(crate) async fn write<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.0.writer.run(SHORT, work).await
    }

    /// Writes what may concern many rows.
    pub(crate) async fn write_much<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.0.writer.run(LONG, work).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn migrate(&self) -> Result<(), MigrateError> {
        self.0.readers.check_open()?;
        let options = self.0.options.clone();
        let done = spawn_blocking(move || migrations::migrate(&options)).await;
        done.unwrap_or_else(|_| Err(StoreError::failed("a migration panicked").into()))?;
        self.resolve_pending().await?;
        Ok(())
    }

    async fn pending_migrations(&self) -> Result<Vec<String>, MigrateError> {
        self.read(migrations::pending)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // A table, not a constant: the file must be there.
        let life =
            self.scan(|connection| one(connection, "SELECT count(*) FROM sqlite_master", (), |_| Ok(())));
        let silent = |_| Err(StoreError::unavailable("the database did not answer in time"));
        timeout(PING_LIMIT, life).await.unwrap_or_else(silent)?;
        Ok(())
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let sql = concat!(
            "SELECT EXISTS (SELECT ",
            user_columns!(),
            " FROM users), EXISTS (SELECT ",
            session_columns!(),
            " FROM doorwarden_sessions), EXISTS (SELECT kid, algorithm, sealed, public_jwk, revoked_at FROM doorwarden_keys), \
             EXISTS (SELECT ",
            audit::columns!(),
            " FROM doorwarden_events)"
        );
        let read = self.scan(move |connection| one(connection, sql, (), |_| Ok(())));
        let silent = |_| Err(StoreError::unavailable("the database did not answer in time"));
        timeout(PING_LIMIT, read).await.unwrap_or_else(silent)?;
        Ok(())
    }

    async fn facts(&self) -> Result<StoreFacts, StoreError> {
        // Asked of the writer: each connection has settings of its own.
        self.write(|connection| facts(connection).map_err(StoreError::from)).await
    }

    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        self.scan(|connection| Ok(backup::damage(connection)?)).await
    }

    async fn restored(
        &self,
        at: Timestamp,
        skipped: u32,
        keep_sessions: bool,
        effects: Effects,
    ) -> Result<Restored, StoreError> {
        self.write_much(move |connection| {
            let done = after_restore(connection, at, skipped, keep_sessions)?;
            let Restored { keys, sessions } = done;
            audit::write(connection, &effects.with(Found::Restored { keys, sessions }))?;
            Ok(done)
        })
        .await
    }

    async fn close(&self) {
        self.0.poke.close();
        self.0.readers.close();
        self.0.writer.stop();
        let follower = self.0.follower.lock().take();
        if let Some(follower) = follower
            && !matches!(spawn_blocking(move || follower.join()).await, Ok(Ok(())))
        {
            tracing::error!("the thread that follows the changes panicked");
        }
        self.0.writer.ended().await;
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

fn after_restore(
    connection: &Connection,
    at: Timestamp,
    skipped: u32,
    keep_sessions: bool,
) -> Result<Restored, StoreError> {
    let last = "SELECT max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'users'), 0), \
                coalesce((SELECT max(id) FROM users), 0))";
    let last: i64 = one(connection, last, (), |row| get(row, 0))?.unwrap_or(0);
    run(connection, "DELETE FROM sqlite_sequence WHERE name = 'users'", ())?;
    let sequence = "INSERT INTO sqlite_sequence (name, seq) VALUES ('users', ?1)";
    run(connection, sequence, [last.saturating_add(skipped.into())])?;
    let revoke = "UPDATE doorwarden_keys SET revoked_at = ?1 WHERE revoked_at IS NULL";
    let keys = run(connection, revoke, [at.as_micros()])? as u64;
    let mut sessions = 0;
    if !keep_sessions {
        let end = "UPDATE doorwarden_sessions SET ended_at = ?1, end_reason = ?2 WHERE ended_at IS NULL";
        sessions = run(connection, end, (at.as_micros(), EndReason::Restored.as_str()))? as u64;
        run(connection, "UPDATE users SET tokens_valid_after = ?1", [text(at)])?;
    }
    run(connection, "INSERT INTO doorwarden_changes (kind) VALUES ('everything')", ())?;
    Ok(Restored { keys, sessions })
}

impl ChangeFeed for SqliteStore {
    fn follow(&self, sink: Arc<dyn ChangeSink>) {
        let follower = Follower::new(self.0.options.clone(), Arc::clone(&self.0.poke), sink);
        let started =
            std::thread::Builder::new().name("doorwarden-changes".to_owned()).spawn(|| follower.run());
        match started {
            Ok(thread) => *self.0.follower.lock() = Some(thread),
            // Without the feed every look-up reads the database: slow, but never stale.
            Err(error) => tracing::error!(%error, "the change log cannot be followed"),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.poke.close();
        self.writer.stop();
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.options.path).finish_non_exhaustive()
    }
}
