//! The audit log.

use crate::challenges;
use crate::failure::Failure;
use crate::mails;
use crate::rows::{Record, all, get, one, run};
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::audit::seal::client_hash;
use doorwarden_core::audit::{Actor, AuditRecord, Effects, Outcome};
use doorwarden_core::session::{ClientInfo, SessionId};
use doorwarden_core::store::{AuditStore, EventFilter, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use rusqlite::{Connection, Row, params};
use serde_json::Value;

/// The columns of an event, of the view `doorwarden_events`.
macro_rules! columns {
    () => {
        "id, at, kind, actor, actor_id, user_id, session_id, address, user_agent, request_id, result, data"
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

    async fn record_all(&self, effects: Vec<Effects>) -> Result<(), StoreError> {
        self.write(move |connection| {
            for effects in &effects {
                write(connection, effects)?;
            }
            Ok(())
        })
        .await
    }

    async fn audit_records(&self, after: Option<i64>, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let sql =
            concat!("SELECT ", columns!(), " FROM doorwarden_events WHERE id > ?1 ORDER BY id LIMIT ?2");
        let after = after.unwrap_or(i64::MIN);
        self.scan(move |connection| all(connection, sql, (after, limit), record)).await
    }

    async fn find_events(
        &self,
        filter: &EventFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        // Whether there is a user decides which index is used.
        let user = if filter.user.is_some() { "user_id = ?1" } else { "?1 IS NULL" };
        let sql = format!(
            "SELECT {} FROM doorwarden_events WHERE {user} AND (?2 IS NULL OR kind = ?2) \
             AND (?3 IS NULL OR at >= ?3) AND (?4 IS NULL OR at < ?4) AND id < ?5 \
             ORDER BY id DESC LIMIT ?6",
            columns!()
        );
        let EventFilter { user, kind, since, until } = filter.clone();
        let micros = |at: Option<Timestamp>| at.map(Timestamp::as_micros);
        let before = before.unwrap_or(i64::MAX);
        let params = (user.map(|user| user.0), kind, micros(since), micros(until), before, limit);
        self.scan(move |connection| all(connection, &sql, params, record)).await
    }

    async fn forget_clients(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let sql = "DELETE FROM doorwarden_audit_clients WHERE id IN (\
                       SELECT id FROM doorwarden_audit_clients WHERE at < ?1 ORDER BY at LIMIT ?2)";
            Ok(run(connection, sql, (before.as_micros(), limit))? as u64)
        })
        .await
    }
}

/// Writes what a change causes, events and mails, and spends what has allowed it, in the transaction of the
/// change.
pub(crate) fn write(connection: &Connection, effects: &Effects) -> Result<(), Failure> {
    let sql = "INSERT INTO doorwarden_audit \
               (at, kind, actor, actor_id, user_id, session_id, request_id, client, result, data) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let origin = &effects.origin;
    let ClientInfo { address, user_agent, request_id, .. } = &origin.client;
    let address = address.map(|address| address.to_string());
    let is_known = address.is_some() || user_agent.is_some();
    challenges::spend(connection, effects)?;
    mails::queue(connection, &effects.mails)?;
    for event in &effects.events {
        let salt: Option<Vec<u8>> = match is_known {
            true => one(connection, "SELECT randomblob(16)", (), |row| get(row, 0))?,
            false => None,
        };
        let hash = salt.as_ref().map(|salt| client_hash(salt, address.as_deref(), user_agent.as_deref()));
        let params = params![
            effects.at.as_micros(),
            event.name(),
            origin.actor.kind(),
            origin.actor.id(),
            event.user().map(|user| user.0),
            event.session().map(|session| session.0),
            request_id,
            hash,
            event.outcome().as_str(),
            Value::Object(event.data()).to_string(),
        ];
        run(connection, sql, params)?;
        if let Some(salt) = salt {
            let sql = "INSERT INTO doorwarden_audit_clients (id, at, salt, address, user_agent) \
                       VALUES (last_insert_rowid(), ?1, ?2, ?3, ?4)";
            run(connection, sql, params![effects.at.as_micros(), salt, address, user_agent])?;
        }
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
    let outcome = row.parse(10, Outcome::from_stored)?;
    let mut record = AuditRecord::new(row.get(0)?, row.instant(1)?, row.get(2)?, actor, outcome);
    record.user = row.get::<Option<_>>(5)?.map(UserId);
    record.session = row.get::<Option<_>>(6)?.map(SessionId);
    record.client = ClientInfo {
        address: row.address(7)?,
        user_agent: row.get(8)?,
        request_id: row.get(9)?,
        ..ClientInfo::default()
    };
    record.data = row.parse(11, |text| serde_json::from_str(text).ok())?;
    Ok(record)
}
