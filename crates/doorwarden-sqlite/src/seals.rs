//! The seals of the audit log.

use crate::audit;
use crate::failure::Failure;
use crate::rows::{Record, all, count, get, one, run};
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::audit::seal::{AuditState, Mark, MarkKind, Seal, StoredAuditKey, StoredEvent};
use doorwarden_core::session::SessionId;
use doorwarden_core::store::{SealStore, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

/// Numbers are given in the order of commits, so those behind the head are not sealed.
const UNSEALED: &str = "id > (SELECT last_id FROM doorwarden_audit_marks WHERE kind = 'head')";

/// The columns of an event as it is stored.
const EVENT: &str = "SELECT id, at, kind, actor, actor_id, user_id, session_id, request_id, client, result, data, salt, \
                     address, user_agent FROM doorwarden_events WHERE";

#[async_trait]
impl SealStore for SqliteStore {
    async fn audit_keys(&self) -> Result<Vec<StoredAuditKey>, StoreError> {
        let sql = "SELECT id, sealed, public_jwk, created_at, retired_at FROM doorwarden_audit_keys \
                   ORDER BY created_at, id";
        self.scan(move |connection| all(connection, sql, (), key)).await
    }

    async fn add_audit_key(
        &self,
        key: StoredAuditKey,
        former: &Mark,
        head: Mark,
        cut: Mark,
    ) -> Result<bool, StoreError> {
        let former = former.clone();
        self.write::<_, StoreError>(move |connection| {
            if !set(connection, MarkKind::Head, &head, former.number, Some(&former.key_id))? {
                return Ok(false);
            }
            let number = cut.number;
            set(connection, MarkKind::Cut, &cut, number, None)?;
            let retire = "UPDATE doorwarden_audit_keys SET retired_at = ?1 WHERE retired_at IS NULL";
            run(connection, retire, [key.created_at.as_micros()])?;
            let add = "INSERT INTO doorwarden_audit_keys (id, sealed, public_jwk, created_at) VALUES (?1, ?2, ?3, ?4)";
            run(connection, add, params![key.id, key.sealed, key.public_jwk, key.created_at.as_micros()])?;
            Ok(true)
        })
        .await
    }

    async fn reseal_audit_key(&self, id: &str, former: &[u8], sealed: &[u8]) -> Result<bool, StoreError> {
        let (id, former, sealed) = (id.to_owned(), former.to_vec(), sealed.to_vec());
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_audit_keys SET sealed = ?3 WHERE id = ?1 AND sealed = ?2";
            Ok(run(connection, sql, (id, former, sealed))? == 1)
        })
        .await
    }

    async fn audit_state(&self) -> Result<AuditState, StoreError> {
        self.scan(move |connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mark = |kind: MarkKind| {
                let sql = "SELECT kind, number, at, last_id, total, hash, key_id, mac FROM doorwarden_audit_marks \
                           WHERE kind = ?1";
                let found = one(&snapshot, sql, [kind.as_str()], mark)?;
                found.ok_or_else(|| {
                    Failure::Unreadable(format!("doorwarden_audit_marks: the {} is missing", kind.as_str()))
                })
            };
            let sql = format!("SELECT count(*), min(at) FROM doorwarden_audit WHERE {UNSEALED}");
            let (unsealed, since) =
                one(&snapshot, &sql, (), |row| Ok((count(row, 0)?, get::<Option<i64>>(row, 1)?)))?
                    .unwrap_or_default();
            Ok(AuditState {
                head: mark(MarkKind::Head)?,
                cut: mark(MarkKind::Cut)?,
                unsealed,
                unsealed_since: since.map(Timestamp::from_micros),
            })
        })
        .await
    }

    async fn unsealed_events(&self, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = format!("{EVENT} {UNSEALED} ORDER BY id LIMIT ?1");
        self.scan(move |connection| all(connection, &sql, [limit], stored)).await
    }

    async fn unsealed_ids(&self) -> Result<Vec<i64>, StoreError> {
        let sql = format!("SELECT id FROM doorwarden_audit WHERE {UNSEALED}");
        self.scan(move |connection| all(connection, &sql, (), |row| get(row, 0))).await
    }

    async fn lease_sealer(&self, holder: Uuid, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql = "INSERT INTO doorwarden_audit_lease (only_one, holder, until) VALUES (1, ?1, ?3) \
                       ON CONFLICT (only_one) DO UPDATE SET holder = excluded.holder, until = excluded.until \
                       WHERE holder = ?1 OR until < ?2";
            Ok(run(connection, sql, (holder, now.as_micros(), until.as_micros()))? == 1)
        })
        .await
    }

    async fn add_seal(&self, holder: Uuid, seal: Seal, head: Mark) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let leased = "SELECT 1 FROM doorwarden_audit_lease WHERE holder = ?1";
            let first = seal.records().map(|(id, _)| id).min();
            let unsealed = "SELECT 1 FROM doorwarden_audit_marks WHERE kind = 'head' AND last_id < ?1";
            if one(connection, leased, [holder], |_| Ok(()))?.is_none()
                || one(connection, unsealed, [first], |_| Ok(()))?.is_none()
                || !set(connection, MarkKind::Head, &head, seal.number.saturating_sub(1), None)?
            {
                return Ok(false);
            }
            let sql = "INSERT INTO doorwarden_audit_seals \
                       (number, sealed_at, last_id, total, records, previous, hash, key_id, mac) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
            let Seal { number, at, last_id, total, records, previous, hash, key_id, mac } = seal;
            let at = at.as_micros();
            run(connection, sql, params![number, at, last_id, total, records, previous, hash, key_id, mac])?;
            Ok(true)
        })
        .await
    }

    async fn seals(&self, after: i64, limit: u32) -> Result<Vec<Seal>, StoreError> {
        let sql = "SELECT number, sealed_at, last_id, total, records, previous, hash, key_id, mac \
                   FROM doorwarden_audit_seals WHERE number > ?1 ORDER BY number LIMIT ?2";
        self.scan(move |connection| all(connection, sql, (after, limit), seal)).await
    }

    async fn stored_events(
        &self,
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = format!("{EVENT} id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3");
        self.scan(move |connection| all(connection, &sql, (after, through, limit), stored)).await
    }

    async fn cut_events(
        &self,
        former: i64,
        cut: Mark,
        ids: &[i64],
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let ids = ids.to_vec();
        self.write(move |connection| {
            if !set(connection, MarkKind::Cut, &cut, former, None)? {
                return Ok(false);
            }
            for id in ids {
                run(connection, "DELETE FROM doorwarden_audit_clients WHERE id = ?1", [id])?;
                run(connection, "DELETE FROM doorwarden_audit WHERE id = ?1", [id])?;
            }
            run(connection, "DELETE FROM doorwarden_audit_seals WHERE number <= ?1", [cut.number])?;
            audit::write(connection, &effects)?;
            Ok(true)
        })
        .await
    }
}

/// Sets a mark that is at this seal, and of this key if one is given; whether it is.
fn set(
    connection: &Connection,
    kind: MarkKind,
    mark: &Mark,
    former: i64,
    key_id: Option<&str>,
) -> Result<bool, Failure> {
    let sql = "UPDATE doorwarden_audit_marks SET number = ?2, at = ?3, last_id = ?4, total = ?5, hash = ?6, key_id = ?7, \
               mac = ?8 WHERE kind = ?1 AND number = ?9 AND (?10 IS NULL OR key_id = ?10)";
    let params = params![
        kind.as_str(),
        mark.number,
        mark.at.as_micros(),
        mark.last_id,
        mark.total,
        mark.hash,
        mark.key_id,
        mark.mac,
        former,
        key_id,
    ];
    Ok(run(connection, sql, params)? == 1)
}

fn key(row: &Row<'_>) -> Result<StoredAuditKey, Failure> {
    let row = Record { table: "doorwarden_audit_keys", row };
    Ok(StoredAuditKey {
        id: row.get(0)?,
        sealed: row.get(1)?,
        public_jwk: row.get(2)?,
        created_at: row.instant(3)?,
        retired_at: row.optional_instant(4)?,
    })
}

fn mark(row: &Row<'_>) -> Result<Mark, Failure> {
    let row = Record { table: "doorwarden_audit_marks", row };
    Ok(Mark {
        number: row.get(1)?,
        at: row.instant(2)?,
        last_id: row.get(3)?,
        total: row.get(4)?,
        hash: row.get(5)?,
        key_id: row.get(6)?,
        mac: row.get(7)?,
    })
}

fn seal(row: &Row<'_>) -> Result<Seal, Failure> {
    let row = Record { table: "doorwarden_audit_seals", row };
    Ok(Seal {
        number: row.get(0)?,
        at: row.instant(1)?,
        last_id: row.get(2)?,
        total: row.get(3)?,
        records: row.get(4)?,
        previous: row.get(5)?,
        hash: row.get(6)?,
        key_id: row.get(7)?,
        mac: row.get(8)?,
    })
}

fn stored(row: &Row<'_>) -> Result<StoredEvent, Failure> {
    let row = Record { table: "doorwarden_audit", row };
    let (salt, address, agent): (Option<Vec<u8>>, _, _) = (row.get(11)?, row.get(12)?, row.get(13)?);
    Ok(StoredEvent {
        id: row.get(0)?,
        at: row.instant(1)?,
        kind: row.get(2)?,
        actor: row.get(3)?,
        actor_id: row.get(4)?,
        user: row.get::<Option<_>>(5)?.map(UserId),
        session: row.get::<Option<_>>(6)?.map(SessionId),
        request_id: row.get(7)?,
        client: row.get(8)?,
        result: row.get(9)?,
        data: row.get(10)?,
        known: salt.map(|salt| (salt, address, agent)),
    })
}
