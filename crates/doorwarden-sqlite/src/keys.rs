//! Signing keys.

use crate::failure::Failure;
use crate::rows::{Record, all, run};
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::store::{KeyStore, SigningKey, StoreError};
use doorwarden_core::time::Timestamp;
use rusqlite::{Row, params};

#[async_trait]
impl KeyStore for SqliteStore {
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        let sql = "SELECT kid, algorithm, sealed, public_jwk, predecessor, created_at, signs_from, revoked_at \
                   FROM doorwarden_keys ORDER BY signs_from, kid";
        Ok(self.read(|connection| all(connection, sql, (), key))?)
    }

    async fn add_signing_key(&self, key: SigningKey) -> Result<bool, StoreError> {
        let sql = "INSERT INTO doorwarden_keys \
                   (kid, algorithm, sealed, public_jwk, predecessor, created_at, signs_from, revoked_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (predecessor) DO NOTHING";
        self.write(move |connection| {
            let params = params![
                key.kid,
                key.algorithm,
                key.sealed,
                key.public_jwk,
                key.predecessor,
                key.created_at.as_micros(),
                key.signs_from.as_micros(),
                key.revoked_at.map(Timestamp::as_micros)
            ];
            Ok(run(connection, sql, params)? == 1)
        })
        .await
    }

    async fn revoke_signing_key(&self, kid: &str, at: Timestamp) -> Result<bool, StoreError> {
        let kid = kid.to_owned();
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_keys SET revoked_at = ?2 WHERE kid = ?1 AND revoked_at IS NULL";
            Ok(run(connection, sql, (kid, at.as_micros()))? == 1)
        })
        .await
    }

    async fn delete_signing_key(&self, kid: &str) -> Result<bool, StoreError> {
        let kid = kid.to_owned();
        self.write(move |connection| {
            Ok(run(connection, "DELETE FROM doorwarden_keys WHERE kid = ?1", [kid])? == 1)
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
        revoked_at: row.optional_instant(7)?,
    })
}
