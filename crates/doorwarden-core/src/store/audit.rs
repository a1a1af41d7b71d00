use super::StoreError;
use crate::audit::{AuditRecord, Effects};
use crate::time::Timestamp;
use crate::user::UserId;
use async_trait::async_trait;

/// The audit log in the store. What goes with a change is written by the method that makes the change: each
/// takes [`Effects`], and writes them if and only if the change takes place.
#[async_trait]
pub trait AuditStore {
    /// Writes what happened without a change: an operation that was refused.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn record(&self, effects: Effects) -> Result<(), StoreError>;

    /// Writes what happened without changes, all at once.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn record_all(&self, effects: Vec<Effects>) -> Result<(), StoreError>;

    /// Events by [`id`](AuditRecord::id), those after `after` and at most `limit`. One that is written at the
    /// same time as another may appear behind it although its number is lower.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn audit_records(&self, after: Option<i64>, limit: u32) -> Result<Vec<AuditRecord>, StoreError>;

    /// Events that match, the newest first by [`id`](AuditRecord::id), those before `before` and at most
    /// `limit`.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn find_events(
        &self,
        filter: &EventFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError>;

    /// Forgets the [client](AuditRecord::client) of at most `limit` events that are older than `before`, the
    /// oldest first; returns of how many. The events stay, and so does the proof that they are unchanged.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn forget_clients(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// Which events. Every condition that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those that concern this user.
    pub user: Option<UserId>,
    /// Only those of this [kind](AuditRecord::kind).
    pub kind: Option<String>,
    /// Only those at this instant or later.
    pub since: Option<Timestamp>,
    /// Only those before this instant.
    pub until: Option<Timestamp>,
}

impl EventFilter {
    /// Whether an event matches.
    pub fn matches(&self, record: &AuditRecord) -> bool {
        self.user.is_none_or(|user| record.user == Some(user))
            && self.kind.as_ref().is_none_or(|kind| record.kind == *kind)
            && self.since.is_none_or(|since| record.at >= since)
            && self.until.is_none_or(|until| record.at < until)
    }
}
