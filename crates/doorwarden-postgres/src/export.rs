//! What is held about one user.

use crate::audit;
use crate::database::Effort;
use crate::mails;
use crate::rows::{all, judged_session_columns, session};
use crate::store::PostgresStore;
use async_trait::async_trait;
use doorwarden_core::audit::AuditRecord;
use doorwarden_core::session::{Session, SessionId};
use doorwarden_core::store::{ExportStore, MailRecord, StoreError};
use doorwarden_core::user::UserId;
use tokio_postgres::types::Type;

#[async_trait]
impl ExportStore for PostgresStore {
    async fn every_session_of(
        &self,
        user: UserId,
        after: Option<SessionId>,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError> {
        let sql = concat!(
            "SELECT ",
            judged_session_columns!(),
            " FROM doorwarden_sessions s LEFT JOIN users u ON u.id = s.user_id \
             WHERE s.user_id = $1 AND ($2 IS NULL OR s.id > $2) ORDER BY s.id LIMIT $3"
        );
        let params = [
            (&user.0 as _, Type::INT8),
            (&after.map(|id| id.0) as _, Type::UUID),
            (&i64::from(limit) as _, Type::INT8),
        ];
        Ok(all(&self.database.rows(Effort::Long, sql, &params).await?, session)?)
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
            " FROM doorwarden_events WHERE user_id = $1 AND ($2 IS NULL OR id > $2) ORDER BY id LIMIT $3"
        );
        let params =
            [(&user.0 as _, Type::INT8), (&after as _, Type::INT8), (&i64::from(limit) as _, Type::INT8)];
        Ok(all(&self.database.rows(Effort::Long, sql, &params).await?, audit::record)?)
    }

    async fn mails_of(&self, user: UserId, limit: u32) -> Result<Vec<MailRecord>, StoreError> {
        let sql = mails::select!("user_id = $1 ORDER BY id DESC LIMIT $2");
        let params = [(&user.0 as _, Type::INT8), (&i64::from(limit) as _, Type::INT8)];
        Ok(all(&self.database.rows(Effort::Long, sql, &params).await?, mails::record)?)
    }
}
