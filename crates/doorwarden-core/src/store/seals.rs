use super::StoreError;
use crate::audit::Effects;
use crate::audit::seal::{AuditState, Mark, Seal, StoredAuditKey, StoredEvent};
use crate::time::Timestamp;
use async_trait::async_trait;
use uuid::Uuid;

/// The seals of the audit log, and what they are made and verified from. Events and seals can be added and
/// nothing else: the database refuses to change them, and to delete those that are not before the cut.
#[async_trait]
pub trait SealStore {
    /// The keys of the chain, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn audit_keys(&self) -> Result<Vec<StoredAuditKey>, StoreError>;

    /// Adds a key of the chain, retires the others, and sets both marks, which it has authenticated. Does so
    /// only if the head is still `former`, by its number and key, and returns whether it is.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn add_audit_key(
        &self,
        key: StoredAuditKey,
        former: &Mark,
        head: Mark,
        cut: Mark,
    ) -> Result<bool, StoreError>;

    /// Replaces the encrypted seed of a key, if it is still `former`; whether it was.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn reseal_audit_key(&self, id: &str, former: &[u8], sealed: &[u8]) -> Result<bool, StoreError>;

    /// The place of the log in the chain, and what is not sealed, at one moment.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn audit_state(&self) -> Result<AuditState, StoreError>;

    /// Events that are committed and not sealed, by their number, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn unsealed_events(&self, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;

    /// The numbers of all events that are committed and not sealed.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn unsealed_ids(&self) -> Result<Vec<i64>, StoreError>;

    /// Lets `holder` make seals until `until`, if no other may at `now`; whether it may.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn lease_sealer(&self, holder: Uuid, now: Timestamp, until: Timestamp) -> Result<bool, StoreError>;

    /// Adds a seal, and moves the head to it. Does nothing if the head is not the seal before, if one of its
    /// events is sealed already, or if another than `holder` has the lease; whether it was added.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn add_seal(&self, holder: Uuid, seal: Seal, head: Mark) -> Result<bool, StoreError>;

    /// Seals by their number, those after `after` and at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn seals(&self, after: i64, limit: u32) -> Result<Vec<Seal>, StoreError>;

    /// Events as they are stored, by their number, those after `after` up to `through`, and at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn stored_events(
        &self,
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError>;

    /// Moves the cut on, and deletes these events, which are those of the seals up to it, and the seals. Does
    /// nothing if the cut is not `former` any more; whether it was moved.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn cut_events(
        &self,
        former: i64,
        cut: Mark,
        ids: &[i64],
        effects: Effects,
    ) -> Result<bool, StoreError>;
}
