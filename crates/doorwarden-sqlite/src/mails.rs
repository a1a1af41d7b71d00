//! The outbox.

use crate::audit;
use crate::failure::Failure;
use crate::rows::{Record, all, count, one, run};
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::event::Found;
use doorwarden_core::mail::{Locale, MailId, MailKind};
use doorwarden_core::store::{MailQueue, MailRecord, MailState, MailStore, NewMail, QueuedMail, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use rusqlite::{Connection, Row, params};

pub(crate) const RECORD: &str = "SELECT id, kind, recipient, user_id, locale, state, attempts, created_at, due_at, error \
                      FROM doorwarden_outbox WHERE state <> 'decoy' AND ";

/// Queues the mails that a change causes, in the transaction of the change.
pub(crate) fn queue(connection: &Connection, mails: &[NewMail]) -> Result<(), Failure> {
    let sql = "INSERT INTO doorwarden_outbox \
               (id, kind, recipient, user_id, locale, sealed, state, created_at, expires_at, due_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?8)";
    for mail in mails {
        let params = params![
            mail.id.0,
            mail.kind.as_str(),
            mail.to,
            mail.user.map(|user| user.0),
            mail.locale.as_str(),
            mail.sealed,
            if mail.is_decoy { "decoy" } else { MailState::Queued.as_str() },
            mail.created_at.as_micros(),
            mail.expires_at.as_micros(),
        ];
        run(connection, sql, params)?;
    }
    Ok(())
}

#[async_trait]
impl MailStore for SqliteStore {
    async fn claim_mails(
        &self,
        now: Timestamp,
        until: Timestamp,
        first: bool,
        limit: u32,
    ) -> Result<Vec<QueuedMail>, StoreError> {
        let due = "SELECT 1 FROM doorwarden_outbox WHERE state = 'queued' AND due_at <= ?1 \
                   AND (attempts = 0) = ?2 LIMIT 1";
        // Usually there is none, which is found without a write.
        if self.read(|connection| one(connection, due, (now.as_micros(), first), |_| Ok(())))?.is_none() {
            return Ok(Vec::new());
        }
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_outbox SET due_at = ?2, attempts = attempts + 1 WHERE id IN (\
                       SELECT id FROM doorwarden_outbox WHERE state = 'queued' AND due_at <= ?1 AND (attempts = 0) = ?3 \
                       ORDER BY due_at, id LIMIT ?4) \
                       RETURNING id, kind, recipient, locale, sealed, created_at, expires_at, attempts";
            let params = (now.as_micros(), until.as_micros(), first, limit);
            let mut claimed = all(connection, sql, params, queued)?;
            claimed.sort_by_key(|mail| mail.id);
            Ok(claimed)
        })
        .await
    }

    async fn mail_sent(&self, id: MailId, at: Timestamp) -> Result<(), StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_outbox SET state = 'sent', sealed = x'', error = NULL, due_at = ?2 \
                       WHERE id = ?1 AND state = 'queued'";
            run(connection, sql, (id.0, at.as_micros()))?;
            Ok(())
        })
        .await
    }

    async fn mail_failed(
        &self,
        id: MailId,
        at: Timestamp,
        reason: &str,
        retry_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let reason = reason.to_owned();
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_outbox SET error = ?2, due_at = ?3, state = ?4 WHERE id = ?1 AND state = 'queued'";
            let state = if retry_at.is_some() { MailState::Queued } else { MailState::Failed };
            run(connection, sql, (id.0, reason, retry_at.unwrap_or(at).as_micros(), state.as_str()))?;
            Ok(())
        })
        .await
    }

    async fn retry_mails(
        &self,
        id: Option<MailId>,
        at: Timestamp,
        effects: Effects,
    ) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_outbox SET state = 'queued', due_at = ?2 \
                       WHERE state = 'failed' AND ?1 IS NULL OR state IN ('queued', 'failed') AND id = ?1";
            let due = run(connection, sql, (id.map(|id| id.0), at.as_micros()))? as u64;
            audit::write_if(connection, due > 0, &effects.with(Found::Count(due)))?;
            Ok(due)
        })
        .await
    }

    async fn mail(&self, id: MailId) -> Result<Option<MailRecord>, StoreError> {
        let sql = format!("{RECORD} id = ?1");
        Ok(self.read(|connection| one(connection, &sql, [id.0], record))?)
    }

    async fn mails(
        &self,
        state: Option<MailState>,
        before: Option<MailId>,
        limit: u32,
    ) -> Result<Vec<MailRecord>, StoreError> {
        let sql = format!(
            "{RECORD} (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3"
        );
        let params = (state.map(MailState::as_str), before.map(|id| id.0), limit);
        self.scan(move |connection| all(connection, &sql, params, record)).await
    }

    async fn mail_queue(&self, now: Timestamp) -> Result<MailQueue, StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'failed'), \
                   min(due_at) FILTER (WHERE state = 'queued' AND due_at <= ?1) FROM doorwarden_outbox";
        let queue = |row: &Row<'_>| {
            let due_since = row.get::<_, Option<i64>>(2)?.map(Timestamp::from_micros);
            Ok(MailQueue { queued: count(row, 0)?, failed: count(row, 1)?, due_since })
        };
        let found = self.scan(move |connection| one(connection, sql, [now.as_micros()], queue)).await?;
        Ok(found.unwrap_or_default())
    }

    async fn purge_mails(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let sql = "DELETE FROM doorwarden_outbox WHERE id IN (SELECT id FROM doorwarden_outbox \
                       WHERE state <> 'queued' AND due_at < ?1 LIMIT ?2)";
            Ok(run(connection, sql, (before.as_micros(), limit))? as u64)
        })
        .await
    }
}

fn queued(row: &Row<'_>) -> Result<QueuedMail, Failure> {
    let row = Record { table: "doorwarden_outbox", row };
    Ok(QueuedMail {
        id: MailId(row.get(0)?),
        kind: row.parse(1, MailKind::from_stored)?,
        to: row.get(2)?,
        locale: row.parse(3, Locale::of_tag)?,
        sealed: row.get(4)?,
        created_at: row.instant(5)?,
        expires_at: row.instant(6)?,
        attempt: row.get(7)?,
    })
}

pub(crate) fn record(row: &Row<'_>) -> Result<MailRecord, Failure> {
    let row = Record { table: "doorwarden_outbox", row };
    let (kind, locale) = (row.parse(1, MailKind::from_stored)?, row.parse(4, Locale::of_tag)?);
    let mut record = MailRecord::new(MailId(row.get(0)?), kind, row.get(2)?, locale, row.instant(7)?);
    record.user = row.get::<Option<_>>(3)?.map(UserId);
    record.state = row.parse(5, MailState::from_stored)?;
    record.attempts = row.get(6)?;
    record.due_at = row.instant(8)?;
    record.error = row.get(9)?;
    Ok(record)
}
