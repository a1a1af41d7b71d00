//! What a store must do. One method is one atomic use case: it happens whole or not at all, and the database decides
//! uniqueness, single use and counters, so that no caller has to look before it writes.
//!
//! `doorwarden-sqlite` and `doorwarden-postgres` implement these traits; every sentence here that says what must hold is
//! a test in `doorwarden-testkit`, run on both.

mod audit;
mod changes;
mod facts;
mod groups;
mod import;
mod keys;
mod migrations;
pub mod patience;
mod sessions;
mod users;

pub use audit::AuditStore;
pub use changes::{Change, ChangeFeed, ChangeSink, Connected, Look};
pub use facts::{DurabilitySetting, StoreFacts};
pub use groups::{GrantError, GroupStore};
pub use import::{ImportStore, ImportWriter, ImportedAccount, NewRights};
pub use keys::{KeyStore, SigningKey};
pub use migrations::{AppliedMigration, Migration};
pub use sessions::{OpenSession, Opened, Renewal, Revocations, Rotation, SessionStore};
pub use users::{
    KeyCollision, PasswordChange, SignedOut, Taken, UserFilter, UserStore, WriteUserError, merge_metadata,
    metadata_text,
};

use crate::audit::Effects;
use crate::time::Timestamp;
use async_trait::async_trait;
use std::sync::Arc;

/// The memory of Doorwarden.
#[async_trait]
pub trait Store:
    UserStore
    + GroupStore
    + SessionStore
    + KeyStore
    + ImportStore
    + AuditStore
    + ChangeFeed
    + Send
    + Sync
    + std::fmt::Debug
    + 'static
{
    /// Brings the schema to the version of this program. Does nothing on a database that is there already; several
    /// instances may call it at once. Refuses a database that a newer program has migrated.
    async fn migrate(&self) -> Result<(), MigrateError>;

    /// The names of the migrations that [`migrate`](Self::migrate) would run, oldest first.
    async fn pending_migrations(&self) -> Result<Vec<String>, MigrateError>;

    /// Asks the database for a sign of life, in at most one second.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Whether requests can be answered: reads from `users`, `doorwarden_sessions` and `doorwarden_keys`, every column of them that a
    /// request needs, in at most one second.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Asks the database for its version, its clock, and the settings on which durability depends. Works before the first
    /// migration, too.
    async fn facts(&self) -> Result<StoreFacts, StoreError>;

    /// What of the database is damaged, in its own words; empty if nothing is known to be. May take long. A server looks after that itself.
    async fn damage(&self) -> Result<Vec<String>, StoreError>;

    /// After a restore, all at once: revokes every signing key, gives no id to anybody that is not `skipped` above all that were given,
    /// and unless `keep_sessions` ends every session and every token without one. May take long. Live views forget everything.
    async fn restored(
        &self,
        at: Timestamp,
        skipped: u32,
        keep_sessions: bool,
        effects: Effects,
    ) -> Result<Restored, StoreError>;

    /// Finishes what was begun and closes every connection. Later calls fail with [`StoreError::Unavailable`].
    async fn close(&self);

    /// `sqlite` or `postgres`.
    fn kind(&self) -> &'static str;
}

/// What [`Store::restored`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// How many signing keys were revoked: what they have signed since the copy was made nobody knows.
    pub keys: u64,
    /// How many sessions were ended: some of them had ended before.
    pub sessions: u64,
}

/// The database did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is closing, or did not answer in time. What was asked may or may not have happened.
    #[error("the database is not available: {0}")]
    Unavailable(Arc<str>),
    /// It refused, or holds something that cannot be read. A fault of ours or of the data, not of the caller.
    #[error("the database failed: {0}")]
    Failed(Arc<str>),
}

impl StoreError {
    /// The database cannot be reached.
    pub fn unavailable(why: impl std::fmt::Display) -> Self {
        Self::Unavailable(why.to_string().into())
    }

    /// The database refused.
    pub fn failed(why: impl std::fmt::Display) -> Self {
        Self::Failed(why.to_string().into())
    }
}

/// The schema could not be brought to the version of this program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// A newer program has migrated this database.
    #[error(
        "the database was migrated by a newer version (it has {0}); use that version, or restore a backup"
    )]
    Newer(String),
    /// A migration that was run is not the one that this program knows under the same number.
    #[error("migration {0} was changed after it had been run on this database")]
    Changed(String),
    /// Doorwarden was never here, and something of another program has a name that it needs.
    #[error("{0} is in this database already and is not Doorwarden's, which needs a place of its own")]
    Taken(String),
    /// The role may not create tables.
    #[error("the database role {role} may not create tables in the schema {schema}")]
    Forbidden {
        /// Who asks.
        role: String,
        /// Where the tables belong.
        schema: String,
    },
    /// The server lets nobody in by what the URL says (the user, the password, or a database that does not exist), which waiting does
    /// not change.
    #[error("the database refused the connection: {0}")]
    Denied(String),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
