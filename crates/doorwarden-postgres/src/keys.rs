//! Signing keys.

use crate::audit::{self, change, write_effects};
use crate::database::Effort;
use crate::failure::Failure;
use crate::rows::{all, get, optional};
use crate::store::PostgresStore;
use crate::values::At;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::store::{KeyStore, SigningKey, StoreError};
use doorwarden_core::time::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

#[async_trait]
impl KeyStore for PostgresStore {
    async fn signing_keys(&self) -> Result<Vec<SigningKey>, StoreError> {
        let sql = "SELECT kid, algorithm, sealed, public_jwk, predecessor, created_at, signs_from, signs_until, revoked_at \
                   FROM doorwarden_keys ORDER BY signs_from, created_at, kid";
        Ok(all(&self.database.rows(Effort::Read, sql, &[]).await?, key)?)
    }

    async fn add_signing_key(&self, key: SigningKey, effects: Effects) -> Result<bool, StoreError> {
        let sql = change!(
            "INSERT INTO doorwarden_keys \
             (kid, algorithm, sealed, public_jwk, predecessor, created_at, signs_from, signs_until, revoked_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (algorithm, predecessor) DO NOTHING RETURNING 1",
            "$10"
        );
        let params = [
            (&key.kid as _, Type::TEXT),
            (&key.algorithm as _, Type::TEXT),
            (&key.sealed as _, Type::BYTEA),
            (&key.public_jwk as _, Type::TEXT),
            (&key.predecessor as _, Type::TEXT),
            (&At(key.created_at) as _, Type::TIMESTAMPTZ),
            (&At(key.signs_from) as _, Type::TIMESTAMPTZ),
            (&key.signs_until.map(At) as _, Type::TIMESTAMPTZ),
            (&key.revoked_at.map(At) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn revoke_signing_key(
        &self,
        kid: &str,
        at: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let sql = change!(
            "UPDATE doorwarden_keys SET revoked_at = $2 WHERE kid = $1 AND revoked_at IS NULL RETURNING 1",
            "$3"
        );
        let params = [
            (&kid as _, Type::TEXT),
            (&At(at) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn revoke_signing_keys(&self, at: Timestamp, effects: Effects) -> Result<u64, StoreError> {
        let sql = concat!(
            "WITH revoked AS (UPDATE doorwarden_keys SET revoked_at = $1 WHERE revoked_at IS NULL RETURNING 1), \
             done AS (SELECT count(*) AS count FROM revoked), audited AS (",
            write_effects!(
                "$2",
                from: "(SELECT count FROM done WHERE count > 0) AS done",
                found: "jsonb_build_object('count', done.count)"
            ),
            ") SELECT count FROM done"
        );
        let params = [(&At(at) as _, Type::TIMESTAMPTZ), (&audit::parameter(&effects) as _, Type::TEXT)];
        let row = self.database.row(Effort::Write, sql, &params).await?;
        let revoked = optional(row.as_ref(), |row| get::<i64>(row, 0))?.unwrap_or(0);
        Ok(u64::try_from(revoked).unwrap_or(0))
    }

    async fn schedule_signing_key(
        &self,
        known: &SigningKey,
        signs_from: Timestamp,
        signs_until: Option<Timestamp>,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let sql = change!(
            "UPDATE doorwarden_keys SET signs_from = $4, signs_until = $5 \
             WHERE kid = $1 AND signs_from = $2 AND signs_until IS NOT DISTINCT FROM $3 AND revoked_at IS NULL \
             RETURNING 1",
            "$6"
        );
        let params = [
            (&known.kid as _, Type::TEXT),
            (&At(known.signs_from) as _, Type::TIMESTAMPTZ),
            (&known.signs_until.map(At) as _, Type::TIMESTAMPTZ),
            (&At(signs_from) as _, Type::TIMESTAMPTZ),
            (&signs_until.map(At) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn reseal_signing_key(
        &self,
        known: &SigningKey,
        sealed: Vec<u8>,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let sql = change!(
            "UPDATE doorwarden_keys SET sealed = $3 WHERE kid = $1 AND sealed = $2 RETURNING 1",
            "$4"
        );
        let params = [
            (&known.kid as _, Type::TEXT),
            (&known.sealed as _, Type::BYTEA),
            (&sealed as _, Type::BYTEA),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn delete_signing_key(&self, kid: &str, effects: Effects) -> Result<bool, StoreError> {
        let sql = change!(
            "DELETE FROM doorwarden_keys key WHERE kid = $1 AND (revoked_at <= now() OR signs_until <= now() \
             OR EXISTS (SELECT 1 FROM doorwarden_keys next WHERE next.algorithm = key.algorithm \
             AND next.signs_from > key.signs_from AND next.signs_from <= now() \
             AND (next.revoked_at IS NULL OR next.revoked_at > next.signs_from))) RETURNING 1",
            "$2"
        );
        let params = [(&kid as _, Type::TEXT), (&audit::parameter(&effects) as _, Type::TEXT)];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
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
        signs_until: get::<Option<At>>(row, 7)?.map(|at| at.0),
        revoked_at: get::<Option<At>>(row, 8)?.map(|at| at.0),
    })
}
