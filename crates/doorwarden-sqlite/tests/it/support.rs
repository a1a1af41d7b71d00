use async_trait::async_trait;
use doorwarden_core::store::Store;
use doorwarden_sqlite::{SqliteOptions, SqliteStore, Synchronous};
use doorwarden_testkit::{RawSql, TestStore, sqlite_path};
use std::path::PathBuf;
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
    let (folder, path) = sqlite_path();
    let options = SqliteOptions::new(&path).synchronous(Synchronous::Normal);
    let store = SqliteStore::open(&options).unwrap();
    store.migrate().await.unwrap();
    Some(TestStore::new(Arc::new(store), ByHand(path), folder))
}
