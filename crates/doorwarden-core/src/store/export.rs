use super::{MailRecord, StoreError};
use crate::audit::AuditRecord;
use crate::session::{Session, SessionId};
use crate::user::UserId;
use async_trait::async_trait;

/// What the database holds about one user, for an export.
#[async_trait]
pub trait ExportStore {
    /// The sessions of a user by id, ended or not, those after `after` and at most `limit`.
    async fn every_session_of(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError>;

    /// The events that concern a user by id, those after `after` and at most `limit`.
    async fn events_of(
        &self,
        user: UserId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError>;

    /// The mails to a user, newest first, at most `limit`.
    async fn mails_of(&self, user: UserId, limit: u32) -> Result<Vec<MailRecord>, StoreError>;
}
