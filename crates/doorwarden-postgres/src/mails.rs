//! The outbox.

use crate::audit::{self, write_effects};
use crate::database::Effort;
use crate::failure::Failure;
use crate::rows::{all, get, instant, optional};
use crate::store::PostgresStore;
use crate::values::At;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::mail::{Locale, MailId, MailKind};
use doorwarden_core::store::{MailQueue, MailRecord, MailState, MailStore, NewMail, QueuedMail, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

/// The mails for which this holds.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, kind, recipient, user_id, locale, state, attempts, created_at, due_at, error \
             FROM doorwarden_outbox WHERE state <> 'decoy' AND ",
            $condition
        )
    };
}

pub(crate) use select;

/// Queues the mails that a change causes, in the transaction of the change. A user who was just created is
/// the first column of `changed`.
pub(crate) async fn queue(
    transaction: &Transaction<'_>,
    mails: &[NewMail],
    changed: Option<&Row>,
) -> Result<(), Failure> {
    let sql = "INSERT INTO doorwarden_outbox \
               (id, kind, recipient, user_id, locale, sealed, state, created_at, expires_at, due_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $8)";
    for mail in mails {
        let user = match (mail.user, changed) {
            (Some(UserId::NEW), Some(row)) => Some(get(row, 0)?),
            (user, _) => user.map(|user| user.0),
        };
        let state = if mail.is_decoy { "decoy" } else { MailState::Queued.as_str() };
        let params = [
            (&mail.id.0 as _, Type::UUID),
            (&mail.kind.as_str() as _, Type::TEXT),
            (&mail.to as _, Type::TEXT),
            (&user as _, Type::INT8),
            (&mail.locale.as_str() as _, Type::TEXT),
            (&mail.sealed as _, Type::BYTEA),
            (&state as _, Type::TEXT),
            (&At(mail.created_at) as _, Type::TIMESTAMPTZ),
            (&At(mail.expires_at) as _, Type::TIMESTAMPTZ),
        ];
        transaction.execute_typed(sql, &params).await?;
    }
    Ok(())
}

#[async_trait]
impl MailStore for PostgresStore {
    async fn claim_mails(
        &self,
        now: Timestamp,
        until: Timestamp,
        first: bool,
        limit: u32,
    ) -> Result<Vec<QueuedMail>, StoreError> {
        let sql = "UPDATE doorwarden_outbox SET due_at = $2, attempts = attempts + 1 WHERE id IN (\
                   SELECT id FROM doorwarden_outbox WHERE state = 'queued' AND due_at <= $1 AND (attempts = 0) = $3 \
                   ORDER BY due_at, id LIMIT $4 FOR UPDATE SKIP LOCKED) \
                   RETURNING id, kind, recipient, locale, sealed, created_at, expires_at, attempts";
        let params = [
            (&At(now) as _, Type::TIMESTAMPTZ),
            (&At(until) as _, Type::TIMESTAMPTZ),
            (&first as _, Type::BOOL),
            (&i64::from(limit) as _, Type::INT8),
        ];
        let mut claimed = all(&self.database.rows(Effort::Write, sql, &params).await?, queued)?;
        claimed.sort_by_key(|mail| mail.id);
        Ok(claimed)
    }

    async fn mail_sent(&self, id: MailId, at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE doorwarden_outbox SET state = 'sent', sealed = '', error = NULL, due_at = $2 \
                   WHERE id = $1 AND state = 'queued'";
        let params = [(&id.0 as _, Type::UUID), (&At(at) as _, Type::TIMESTAMPTZ)];
        self.database.rows(Effort::Write, sql, &params).await?;
        Ok(())
    }

    async fn mail_failed(
        &self,
        id: MailId,
        at: Timestamp,
        reason: &str,
        retry_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE doorwarden_outbox SET error = $2, due_at = $3, state = $4 WHERE id = $1 AND state = 'queued'";
        let state = if retry_at.is_some() { MailState::Queued } else { MailState::Failed };
        let params = [
            (&id.0 as _, Type::UUID),
            (&reason.replace('\0', "") as _, Type::TEXT),
            (&At(retry_at.unwrap_or(at)) as _, Type::TIMESTAMPTZ),
            (&state.as_str() as _, Type::TEXT),
        ];
        self.database.rows(Effort::Write, sql, &params).await?;
        Ok(())
    }

    async fn retry_mails(
        &self,
        id: Option<MailId>,
        at: Timestamp,
        effects: Effects,
    ) -> Result<u64, StoreError> {
        let sql = concat!(
            "WITH due AS (UPDATE doorwarden_outbox SET state = 'queued', due_at = $2 \
             WHERE state = 'failed' AND $1 IS NULL OR state IN ('queued', 'failed') AND id = $1 RETURNING 1), \
             done AS (SELECT count(*) AS count FROM due), audited AS (",
            write_effects!(
                "$3",
                from: "(SELECT count FROM done WHERE count > 0) AS done",
                found: "jsonb_build_object('count', done.count)"
            ),
            ") SELECT count FROM done"
        );
        let id = id.map(|id| id.0);
        let params = [
            (&id as _, Type::UUID),
            (&At(at) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        let row = self.database.row(Effort::Write, sql, &params).await?;
        let due = optional(row.as_ref(), |row| get::<i64>(row, 0))?.unwrap_or(0);
        Ok(u64::try_from(due).unwrap_or(0))
    }

    async fn mail(&self, id: MailId) -> Result<Option<MailRecord>, StoreError> {
        let row = self.database.row(Effort::Read, select!("id = $1"), &[(&id.0, Type::UUID)]).await?;
        Ok(optional(row.as_ref(), record)?)
    }

    async fn mails(
        &self,
        state: Option<MailState>,
        before: Option<MailId>,
        limit: u32,
    ) -> Result<Vec<MailRecord>, StoreError> {
        let sql = select!("($1 IS NULL OR state = $1) AND ($2 IS NULL OR id < $2) ORDER BY id DESC LIMIT $3");
        let params = [
            (&state.map(MailState::as_str) as _, Type::TEXT),
            (&before.map(|id| id.0) as _, Type::UUID),
            (&i64::from(limit) as _, Type::INT8),
        ];
        Ok(all(&self.database.rows(Effort::Long, sql, &params).await?, record)?)
    }

    async fn mail_queue(&self, now: Timestamp) -> Result<MailQueue, StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'failed'), \
                   min(due_at) FILTER (WHERE state = 'queued' AND due_at <= $1) FROM doorwarden_outbox";
        let row = self.database.row(Effort::Long, sql, &[(&At(now), Type::TIMESTAMPTZ)]).await?;
        let queue = |row: &Row| {
            let count = |place| Ok::<_, Failure>(u64::try_from(get::<i64>(row, place)?).unwrap_or(0));
            let due_since = get::<Option<At>>(row, 2)?.map(|at| at.0);
            Ok(MailQueue { queued: count(0)?, failed: count(1)?, due_since })
        };
        Ok(optional(row.as_ref(), queue)?.unwrap_or_default())
    }

    async fn purge_mails(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let sql = "DELETE FROM doorwarden_outbox WHERE id IN (SELECT id FROM doorwarden_outbox \
                   WHERE state <> 'queued' AND due_at < $1 LIMIT $2) RETURNING 1";
        let params = [(&At(before) as _, Type::TIMESTAMPTZ), (&i64::from(limit) as _, Type::INT8)];
        Ok(self.database.rows(Effort::Long, sql, &params).await?.len() as u64)
    }
}

fn damaged(row: &Row, column: &str) -> Failure {
    let id = get::<uuid::Uuid>(row, 0).unwrap_or_default();
    Failure::Unreadable(format!("doorwarden_outbox.{column} of id {id} cannot be read"))
}

fn kind(row: &Row) -> Result<MailKind, Failure> {
    MailKind::from_stored(get(row, 1)?).ok_or_else(|| damaged(row, "kind"))
}

fn count(row: &Row, place: usize) -> Result<u32, Failure> {
    Ok(u32::try_from(get::<i32>(row, place)?).unwrap_or(0))
}

fn queued(row: &Row) -> Result<QueuedMail, Failure> {
    Ok(QueuedMail {
        id: MailId(get(row, 0)?),
        kind: kind(row)?,
        to: get(row, 2)?,
        locale: Locale::of_tag(get(row, 3)?).ok_or_else(|| damaged(row, "locale"))?,
        sealed: get(row, 4)?,
        created_at: instant(row, 5)?,
        expires_at: instant(row, 6)?,
        attempt: count(row, 7)?,
    })
}

pub(crate) fn record(row: &Row) -> Result<MailRecord, Failure> {
    let locale = Locale::of_tag(get(row, 4)?).ok_or_else(|| damaged(row, "locale"))?;
    let mut record =
        MailRecord::new(MailId(get(row, 0)?), kind(row)?, get(row, 2)?, locale, instant(row, 7)?);
    record.user = get::<Option<_>>(row, 3)?.map(UserId);
    record.state = MailState::from_stored(get(row, 5)?).ok_or_else(|| damaged(row, "state"))?;
    record.attempts = count(row, 6)?;
    record.due_at = instant(row, 8)?;
    record.error = get(row, 9)?;
    Ok(record)
}
