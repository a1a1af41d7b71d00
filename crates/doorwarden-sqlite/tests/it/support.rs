use async_trait::async_trait;
use doorwarden_core::store::Store;
use doorwarden_sqlite::{SqliteOptions, SqliteStore, Synchronous};
use doorwarden_testkit::{RawSql, TempDir, TestStore, sqlite_path};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// SQL by hand, over a connection of somebody else: nothing of ours is set on it but patience, and like
/// the `sqlite3` shell it does not enforce foreign keys.
pub(crate) struct ByHand(pub(crate) PathBuf);

#[async_trait]
impl RawSql for ByHand {
    async fn execute(&self, sql: &str) -> Result<(), String> {
        let run = || {
            let connection = rusqlite::Connection::open(&self.0)?;
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.pragma_update(None, "foreign_keys", false)?;
            connection.execute_batch(sql)
        };
        run().map_err(|error| error.to_string())
    }
}

/// A store on a fresh, migrated database. Without waiting for the disk, which behaviour does not depend on.
pub(crate) async fn open() -> Option<TestStore> {
    Some(Database::new().migrated().await)
}

/// A file that does not exist yet, removed when this is dropped.
pub(crate) struct Database {
    pub(crate) path: PathBuf,
    folder: TempDir,
}

impl Database {
    pub(crate) fn new() -> Self {
        let (folder, path) = sqlite_path();
        Self { path, folder }
    }

    pub(crate) fn store(&self) -> SqliteStore {
        SqliteStore::open(&SqliteOptions::new(&self.path).synchronous(Synchronous::Normal)).unwrap()
    }

    /// A migrated store with everything that the suite's helpers can do.
    pub(crate) async fn migrated(self) -> TestStore {
        let store = self.store();
        store.migrate().await.unwrap();
        TestStore::new(Arc::new(store), ByHand(self.path.clone()), self.folder)
    }

    /// A connection of somebody else.
    pub(crate) fn connection(&self) -> Connection {
        connection(&self.path)
    }
}

pub(crate) fn connection(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection.pragma_update(None, "foreign_keys", false).unwrap();
    connection
}
