use crate::audit;
use crate::client::{self, PEER_TIMEOUT};
use crate::database::{Database, Effort};
use crate::failure::Failure;
use crate::feed::Follower;
use crate::migrations;
use crate::options::{Access, OptionsError, PostgresOptions};
use crate::rotation::Rotations;
use crate::rows::{get, optional, session_columns, user_columns};
use crate::server::{Role, Servers};
use crate::values::At;
use async_trait::async_trait;
use doorwarden_core::audit::{Effects, Found};
use doorwarden_core::limit::SharedBuckets;
use doorwarden_core::session::EndReason;
use doorwarden_core::store::{
    ChangeFeed, ChangeSink, DurabilitySetting, MigrateError, Restored, Store, StoreError, StoreFacts,
};
use doorwarden_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

/// The store in a PostgreSQL database. Clones share their connections.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    pub(crate) database: Arc<Database>,
    pub(crate) rotations: Arc<Rotations>,
    /// For connections over which accounts come in bulk.
    pub(crate) bulk: Access,
}

impl PostgresStore {
    /// A store for this database, which need not be up yet: connections are made when they are needed, and
    /// names are looked up each time.
    ///
    /// # Errors
    /// If the options make no sense, or the certificates to trust cannot be read.
    pub fn connect(options: &PostgresOptions) -> Result<Self, OptionsError> {
        let database = Arc::new(Database::new(options)?);
        let bulk = options.read_with(PEER_TIMEOUT)?;
        Ok(Self { rotations: Arc::new(Rotations::new(database.clone())), database, bulk })
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn migrate(&self) -> Result<(), MigrateError> {
        let _call = self.database.begin()?;
        migrations::run(&self.database.access).await?;
        self.resolve_pending().await?;
        Ok(())
    }

    async fn pending_migrations(&self) -> Result<Vec<String>, MigrateError> {
        migrations::pending(&self.database).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.database.ping("SELECT 1").await?)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let sql = concat!(
            "SELECT EXISTS (SELECT ",
            user_columns!(),
            " FROM users u), EXISTS (SELECT ",
            session_columns!(),
            " FROM doorwarden_sessions s), EXISTS (SELECT kid, algorithm, sealed, public_jwk, revoked_at FROM doorwarden_keys), \
             EXISTS (SELECT ",
            audit::columns!(),
            " FROM doorwarden_events)"
        );
        Ok(self.database.ping(sql).await?)
    }

    async fn facts(&self) -> Result<StoreFacts, StoreError> {
        let sql = "SELECT current_setting('server_version'), clock_timestamp(), current_setting('fsync'), \
                   current_setting('full_page_writes'), current_setting('synchronous_commit')";
        let row = self.database.row(Effort::Read, sql, &[]).await?;
        Ok(optional(row.as_ref(), facts)?.ok_or_else(|| StoreError::failed("it says nothing of itself"))?)
    }

    async fn damage(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn restored(
        &self,
        at: Timestamp,
        skipped: u32,
        keep_sessions: bool,
        effects: Effects,
    ) -> Result<Restored, StoreError> {
        let _call = self.database.begin()?;
        let client = client::open(&self.bulk, Role::Primary).await?;
        Ok(after_restore(client, At(at), skipped, keep_sessions, effects).await?)
    }

    async fn close(&self) {
        self.database.close().await;
    }

    fn kind(&self) -> &'static str {
        "postgres"
    }

    fn shared_buckets(self: Arc<Self>) -> Option<Arc<dyn SharedBuckets>> {
        Some(self)
    }
}

/// Over a connection of its own, without the limits of an ordinary one.
async fn after_restore(
    mut client: Client,
    at: At,
    skipped: u32,
    keep_sessions: bool,
    effects: Effects,
) -> Result<Restored, Failure> {
    let transaction = client.transaction().await?;
    transaction
        .batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
        .await?;
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended('doorwarden_follow_ids', 'users'::regclass::oid::bigint))";
    transaction.query_typed(lock, &[]).await?;
    let skip = "SELECT setval('users_id_seq', $1 + greatest(coalesce(pg_sequence_last_value('users_id_seq'), 0), \
                coalesce((SELECT max(id) FROM users), 0)))";
    transaction.query_typed(skip, &[(&i64::from(skipped), Type::INT8)]).await?;
    let revoke = "UPDATE doorwarden_keys SET revoked_at = $1 WHERE revoked_at IS NULL";
    let keys = transaction.execute_typed(revoke, &[(&at, Type::TIMESTAMPTZ)]).await?;
    let mut sessions = 0;
    if !keep_sessions {
        let end = "UPDATE doorwarden_sessions SET ended_at = $1, end_reason = $2 WHERE ended_at IS NULL";
        let reason = EndReason::Restored.as_str();
        sessions = transaction.execute_typed(end, &[(&at, Type::TIMESTAMPTZ), (&reason, Type::TEXT)]).await?;
        let users = "UPDATE users SET tokens_valid_after = $1";
        transaction.execute_typed(users, &[(&at, Type::TIMESTAMPTZ)]).await?;
    }
    transaction.batch_execute("INSERT INTO doorwarden_changes (kind) VALUES ('everything')").await?;
    let effects = audit::parameter(&effects.with(Found::Restored { keys, sessions }));
    transaction.execute_typed(audit::WRITE, &[(&effects, Type::TEXT)]).await?;
    transaction.commit().await?;
    Ok(Restored { keys, sessions })
}

fn facts(row: &Row) -> Result<StoreFacts, Failure> {
    let setting = |place, name| {
        let value = get::<String>(row, place)?;
        Ok::<_, Failure>(DurabilitySetting { name, safe: value != "off", value })
    };
    Ok(StoreFacts {
        version: format!("PostgreSQL {}", get::<&str>(row, 0)?),
        now: Some(get::<At>(row, 1)?.0),
        durability: vec![
            setting(2, "fsync")?,
            setting(3, "full_page_writes")?,
            setting(4, "synchronous_commit")?,
        ],
    })
}

/// How often every host is checked for being the primary.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Asks until the store closes.
async fn ask_around(servers: Arc<Servers>, mut closing: watch::Receiver<bool>) {
    let asking = async {
        loop {
            servers.ask_around().await;
            sleep(ASK_EVERY).await;
        }
    };
    tokio::select! {
        // Also when the store was dropped.
        _ = closing.wait_for(|closing| *closing) => {}
        () = asking => {}
    }
}

impl ChangeFeed for PostgresStore {
    fn follow(&self, sink: Arc<dyn ChangeSink>) {
        let servers = Arc::clone(&self.database.access.servers);
        tokio::spawn(ask_around(servers, self.database.closing()));
        let follower = Follower::new(self.database.access.clone(), self.database.closing(), sink);
        tokio::spawn(follower.run());
    }
}
