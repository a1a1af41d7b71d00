//! Attempts at passwords.

use crate::audit;
use crate::rows::{get, one, run};
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::limit::Guesser;
use doorwarden_core::limit::proof_of_work::Solved;
use doorwarden_core::store::{AttemptStore, Attempted, PasswordAttempt, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use rusqlite::params;
use std::time::Duration;

/// The stored name of a device; empty for strangers.
fn device(guesser: &Guesser) -> &[u8] {
    guesser.device.as_ref().map_or(&[], |device| &device.0)
}

#[async_trait]
impl AttemptStore for SqliteStore {
    async fn attempt_password(&self, attempt: PasswordAttempt) -> Result<Attempted, StoreError> {
        self.write(move |connection| {
            let PasswordAttempt { guesser, at, free, most, has_worked } = attempt;
            let count = "INSERT INTO doorwarden_attempts (account, device, user_id, failures, at) \
                         SELECT ?1, ?2, ?3, 1, ?4 WHERE ?3 IS NULL OR EXISTS (SELECT 1 FROM users WHERE id = ?3) \
                         ON CONFLICT (account, device) DO UPDATE SET failures = failures + 1, at = ?4 \
                         WHERE failures < ?5 AND (?6 OR failures < ?7 \
                         OR at + min(?8, (1 << max(min(failures - ?7, 12), 0)) * 1000000) <= ?4) \
                         RETURNING failures";
            let longest = i64::try_from(PasswordAttempt::MAX_WAIT.as_micros()).unwrap_or(i64::MAX);
            let params = params![
                guesser.account.0,
                device(&guesser),
                guesser.user.map(|user| user.0),
                at.as_micros(),
                most,
                has_worked,
                free,
                longest,
            ];
            if let Some(failures) = one(connection, count, params, |row| get::<u32>(row, 0))? {
                return Ok(Attempted::Allowed(failures));
            }
            let look = "SELECT failures, at FROM doorwarden_attempts WHERE account = ?1 AND device = ?2";
            let found = one(connection, look, (guesser.account.0, device(&guesser)), |row| {
                Ok((get::<u32>(row, 0)?, Timestamp::from_micros(get(row, 1)?)))
            })?;
            Ok(match found {
                Some((failures, _)) if failures >= most => Attempted::Locked,
                Some((failures, last)) => {
                    let until = last.after(PasswordAttempt::wait(failures, free));
                    Attempted::Wait(until.since(at), failures)
                }
                // The user was deleted a moment ago.
                None => Attempted::Allowed(1),
            })
        })
        .await
    }

    async fn settle_attempt(&self, guesser: Guesser, was_right: bool) -> Result<(), StoreError> {
        self.write(move |connection| {
            let sql = match was_right {
                true => "UPDATE doorwarden_attempts SET failures = 0 WHERE account = ?1 AND device = ?2",
                false => {
                    "UPDATE doorwarden_attempts SET failures = max(failures - 1, 0) WHERE account = ?1 AND device = ?2"
                }
            };
            run(connection, sql, (guesser.account.0, device(&guesser)))?;
            Ok(())
        })
        .await
    }

    async fn failures(&self, user: UserId) -> Result<u32, StoreError> {
        let sql = "SELECT failures FROM doorwarden_attempts WHERE user_id = ?1 AND device = x''";
        Ok(self.read(|connection| one(connection, sql, [user.0], |row| get(row, 0)))?.unwrap_or(0))
    }

    async fn forget_failures(&self, user: UserId, effects: Effects) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_attempts SET failures = 0 WHERE user_id = ?1 AND device = x'' AND failures > 0";
            let changed = run(connection, sql, [user.0])? > 0;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn notice_failures(&self, user: UserId, effects: Effects) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_attempts SET noticed_at = ?2 WHERE user_id = ?1 AND device = x'' \
                       AND (noticed_at IS NULL OR noticed_at <= ?3)";
            let yesterday = effects.at.before(Duration::from_hours(24));
            let changed = run(connection, sql, (user.0, effects.at.as_micros(), yesterday.as_micros()))? > 0;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn spend_work(&self, solved: Solved) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql = "INSERT INTO doorwarden_work (id, expires_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            Ok(run(connection, sql, (solved.id, solved.expires_at.as_micros()))? > 0)
        })
        .await
    }

    async fn purge_attempts(
        &self,
        now: Timestamp,
        before: Timestamp,
        most: u64,
        limit: u32,
    ) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let work = "DELETE FROM doorwarden_work WHERE id IN (\
                        SELECT id FROM doorwarden_work WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";
            let work = run(connection, work, (now.as_micros(), limit))?;
            let nobody = "DELETE FROM doorwarden_attempts WHERE (account, device) IN (\
                          SELECT account, device FROM doorwarden_attempts WHERE user_id IS NULL AND at < ?1 \
                          ORDER BY at LIMIT ?2)";
            let old = run(connection, nobody, (before.as_micros(), limit))?;
            let surplus = "DELETE FROM doorwarden_attempts WHERE (account, device) IN (\
                           SELECT account, device FROM doorwarden_attempts WHERE user_id IS NULL ORDER BY at \
                           LIMIT min(?2, max(0, (SELECT count(*) FROM doorwarden_attempts WHERE user_id IS NULL) - ?1)))";
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let surplus = run(connection, surplus, (most, limit))?;
            Ok(work.max(old).max(surplus) as u64)
        })
        .await
    }
}
