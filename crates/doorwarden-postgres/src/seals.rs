//! The seals of the audit log.

use crate::audit;
use crate::database::Effort;
use crate::failure::Failure;
use crate::rows::{all, get, optional};
use crate::store::PostgresStore;
use crate::values::At;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::audit::seal::{AuditState, Mark, Seal, StoredAuditKey, StoredEvent};
use doorwarden_core::session::SessionId;
use doorwarden_core::store::{SealStore, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// The columns of an event as it is stored, of the view called `e`.
macro_rules! event {
    () => {
        "SELECT e.id, e.at, e.kind, e.actor, e.actor_id, e.user_id, e.session_id, e.request_id, e.client, e.result, \
         e.data, e.salt, e.address, e.user_agent FROM doorwarden_events e"
    };
}

/// The columns of a mark.
macro_rules! mark {
    ($table:literal) => {
        concat!(
            $table,
            ".number, ",
            $table,
            ".at, ",
            $table,
            ".last_id, ",
            $table,
            ".total, ",
            $table,
            ".hash, ",
            $table,
            ".key_id, ",
            $table,
            ".mac"
        )
    };
}

#[async_trait]
impl SealStore for PostgresStore {
    async fn audit_keys(&self) -> Result<Vec<StoredAuditKey>, StoreError> {
        let sql = "SELECT id, sealed, public_jwk, created_at, retired_at FROM doorwarden_audit_keys \
                   ORDER BY created_at, id";
        Ok(all(&self.database.rows(Effort::Read, sql, &[]).await?, key)?)
    }

    async fn add_audit_key(
        &self,
        key: StoredAuditKey,
        former: &Mark,
        head: Mark,
        cut: Mark,
    ) -> Result<bool, StoreError> {
        let sql = "WITH moved AS (UPDATE doorwarden_audit_marks SET at = $5, hash = $6, key_id = $7, mac = $8 \
                       WHERE kind = 'head' AND number = $1 AND key_id = $2 RETURNING 1), \
                   cut AS (UPDATE doorwarden_audit_marks SET key_id = $9, mac = $10 FROM moved \
                       WHERE kind = 'cut' AND number = $11), \
                   retired AS (UPDATE doorwarden_audit_keys SET retired_at = $12 FROM moved WHERE retired_at IS NULL) \
                   INSERT INTO doorwarden_audit_keys (id, sealed, public_jwk, created_at) \
                   SELECT $7, $3, $4, $12 FROM moved RETURNING 1";
        let params = [
            (&former.number as _, Type::INT8),
            (&former.key_id as _, Type::TEXT),
            (&key.sealed as _, Type::BYTEA),
            (&key.public_jwk as _, Type::TEXT),
            (&At(head.at) as _, Type::TIMESTAMPTZ),
            (&head.hash as _, Type::BYTEA),
            (&head.key_id as _, Type::TEXT),
            (&head.mac as _, Type::BYTEA),
            (&cut.key_id as _, Type::TEXT),
            (&cut.mac as _, Type::BYTEA),
            (&cut.number as _, Type::INT8),
            (&At(key.created_at) as _, Type::TIMESTAMPTZ),
        ];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn reseal_audit_key(&self, id: &str, former: &[u8], sealed: &[u8]) -> Result<bool, StoreError> {
        let sql = "UPDATE doorwarden_audit_keys SET sealed = $3 WHERE id = $1 AND sealed = $2 RETURNING 1";
        let params = [(&id as _, Type::TEXT), (&former as _, Type::BYTEA), (&sealed as _, Type::BYTEA)];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn audit_state(&self) -> Result<AuditState, StoreError> {
        let sql = concat!(
            "SELECT ",
            mark!("head"),
            ", ",
            mark!("cut"),
            ", waiting.count, waiting.since FROM doorwarden_audit_marks head, doorwarden_audit_marks cut, \
             (SELECT count(*) AS count, min(a.at) AS since FROM doorwarden_audit_unsealed u \
                LEFT JOIN doorwarden_audit a ON a.id = u.id) AS waiting \
             WHERE head.kind = 'head' AND cut.kind = 'cut'"
        );
        let row = self.database.row(Effort::Long, sql, &[]).await?;
        let missing = || StoreError::failed("doorwarden_audit_marks: a mark is missing");
        Ok(optional(row.as_ref(), state)?.ok_or_else(missing)?)
    }

    async fn unsealed_events(&self, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = concat!(
            event!(),
            " WHERE e.id = ANY (ARRAY(SELECT id FROM doorwarden_audit_unsealed ORDER BY id LIMIT $1)) ORDER BY e.id"
        );
        let params = [(&i64::from(limit) as _, Type::INT8)];
        Ok(all(&self.database.rows(Effort::Read, sql, &params).await?, stored)?)
    }

    async fn unsealed_ids(&self) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT id FROM doorwarden_audit_unsealed";
        Ok(all(&self.database.rows(Effort::Long, sql, &[]).await?, |row| get(row, 0))?)
    }

    async fn lease_sealer(&self, holder: Uuid, now: Timestamp, until: Timestamp) -> Result<bool, StoreError> {
        let sql = "INSERT INTO doorwarden_audit_lease AS lease (only_one, holder, until) VALUES (true, $1, $3) \
                   ON CONFLICT (only_one) DO UPDATE SET holder = excluded.holder, until = excluded.until \
                   WHERE lease.holder = $1 OR lease.until < $2 RETURNING 1";
        let params = [
            (&holder as _, Type::UUID),
            (&At(now) as _, Type::TIMESTAMPTZ),
            (&At(until) as _, Type::TIMESTAMPTZ),
        ];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn add_seal(&self, holder: Uuid, seal: Seal, head: Mark) -> Result<bool, StoreError> {
        // Whoever seals has locked the head, so the events that were not sealed when the statement began are
        // not sealed until it ends, or the head has moved and the statement changes nothing.
        let sql = "WITH moved AS (UPDATE doorwarden_audit_marks SET number = $2, at = $3, last_id = $4, total = $5, \
                       hash = $6, key_id = $7, mac = $8 WHERE kind = 'head' AND number = $2 - 1 \
                       AND EXISTS (SELECT FROM doorwarden_audit_lease WHERE holder = $1) \
                       AND (SELECT count(*) FROM doorwarden_audit_unsealed WHERE id = ANY ($9)) = cardinality($9) \
                       RETURNING 1), \
                   sealed AS (DELETE FROM doorwarden_audit_unsealed USING moved WHERE id = ANY ($9)) \
                   INSERT INTO doorwarden_audit_seals \
                       (number, sealed_at, last_id, total, records, previous, hash, key_id, mac) \
                   SELECT $2, $10, $11, $5, $12, $13, $6, $14, $15 FROM moved RETURNING 1";
        let ids: Vec<i64> = seal.records().map(|(id, _)| id).collect();
        let params = [
            (&holder as _, Type::UUID),
            (&head.number as _, Type::INT8),
            (&At(head.at) as _, Type::TIMESTAMPTZ),
            (&head.last_id as _, Type::INT8),
            (&head.total as _, Type::INT8),
            (&head.hash as _, Type::BYTEA),
            (&head.key_id as _, Type::TEXT),
            (&head.mac as _, Type::BYTEA),
            (&ids as _, Type::INT8_ARRAY),
            (&At(seal.at) as _, Type::TIMESTAMPTZ),
            (&seal.last_id as _, Type::INT8),
            (&seal.records as _, Type::BYTEA),
            (&seal.previous as _, Type::BYTEA),
            (&seal.key_id as _, Type::TEXT),
            (&seal.mac as _, Type::BYTEA),
        ];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn seals(&self, after: i64, limit: u32) -> Result<Vec<Seal>, StoreError> {
        let sql = "SELECT number, sealed_at, last_id, total, records, previous, hash, key_id, mac \
                   FROM doorwarden_audit_seals WHERE number > $1 ORDER BY number LIMIT $2";
        let params = [(&after as _, Type::INT8), (&i64::from(limit) as _, Type::INT8)];
        Ok(all(&self.database.rows(Effort::Long, sql, &params).await?, seal)?)
    }

    async fn stored_events(
        &self,
        after: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = concat!(event!(), " WHERE e.id > $1 AND e.id <= $2 ORDER BY e.id LIMIT $3");
        let params =
            [(&after as _, Type::INT8), (&through as _, Type::INT8), (&i64::from(limit) as _, Type::INT8)];
        Ok(all(&self.database.rows(Effort::Long, sql, &params).await?, stored)?)
    }

    async fn cut_events(
        &self,
        former: i64,
        cut: Mark,
        ids: &[i64],
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let sql = concat!(
            "WITH done AS (SELECT doorwarden_audit_cut($1, $2, $3, $4, $5, $6, $7, $8, $9) AS cut), audited AS (",
            audit::write_effects!("$10", from: "done", user: "NULL", session: "NULL", found: "'{}'", only: "done.cut"),
            ") SELECT cut FROM done"
        );
        let params = [
            (&former as _, Type::INT8),
            (&cut.number as _, Type::INT8),
            (&At(cut.at) as _, Type::TIMESTAMPTZ),
            (&cut.last_id as _, Type::INT8),
            (&cut.total as _, Type::INT8),
            (&cut.hash as _, Type::BYTEA),
            (&cut.key_id as _, Type::TEXT),
            (&cut.mac as _, Type::BYTEA),
            (&ids as _, Type::INT8_ARRAY),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        let row = self.database.row(Effort::Write, sql, &params).await?;
        Ok(optional(row.as_ref(), |row| get(row, 0))?.unwrap_or(false))
    }
}

fn key(row: &Row) -> Result<StoredAuditKey, Failure> {
    Ok(StoredAuditKey {
        id: get(row, 0)?,
        sealed: get(row, 1)?,
        public_jwk: get(row, 2)?,
        created_at: get::<At>(row, 3)?.0,
        retired_at: get::<Option<At>>(row, 4)?.map(|at| at.0),
    })
}

fn mark(row: &Row, first: usize) -> Result<Mark, Failure> {
    Ok(Mark {
        number: get(row, first)?,
        at: get::<At>(row, first + 1)?.0,
        last_id: get(row, first + 2)?,
        total: get(row, first + 3)?,
        hash: get(row, first + 4)?,
        key_id: get(row, first + 5)?,
        mac: get(row, first + 6)?,
    })
}

fn state(row: &Row) -> Result<AuditState, Failure> {
    Ok(AuditState {
        head: mark(row, 0)?,
        cut: mark(row, 7)?,
        unsealed: u64::try_from(get::<i64>(row, 14)?).unwrap_or(0),
        unsealed_since: get::<Option<At>>(row, 15)?.map(|at| at.0),
    })
}

fn seal(row: &Row) -> Result<Seal, Failure> {
    Ok(Seal {
        number: get(row, 0)?,
        at: get::<At>(row, 1)?.0,
        last_id: get(row, 2)?,
        total: get(row, 3)?,
        records: get(row, 4)?,
        previous: get(row, 5)?,
        hash: get(row, 6)?,
        key_id: get(row, 7)?,
        mac: get(row, 8)?,
    })
}

fn stored(row: &Row) -> Result<StoredEvent, Failure> {
    let salt: Option<Vec<u8>> = get(row, 11)?;
    let (address, agent) = (get(row, 12)?, get(row, 13)?);
    Ok(StoredEvent {
        id: get(row, 0)?,
        at: get::<At>(row, 1)?.0,
        kind: get(row, 2)?,
        actor: get(row, 3)?,
        actor_id: get(row, 4)?,
        user: get::<Option<_>>(row, 5)?.map(UserId),
        session: get::<Option<_>>(row, 6)?.map(SessionId),
        request_id: get(row, 7)?,
        client: get(row, 8)?,
        result: get(row, 9)?,
        data: get(row, 10)?,
        known: salt.map(|salt| (salt, address, agent)),
    })
}
