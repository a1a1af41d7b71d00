//! Buckets that instances share.

use crate::support::database;
use doorwarden_core::store::Store;
use doorwarden_testkit::buckets::every_behaviour;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn instances_count_together() {
    let Some(database) = database().await else { return };
    let store: Arc<dyn Store> = Arc::new(database.migrated().await);
    every_behaviour(&store.shared_buckets().unwrap()).await;
}
