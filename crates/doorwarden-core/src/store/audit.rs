use super::StoreError;
use crate::audit::{AuditRecord, Effects};
use crate::time::Timestamp;
use async_trait::async_trait;

/// The audit log in the store. What goes with a change is written by the method that makes the change: each
/// takes [`Effects`], and writes them if and only if the change takes place.
#[async_trait]
pub trait AuditStore {
    /// Writes what happened without a change: a login that failed.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn record(&self, effects: Effects) -> Result<(), StoreError>;

    /// Events by [`id`](AuditRecord::id), those after `after` and at most `limit`. One that is written at the
    /// same time as another may appear behind it although its number is lower.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn audit_records(&self, after: Option<i64>, limit: u32) -> Result<Vec<AuditRecord>, StoreError>;

    /// Forgets the [client](AuditRecord::client) of at most `limit` events that are older than `before`, the
    /// oldest first; returns of how many. The events stay.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn forget_clients(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
