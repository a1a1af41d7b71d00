//! The audit log.

use crate::challenges;
use crate::failure::Failure;
use crate::mails;
use crate::rows::{Record, all, run};
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::audit::{Actor, AuditRecord, Effects, Outcome};
use doorwarden_core::session::{ClientInfo, SessionId};
use doorwarden_core::store::{AuditStore, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use rusqlite::{Connection, Row, params};
use serde_json::Value;

/// The columns of an event.
macro_rules! columns {
    () => {
        "id, at, kind, actor, actor_id, user_id, session_id, address, user_agent, result, data"
    };
}

pub(crate) use columns;

#[async_trait]
impl AuditStore for SqliteStore {
    async fn record(&self, effects: Effects) -> Result<(), StoreError> {
        self.write(move |connection| {
            challenges::check(connection, &effects)?;
            Ok(write(connection, &effects)?)
        })
        .await
    }

    async fn audit_records(&self, after: Option<i64>, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_audit WHERE ?1 IS NULL OR id > ?1 ORDER BY id LIMIT ?2"
        );
        self.scan(move |connection| all(connection, sql, (after, limit), record)).await
    }

    async fn forget_clients(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_audit SET address = NULL, user_agent = NULL WHERE id IN (\
                       SELECT id FROM doorwarden_audit WHERE at < ?1 \
                       AND (address IS NOT NULL OR user_agent IS NOT NULL) ORDER BY at LIMIT ?2)";
            Ok(run(connection, sql, (before.as_micros(), limit))? as u64)
        })
        .await
    }
}

/// Writes what a change causes, events and mails, and spends what has allowed it, in the transaction of the
/// change.
pub(crate) fn write(connection: &Connection, effects: &Effects) -> Result<(), Failure> {
    let sql = "INSERT INTO doorwarden_audit \
               (at, kind, actor, actor_id, user_id, session_id, address, user_agent, result, data) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let origin = &effects.origin;
    challenges::spend(connection, effects)?;
    mails::queue(connection, &effects.mails)?;
    for event in &effects.events {
        let params = params![
            effects.at.as_micros(),
            event.name(),
            origin.actor.kind(),
            origin.actor.id(),
            event.user().map(|user| user.0),
            event.session().map(|session| session.0),
            origin.client.address,
            origin.client.user_agent,
            event.outcome().as_str(),
            Value::Object(event.data()).to_string(),
        ];
        run(connection, sql, params)?;
    }
    Ok(())
}

/// The same if anything has `changed`; whether it has.
pub(crate) fn write_if(connection: &Connection, changed: bool, effects: &Effects) -> Result<bool, Failure> {
    if changed {
        write(connection, effects)?;
    }
    Ok(changed)
}

pub(crate) fn record(row: &Row<'_>) -> Result<AuditRecord, Failure> {
    let row = Record { table: "doorwarden_audit", row };
    let actor_id: Option<String> = row.get(4)?;
    let actor = row.parse(3, |kind| Actor::from_stored(kind, actor_id.as_deref()))?;
    let outcome = row.parse(9, Outcome::from_stored)?;
    let mut record = AuditRecord::new(row.get(0)?, row.instant(1)?, row.get(2)?, actor, outcome);
    record.user = row.get::<Option<_>>(5)?.map(UserId);
    record.session = row.get::<Option<_>>(6)?.map(SessionId);
    record.client = ClientInfo { address: row.get(7)?, user_agent: row.get(8)? };
    record.data = row.parse(10, |text| serde_json::from_str(text).ok())?;
    Ok(record)
}
