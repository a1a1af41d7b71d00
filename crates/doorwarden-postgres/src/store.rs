use crate::database::Database;
use crate::feed::Follower;
use crate::migrations;
use crate::options::{OptionsError, PostgresOptions};
use crate::rotation::Rotations;
use async_trait::async_trait;
use doorwarden_core::store::{ChangeFeed, ChangeSink, MigrateError, Store, StoreError};
use std::sync::Arc;

/// The store in a PostgreSQL database. Clones share their connections.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pub(crate) database: Arc<Database>,
    pub(crate) rotations: Arc<Rotations>,
}

impl PostgresStore {
    /// A store for this database, which need not be up yet: connections are made when they are needed, and names are
    /// looked up each time.
    ///
    /// # Errors
    /// If the options make no sense, or the certificates to trust cannot be read.
    pub fn connect(options: &PostgresOptions) -> Result<Self, OptionsError> {
        let database = Arc::new(Database::new(options)?);
        Ok(Self { rotations: Arc::new(Rotations::new(database.clone())), database })
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn migrate(&self) -> Result<(), MigrateError> {
        let _call = self.database.begin().map_err(StoreError::from)?;
        migrations::run(&self.database.access).await
    }

    async fn pending_migrations(&self) -> Result<Vec<String>, MigrateError> {
        migrations::pending(&self.database).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.database.ping().await?)
    }

    async fn close(&self) {
        self.database.close().await;
    }

    fn kind(&self) -> &'static str {
        "postgres"
    }
}

impl ChangeFeed for PostgresStore {
    fn follow(&self, sink: Arc<dyn ChangeSink>) {
        let follower = Follower::new(self.database.access.clone(), self.database.closing(), sink);
        tokio::spawn(follower.run());
    }
}
