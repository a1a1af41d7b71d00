//! Attempts at passwords, and the buckets that instances share.

use crate::audit::{self, change};
use crate::database::Effort;
use crate::rows::{get, instant};
use crate::store::PostgresStore;
use crate::values::At;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::limit::proof_of_work::Solved;
use doorwarden_core::limit::{Bucket, Guesser, SharedBuckets, SharedBucketsError, Verdict};
use doorwarden_core::store::{AttemptStore, Attempted, PasswordAttempt, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use std::time::Duration;
use tokio_postgres::types::Type;

/// The stored name of a device; empty for strangers.
fn device(guesser: &Guesser) -> &[u8] {
    guesser.device.as_ref().map_or(&[], |device| &device.0)
}

#[async_trait]
impl AttemptStore for PostgresStore {
    async fn attempt_password(&self, attempt: PasswordAttempt) -> Result<Attempted, StoreError> {
        let PasswordAttempt { guesser, at, free, most, has_worked } = attempt;
        let count = "INSERT INTO doorwarden_attempts AS a (account, device, user_id, failures, at) \
                     SELECT $1, $2, $3, 1, $4 WHERE $3 IS NULL OR EXISTS (SELECT FROM users WHERE id = $3) \
                     ON CONFLICT (account, device) DO UPDATE SET failures = a.failures + 1, at = $4 \
                     WHERE a.failures < $5 AND ($6 OR a.failures < $7 OR a.at + make_interval(secs => \
                     least($8, 1 << greatest(least(a.failures - $7, 12), 0)::int)) <= $4) RETURNING failures";
        let (account, own) = (&guesser.account.0[..], device(&guesser));
        let (most_rows, free_rows) = (i64::from(most), i64::from(free));
        let longest = PasswordAttempt::MAX_WAIT.as_secs_f64();
        let params = [
            (&account as _, Type::BYTEA),
            (&own as _, Type::BYTEA),
            (&guesser.user.map(|user| user.0) as _, Type::INT8),
            (&At(at) as _, Type::TIMESTAMPTZ),
            (&most_rows as _, Type::INT8),
            (&has_worked as _, Type::BOOL),
            (&free_rows as _, Type::INT8),
            (&longest as _, Type::FLOAT8),
        ];
        let number = |failures: i64| u32::try_from(failures).unwrap_or(u32::MAX);
        if let Some(row) = self.database.row(Effort::Write, count, &params).await? {
            return Ok(Attempted::Allowed(number(get(&row, 0)?)));
        }
        let look = "SELECT failures, at FROM doorwarden_attempts WHERE account = $1 AND device = $2";
        Ok(match self.database.row(Effort::Read, look, &params[..2]).await? {
            Some(row) => {
                let (failures, last) = (number(get(&row, 0)?), instant(&row, 1)?);
                if failures >= most {
                    Attempted::Locked
                } else {
                    let until = last.after(PasswordAttempt::wait(failures, free));
                    Attempted::Wait(until.since(at), failures)
                }
            }
            // The user was deleted a moment ago.
            None => Attempted::Allowed(1),
        })
    }

    async fn settle_attempt(&self, guesser: Guesser, was_right: bool) -> Result<(), StoreError> {
        let sql = match was_right {
            true => "UPDATE doorwarden_attempts SET failures = 0 WHERE account = $1 AND device = $2",
            false => {
                "UPDATE doorwarden_attempts SET failures = greatest(failures - 1, 0) WHERE account = $1 AND device = $2"
            }
        };
        let (account, own) = (&guesser.account.0[..], device(&guesser));
        let params = [(&account as _, Type::BYTEA), (&own as _, Type::BYTEA)];
        self.database.rows(Effort::Write, sql, &params).await?;
        Ok(())
    }

    async fn failures(&self, user: UserId) -> Result<u32, StoreError> {
        let sql = "SELECT failures FROM doorwarden_attempts WHERE user_id = $1 AND device = ''";
        let row = self.database.row(Effort::Read, sql, &[(&user.0 as _, Type::INT8)]).await?;
        let failures: i64 = row.map_or(Ok(0), |row| get(&row, 0))?;
        Ok(u32::try_from(failures).unwrap_or(u32::MAX))
    }

    async fn forget_failures(&self, user: UserId, effects: Effects) -> Result<bool, StoreError> {
        let sql = change!(
            "UPDATE doorwarden_attempts SET failures = 0 WHERE user_id = $1 AND device = '' AND failures > 0 RETURNING 1",
            "$2"
        );
        let params = [(&user.0 as _, Type::INT8), (&audit::parameter(&effects) as _, Type::TEXT)];
        Ok(self.database.change(&effects, sql, &params).await?.is_some())
    }

    async fn notice_failures(&self, user: UserId, effects: Effects) -> Result<bool, StoreError> {
        let sql = change!(
            "UPDATE doorwarden_attempts SET noticed_at = $2 WHERE user_id = $1 AND device = '' \
             AND (noticed_at IS NULL OR noticed_at <= $2 - interval '1 day') RETURNING 1",
            "$3"
        );
        let params = [
            (&user.0 as _, Type::INT8),
            (&At(effects.at) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.change(&effects, sql, &params).await?.is_some())
    }

    async fn spend_work(&self, solved: Solved) -> Result<bool, StoreError> {
        let sql =
            "INSERT INTO doorwarden_work (id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING 1";
        let params = [(&&solved.id[..] as _, Type::BYTEA), (&At(solved.expires_at) as _, Type::TIMESTAMPTZ)];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn purge_attempts(
        &self,
        now: Timestamp,
        before: Timestamp,
        most: u64,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let sql = "WITH work AS (DELETE FROM doorwarden_work WHERE id IN (\
                       SELECT id FROM doorwarden_work WHERE expires_at <= $1 ORDER BY expires_at LIMIT $4) RETURNING 1), \
                   buckets AS (DELETE FROM doorwarden_buckets WHERE key IN (\
                       SELECT key FROM doorwarden_buckets WHERE empty_at < clock_timestamp() ORDER BY empty_at LIMIT $4) \
                       RETURNING 1), \
                   nobody AS (DELETE FROM doorwarden_attempts a USING (\
                       SELECT account, device FROM doorwarden_attempts WHERE user_id IS NULL AND at < $2 ORDER BY at LIMIT $4\
                       ) old WHERE a.account = old.account AND a.device = old.device RETURNING 1), \
                   surplus AS (DELETE FROM doorwarden_attempts a USING (\
                       SELECT account, device FROM doorwarden_attempts WHERE user_id IS NULL AND at >= $2 ORDER BY at \
                       LIMIT least($4, greatest(0, (SELECT count(*) FROM doorwarden_attempts WHERE user_id IS NULL AND at >= $2) - $3))\
                       ) old WHERE a.account = old.account AND a.device = old.device RETURNING 1) \
                   SELECT greatest((SELECT count(*) FROM work), (SELECT count(*) FROM buckets), \
                       (SELECT count(*) FROM nobody), (SELECT count(*) FROM surplus))";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let params = [
            (&At(now) as _, Type::TIMESTAMPTZ),
            (&At(before) as _, Type::TIMESTAMPTZ),
            (&most as _, Type::INT8),
            (&i64::from(limit) as _, Type::INT8),
        ];
        let row = self.database.row(Effort::Long, sql, &params).await?;
        let done: i64 = row.map_or(Ok(0), |row| get(&row, 0))?;
        Ok(done.unsigned_abs())
    }
}

#[async_trait]
impl SharedBuckets for PostgresStore {
    async fn take(&self, bucket: Bucket) -> Result<Verdict, SharedBucketsError> {
        // `clock_timestamp()`: the row may have been locked for a while.
        let sql = "INSERT INTO doorwarden_buckets AS b (key, empty_at) VALUES ($1, clock_timestamp() + $2 * interval '1 second') \
                   ON CONFLICT (key) DO UPDATE SET empty_at = greatest(b.empty_at, clock_timestamp()) + $2 * interval '1 second' \
                   WHERE greatest(b.empty_at, clock_timestamp()) - clock_timestamp() <= $3 * interval '1 second' RETURNING 1";
        let interval = bucket.quota.interval();
        let room = interval * bucket.quota.count().saturating_sub(1);
        let (interval, room) = (interval.as_secs_f64(), room.as_secs_f64());
        let params = [
            (&&bucket.key[..] as _, Type::BYTEA),
            (&interval as _, Type::FLOAT8),
            (&room as _, Type::FLOAT8),
        ];
        let failed = |error| SharedBucketsError(StoreError::from(error).to_string());
        if self.database.row(Effort::Write, sql, &params).await.map_err(failed)?.is_some() {
            return Ok(Verdict::Allowed(Duration::ZERO));
        }
        self.look(bucket).await
    }

    async fn look(&self, bucket: Bucket) -> Result<Verdict, SharedBucketsError> {
        let room = (bucket.quota.interval() * bucket.quota.count().saturating_sub(1)).as_secs_f64();
        let sql = "SELECT greatest(0, extract(epoch FROM empty_at - clock_timestamp()) - $2)::float8 \
                   FROM doorwarden_buckets WHERE key = $1";
        let params = [(&&bucket.key[..] as _, Type::BYTEA), (&room as _, Type::FLOAT8)];
        let failed = |error| SharedBucketsError(StoreError::from(error).to_string());
        let row = self.database.row(Effort::Read, sql, &params).await.map_err(failed)?;
        let wait: f64 = row.map_or(Ok(0.0), |row| get(&row, 0)).map_err(failed)?;
        Ok(match Duration::try_from_secs_f64(wait).unwrap_or_default() {
            Duration::ZERO => Verdict::Allowed(Duration::ZERO),
            wait => Verdict::Denied(wait),
        })
    }
}
