//! Signing keys.

use crate::audit;
use crate::failure::Failure;
use crate::rows::{Record, all, run};
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::audit::{Effects, Found};
use doorwarden_core::store::{KeyStore, SigningKey, StoreError};
use doorwarden_core::time::Timestamp;
use rusqlite::{Row, params};

#[async_trait]
impl KeyStore for SqliteStore {
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        let sql = "SELECT kid, algorithm, sealed, public_jwk, predecessor, created_at, signs_from, signs_until, revoked_at \
                   FROM doorwarden_keys ORDER BY signs_from, created_at, kid";
        Ok(self.read(|connection| all(connection, sql, (), key))?)
    }

    async fn add_signing_key(&self, key: SigningKey, effects: Effects) -> Result<bool, StoreError> {
        let sql = "INSERT INTO doorwarden_keys \
                   (kid, algorithm, sealed, public_jwk, predecessor, created_at, signs_from, signs_until, revoked_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (algorithm, predecessor) DO NOTHING";
        self.write(move |connection| {
            let params = params![
                key.kid,
                key.algorithm,
                key.sealed,
                key.public_jwk,
                key.predecessor,
                key.created_at.as_micros(),
                key.signs_from.as_micros(),
                key.signs_until.map(Timestamp::as_micros),
                key.revoked_at.map(Timestamp::as_micros)
            ];
            let changed = run(connection, sql, params)? == 1;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn revoke_signing_key(
        &self,
        kid: &str,
        at: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let kid = kid.to_owned();
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_keys SET revoked_at = ?2 WHERE kid = ?1 AND revoked_at IS NULL";
            let changed = run(connection, sql, (kid, at.as_micros()))? == 1;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn revoke_signing_keys(&self, at: Timestamp, effects: Effects) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_keys SET revoked_at = ?1 WHERE revoked_at IS NULL";
            let revoked = run(connection, sql, [at.as_micros()])? as u64;
            audit::write_if(connection, revoked > 0, &effects.with(Found::Count(revoked)))?;
            Ok(revoked)
        })
        .await
    }

    async fn schedule_signing_key(
        &self,
        known: &SigningKey,
        signs_from: Timestamp,
        signs_until: Option<Timestamp>,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let known = known.clone();
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_keys SET signs_from = ?4, signs_until = ?5 \
                       WHERE kid = ?1 AND signs_from = ?2 AND signs_until IS ?3 AND revoked_at IS NULL";
            let params = params![
                known.kid,
                known.signs_from.as_micros(),
                known.signs_until.map(Timestamp::as_micros),
                signs_from.as_micros(),
                signs_until.map(Timestamp::as_micros)
            ];
            let changed = run(connection, sql, params)? == 1;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn reseal_signing_key(
        &self,
        known: &SigningKey,
        sealed: Vec<u8>,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let known = known.clone();
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_keys SET sealed = ?3 WHERE kid = ?1 AND sealed = ?2";
            let changed = run(connection, sql, params![known.kid, known.sealed, sealed])? == 1;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn delete_signing_key(&self, kid: &str, effects: Effects) -> Result<bool, StoreError> {
        let kid = kid.to_owned();
        self.write(move |connection| {
            let sql = "DELETE FROM doorwarden_keys WHERE kid = ?1 AND (\
                       revoked_at <= (SELECT at FROM the_time) OR signs_until <= (SELECT at FROM the_time) OR EXISTS (\
                       SELECT 1 FROM doorwarden_keys next WHERE next.algorithm = doorwarden_keys.algorithm \
                       AND next.signs_from > doorwarden_keys.signs_from AND next.signs_from <= (SELECT at FROM the_time) \
                       AND (next.revoked_at IS NULL OR next.revoked_at > next.signs_from)))";
            let time = "WITH the_time AS (SELECT CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) AS at)";
            let changed = run(connection, &format!("{time} {sql}"), [kid])? == 1;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }
}

fn key(row: &Row<'_>) -> Result<SigningKey, Failure> {
    let row = Record { table: "doorwarden_keys", row };
    Ok(SigningKey {
        kid: row.get(0)?,
        algorithm: row.get(1)?,
        sealed: row.get(2)?,
        public_jwk: row.get(3)?,
        predecessor: row.get(4)?,
        created_at: row.instant(5)?,
        signs_from: row.instant(6)?,
        signs_until: row.optional_instant(7)?,
        revoked_at: row.optional_instant(8)?,
    })
}
