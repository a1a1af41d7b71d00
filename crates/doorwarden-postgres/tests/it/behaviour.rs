//! What every store must do.

use doorwarden_core::store::Store;
use doorwarden_postgres::{PostgresOptions, PostgresStore};
use doorwarden_testkit::{TestStore, postgres_database};
use std::sync::Arc;

async fn open() -> Option<TestStore> {
    let database = postgres_database().await?;
    let store = PostgresStore::connect(&PostgresOptions::new(&database.url)).unwrap();
    store.migrate().await.unwrap();
    let sql = database.sql();
    Some(TestStore::new(Arc::new(store), sql, database))
}

doorwarden_testkit::store_suite!(open);
