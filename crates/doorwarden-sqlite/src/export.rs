//! What is held about one user.

use crate::audit;
use crate::mails;
use crate::rows::{all, judged_session_columns, session};
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::audit::AuditRecord;
use doorwarden_core::session::{Session, SessionId};
use doorwarden_core::store::{ExportStore, MailRecord, StoreError};
use doorwarden_core::user::UserId;

#[async_trait]
impl ExportStore for SqliteStore {
    async fn every_session_of(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError> {
        let sql = concat!(
            "SELECT ",
            judged_session_columns!(),
            " FROM doorwarden_sessions s WHERE user_id = ?1 AND (?2 IS NULL OR id > ?2) ORDER BY id LIMIT ?3"
        );
        let params = (user.0, after.map(|id| id.0), limit);
        self.scan(move |connection| all(connection, sql, params, session)).await
    }

    async fn events_of(
        &self,
        user: UserId,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let sql = concat!(
            "SELECT ",
            audit::columns!(),
            " FROM doorwarden_events WHERE user_id = ?1 AND (?2 IS NULL OR id > ?2) ORDER BY id LIMIT ?3"
        );
        self.scan(move |connection| all(connection, sql, (user.0, after, limit), audit::record)).await
    }

    async fn mails_of(&self, user: UserId, limit: u32) -> Result<Vec<MailRecord>, StoreError> {
        let sql = format!("{} user_id = ?1 ORDER BY id DESC LIMIT ?2", mails::RECORD);
        self.scan(move |connection| all(connection, &sql, (user.0, limit), mails::record)).await
    }
}
