//! Signing keys.

use crate::database::Effort;
use crate::failure::Failure;
use crate::rows::{all, get};
use crate::store::PostgresStore;
use crate::values::At;
use async_trait::async_trait;
use doorwarden_core::store::{KeyStore, SigningKey, StoreError};
use doorwarden_core::time::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

#[async_trait]
impl KeyStore for PostgresStore {
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        let sql = "SELECT kid, algorithm, sealed, public_jwk, predecessor, created_at, signs_from, revoked_at \
                   FROM doorwarden_keys ORDER BY signs_from, kid";
        Ok(all(&self.database.rows(Effort::Read, sql, &[]).await?, key)?)
    }

    async fn add_signing_key(&self, key: SigningKey) -> Result<bool, StoreError> {
        let sql = "INSERT INTO doorwarden_keys \
                   (kid, algorithm, sealed, public_jwk, predecessor, created_at, signs_from, revoked_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (predecessor) DO NOTHING RETURNING 1";
        let params = [
            (&key.kid as _, Type::TEXT),
            (&key.algorithm as _, Type::TEXT),
            (&key.sealed as _, Type::BYTEA),
            (&key.public_jwk as _, Type::TEXT),
            (&key.predecessor as _, Type::TEXT),
            (&At(key.created_at) as _, Type::TIMESTAMPTZ),
            (&At(key.signs_from) as _, Type::TIMESTAMPTZ),
            (&key.revoked_at.map(At) as _, Type::TIMESTAMPTZ),
        ];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn revoke_signing_key(&self, kid: &str, at: Timestamp) -> Result<bool, StoreError> {
        let sql =
            "UPDATE doorwarden_keys SET revoked_at = $2 WHERE kid = $1 AND revoked_at IS NULL RETURNING 1";
        let params = [(&kid as _, Type::TEXT), (&At(at) as _, Type::TIMESTAMPTZ)];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn delete_signing_key(&self, kid: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM doorwarden_keys WHERE kid = $1 RETURNING 1";
        Ok(self.database.row(Effort::Write, sql, &[(&kid, Type::TEXT)]).await?.is_some())
    }
}

fn key(row: &Row) -> Result<SigningKey, Failure> {
    Ok(SigningKey {
        kid: get(row, 0)?,
        algorithm: get(row, 1)?,
        sealed: get(row, 2)?,
        public_jwk: get(row, 3)?,
        predecessor: get(row, 4)?,
        created_at: get::<At>(row, 5)?.0,
        signs_from: get::<At>(row, 6)?.0,
        revoked_at: get::<Option<At>>(row, 7)?.map(|at| at.0),
    })
}
