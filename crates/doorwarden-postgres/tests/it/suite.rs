//! What every store must do.

use crate::support::database;
use doorwarden_testkit::TestStore;
use std::sync::Arc;

async fn open() -> Option<TestStore> {
    let database = database().await?;
    let store = Arc::new(database.migrated().await);
    let sql = database.by_hand();
    Some(TestStore::new(store, sql, database))
}

doorwarden_testkit::store_suite!(open);
