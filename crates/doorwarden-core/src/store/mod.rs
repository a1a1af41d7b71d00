//! What a store must do. One method is one atomic use case: it happens entirely or not at all, and the
//! database decides uniqueness, single use and counters, so that no caller has to look before it writes.
//!
//! `doorwarden-sqlite` and `doorwarden-postgres` implement these traits; every sentence here that says what
//! must hold is a test in `doorwarden-testkit`, run on both.

mod attempts;
mod audit;
mod challenges;
mod changes;
mod export;
mod factors;
mod facts;
mod groups;
mod import;
mod keys;
mod mails;
mod migrations;
pub mod patience;
mod seals;
mod sessions;
mod users;
mod webhooks;

pub use crate::mail::NewMail;
pub use attempts::{AttemptStore, Attempted, PasswordAttempt};
pub use audit::{AuditStore, EventFilter};
pub use challenges::{ChallengeStore, CreateChallengeError};
pub use changes::{Change, ChangeFeed, ChangeSink, Connected, Look};
pub use export::ExportStore;
pub use factors::{
    AddFactorError, Enrolled, Enrolment, FactorRemoval, FactorStore, NewRecoveryCodes, PasskeyUse, Removed,
};
pub use facts::{DurabilitySetting, StoreFacts};
pub use groups::{GrantError, GroupStore};
pub use import::{ImportStore, ImportWriter, ImportedAccount, ImportedFactors, NewRights};
pub use keys::{KeyStore, SigningKey};
pub use mails::{MailQueue, MailRecord, MailState, MailStore, QueuedMail};
pub use migrations::{AppliedMigration, Migration};
pub use seals::SealStore;
pub use sessions::{OpenSession, Opened, Renewal, Revocations, Rotation, SessionStore};
pub use users::{
    KeyCollision, PasswordChange, SignedOut, Taken, UserFilter, UserStore, WriteUserError, merge_metadata,
    metadata_text,
};
pub use webhooks::{Claimed, DeliveryFailure, DeliveryQueue, WebhookStore};

use crate::audit::Effects;
use crate::limit::SharedBuckets;
use crate::time::Timestamp;
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;

/// The storage of Doorwarden.
#[async_trait]
pub trait Store:
    UserStore
    + GroupStore
    + SessionStore
    + KeyStore
    + ImportStore
    + AttemptStore
    + AuditStore
    + SealStore
    + ChallengeStore
    + ExportStore
    + FactorStore
    + MailStore
    + WebhookStore
    + ChangeFeed
    + Send
    + Sync
    + fmt::Debug
    + 'static
{
    /// Brings the schema to the version of this program. Does nothing if the schema is current; several
    /// instances may call it at once. Refuses a database that a newer program has migrated.
    async fn migrate(&self) -> Result<(), MigrateError>;

    /// The names of the migrations that [`migrate`](Self::migrate) would run, oldest first.
    async fn pending_migrations(&self) -> Result<Vec<String>, MigrateError>;

    /// Checks that the database responds within one second.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Whether requests can be answered: reads from `users`, `doorwarden_sessions` and `doorwarden_keys`,
    /// every column of them that a request needs, in at most one second.
    async fn ready(&self) -> Result<(), StoreError>;

    /// Asks the database for its version, its clock, and the settings on which durability depends. Also works
    /// before the first migration.
    async fn facts(&self) -> Result<StoreFacts, StoreError>;

    /// The known damage of the database, in the database's own words; empty if there is none. May take long.
    /// A server looks after that itself.
    async fn damage(&self) -> Result<Vec<String>, StoreError>;

    /// Makes a restored database safe, all at once: revokes every signing key, skips `skipped` ids after the
    /// highest id, and unless `keep_sessions` ends every session and every token without a session. May take
    /// long. Live views drop their contents.
    async fn restored(
        &self,
        at: Timestamp,
        skipped: u32,
        keep_sessions: bool,
        effects: Effects,
    ) -> Result<Restored, StoreError>;

    /// Finishes running operations and closes every connection. Later calls fail with
    /// [`StoreError::Unavailable`].
    async fn close(&self);

    /// `sqlite` or `postgres`.
    fn kind(&self) -> &'static str;

    /// The buckets that all instances on this database count in together; `None` if there is but one
    /// instance.
    fn shared_buckets(self: Arc<Self>) -> Option<Arc<dyn SharedBuckets>> {
        None
    }
}

/// The result of [`Store::restored`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// How many signing keys were revoked: it is not known what they have signed since the copy was made.
    pub keys: u64,
    /// How many sessions were ended; some of them may have ended since the copy was made.
    pub sessions: u64,
}

/// The database operation failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is closing, or did not respond in time. The operation may or may not
    /// have taken place.
    #[error("the database is not available: {0}")]
    Unavailable(Reason),
    /// The database refused the operation, or a stored value cannot be read: a bug, or damaged data, not an
    /// error of the caller.
    #[error("the database failed: {0}")]
    Failed(Reason),
    /// The challenge that allowed the operation was spent, has expired, or its account has changed since.
    /// Nothing happened.
    #[error("the link or code was used already, or can no longer be used")]
    Spent,
}

impl StoreError {
    /// The database cannot be reached.
    pub fn unavailable(why: impl fmt::Display) -> Self {
        Self::Unavailable(Reason::new(why))
    }

    /// The database refused.
    pub fn failed(why: impl fmt::Display) -> Self {
        Self::Failed(Reason::new(why))
    }

    /// Advice on how to fix the problem.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Unavailable(reason) | Self::Failed(reason) => reason.hint(),
            Self::Spent => None,
        }
    }
}

/// Why a database operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    text: Arc<str>,
    hint: Option<Arc<str>>,
}

impl Reason {
    /// A reason without advice.
    pub fn new(text: impl fmt::Display) -> Self {
        Self { text: text.to_string().into(), hint: None }
    }

    /// The reason with advice on how to fix the problem.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<Arc<str>>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The reason at this place, such as a file or a host: `PLACE: REASON`.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { text: format!("{place}: {}", self.text).into(), ..self }
    }

    /// Advice on how to fix the problem.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// The reason without its hint.
impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The schema could not be brought to the version of this program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// A newer program has migrated this database.
    #[error("the database was migrated by a newer version (it has `{0}`)")]
    Newer(String),
    /// A migration that was run differs from the one that this program has under the same number.
    #[error("migration `{0}` was changed after it was applied to this database")]
    Changed(String),
    /// Doorwarden has not used this database before, and another program's table has a name that Doorwarden
    /// needs.
    #[error("{0} already exists in this database and is not Doorwarden's")]
    Taken(String),
    /// The role may not create tables.
    #[error("database role `{role}` may not create tables in schema `{schema}`")]
    Forbidden {
        /// The role.
        role: String,
        /// The schema of the tables.
        schema: String,
    },
    /// The server refuses the connection because of what the URL says (the user, the password, or a database
    /// that does not exist), so that retrying does not help.
    #[error("the database refused the connection: {0}")]
    Denied(Reason),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl MigrateError {
    /// Advice on how to fix the problem.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Newer(_) => Some("use that version, or restore a backup"),
            Self::Taken(_) => Some("use another database or schema"),
            Self::Denied(reason) => reason.hint(),
            Self::Store(error) => error.hint(),
            Self::Changed(_) | Self::Forbidden { .. } => None,
        }
    }
}
