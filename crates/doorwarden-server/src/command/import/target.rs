//! The database to import into.

use crate::config::Config;
use crate::failure::Failure;
use doorwarden::core::flow::import::{OnConflict, Survey};
use doorwarden::core::store::Store;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::Arc;

/// The target is inspected before it is changed, so a run that imports nothing does not create a database.
pub(super) struct Target<'c> {
    config: &'c Config,
    store: Option<Arc<dyn Store>>,
}

impl<'c> Target<'c> {
    /// Opens the database if it has Doorwarden's tables.
    pub(super) async fn look(config: &'c Config) -> Result<Self, Failure> {
        let mut target = Self { config, store: None };
        if config.sqlite_path().is_none_or(has_accounts) {
            let store = config.builder()?.open_store()?;
            if store.pending_migrations().await?.is_empty() || store.count_users().await.is_ok() {
                target.store = Some(store);
            }
        }
        Ok(target)
    }

    /// The store, if it exists.
    pub(super) fn store(&self) -> Option<&dyn Store> {
        self.store.as_deref()
    }

    /// Whether there are no users.
    pub(super) async fn is_empty(&self) -> Result<bool, Failure> {
        match &self.store {
            Some(store) => Ok(store.count_users().await? == 0),
            None => Ok(true),
        }
    }

    /// Starts checking rows.
    pub(super) async fn survey(&self, on_conflict: OnConflict) -> Result<Survey, Failure> {
        let passwords = self.config.hasher()?;
        match &self.store {
            Some(store) => Ok(Survey::of(store.as_ref(), on_conflict, passwords).await?),
            None => Ok(Survey::of_empty(on_conflict, passwords)),
        }
    }

    /// The store, migrated unless the configuration forbids it.
    pub(super) async fn ready(self) -> Result<Arc<dyn Store>, Failure> {
        let store = match self.store {
            Some(store) => store,
            None => self.config.builder()?.open_store()?,
        };
        if self.config.migrate {
            store.migrate().await?;
        }
        Ok(store)
    }
}

/// Whether the file exists and has Doorwarden's tables. Opening it as a store would change it.
fn has_accounts(path: &Path) -> bool {
    let sql = "SELECT count(*) FROM sqlite_master WHERE name = 'doorwarden_migrations'";
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .and_then(|connection| connection.query_row(sql, (), |row| row.get::<_, i64>(0)))
        .is_ok_and(|count| count > 0)
}
