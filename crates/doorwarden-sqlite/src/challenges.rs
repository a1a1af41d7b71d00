//! Challenges.

use crate::audit;
use crate::failure::Failure;
use crate::rows::{Record, all, one, run};
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::challenge::{Challenge, ChallengeId, ChallengePurpose, CodeHash, SecretHash};
use doorwarden_core::identity::EmailAddress;
use doorwarden_core::store::{ChallengeStore, CreateChallengeError, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use rusqlite::{Connection, Row, params};
use serde_json::Value;

macro_rules! columns {
    () => {
        "id, purpose, user_id, email, of_current_email, generation, token_hash, key_hash, code_hash, username_key, data, \
         attempts, created_at, sent_at, expires_at"
    };
}

/// What holds of an open challenge at the instant `$now`.
macro_rules! is_open {
    ($now:literal) => {
        concat!(
            "spent_at IS NULL AND expires_at > ",
            $now,
            " AND (user_id IS NULL OR EXISTS (SELECT 1 FROM users u WHERE u.id = user_id \
             AND (generation IS NULL OR u.sessions_generation = generation) \
             AND (NOT of_current_email OR u.email_key = doorwarden_challenges.email_key)))"
        )
    };
}

/// Whether the challenge that allows a write is open. To be asked before the write, which may end it.
pub(crate) fn check(connection: &Connection, effects: &Effects) -> Result<(), StoreError> {
    let Some(challenge) = effects.spends else { return Ok(()) };
    let sql = concat!("SELECT 1 FROM doorwarden_challenges WHERE id = ?1 AND ", is_open!("?2"));
    let open = one(connection, sql, (challenge.0, effects.at.as_micros()), |_| Ok(()))?;
    open.ok_or(StoreError::Spent)
}

/// Spends the challenge that has allowed a write, which took place.
pub(crate) fn spend(connection: &Connection, effects: &Effects) -> Result<(), Failure> {
    if let Some(challenge) = effects.spends {
        let sql = "UPDATE doorwarden_challenges SET spent_at = ?2 WHERE id = ?1";
        run(connection, sql, (challenge.0, effects.at.as_micros()))?;
    }
    Ok(())
}

#[async_trait]
impl ChallengeStore for SqliteStore {
    async fn create_challenge(
        &self,
        new: Challenge,
        replaces: bool,
        effects: Effects,
    ) -> Result<(), CreateChallengeError> {
        self.write(move |connection| {
            let (purpose, email_key) = (new.purpose.as_str(), new.email.key());
            let (now, since) = (new.created_at, new.created_at.before(Challenge::ATTEMPTS_COUNT_FOR));
            check(connection, &effects)?;
            let attempts = "SELECT coalesce(max(attempts - carried_attempts), 0) FROM doorwarden_challenges \
                            WHERE email_key = ?1 AND purpose = ?2 AND created_at > ?3 AND code_hash IS NOT NULL AND ?4";
            let attempts = one(connection, attempts, (email_key.as_str(), purpose, since.as_micros(), new.code.is_some()), |row| {
                Ok(row.get::<_, u32>(0)?)
            })?;
            let kept = if replaces { 0 } else { Challenge::MOST_OPEN - 1 };
            let end = "UPDATE doorwarden_challenges SET spent_at = ?3 WHERE id IN (\
                       SELECT id FROM doorwarden_challenges WHERE purpose = ?2 AND (email_key = ?1 OR user_id = ?5) \
                       AND spent_at IS NULL AND expires_at > ?3 ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?4)";
            let user = new.user.filter(|_| replaces).map(|user| user.0);
            let params = (email_key.as_str(), purpose, now.as_micros(), kept, user);
            run(connection, end, params)?;
            if let Some(username) = &new.username_key {
                let free = "UPDATE doorwarden_challenges SET spent_at = ?2 \
                            WHERE username_key = ?1 AND spent_at IS NULL AND expires_at <= ?2";
                run(connection, free, (username, now.as_micros()))?;
            }
            let insert = concat!(
                "INSERT INTO doorwarden_challenges (",
                columns!(),
                ", email_key, carried_attempts) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?12) \
                 ON CONFLICT (username_key) WHERE username_key IS NOT NULL AND spent_at IS NULL DO NOTHING"
            );
            let params = params![
                new.id.0,
                purpose,
                new.user.map(|user| user.0),
                new.email.as_str(),
                new.is_of_current_email,
                new.generation,
                new.token.map(|hash| hash.0),
                new.key.map(|hash| hash.0),
                new.code.map(|hash| hash.0),
                new.username_key,
                Value::Object(new.data).to_string(),
                attempts.unwrap_or(0),
                new.created_at.as_micros(),
                new.sent_at.as_micros(),
                new.expires_at.as_micros(),
                email_key.as_str(),
            ];
            if run(connection, insert, params)? == 0 {
                return Err(CreateChallengeError::UsernameTaken);
            }
            audit::write(connection, &effects)?;
            Ok(())
        })
        .await
    }

    async fn challenge(&self, id: ChallengeId, now: Timestamp) -> Result<Option<Challenge>, StoreError> {
        let sql =
            concat!("SELECT ", columns!(), " FROM doorwarden_challenges WHERE id = ?1 AND ", is_open!("?2"));
        Ok(self.read(|connection| one(connection, sql, (id.0, now.as_micros()), challenge))?)
    }

    async fn challenge_by_key(
        &self,
        key: SecretHash,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_challenges WHERE key_hash = ?1 AND ",
            is_open!("?2")
        );
        Ok(self.read(|connection| one(connection, sql, (key.0, now.as_micros()), challenge))?)
    }

    async fn challenge_by_token(
        &self,
        token: SecretHash,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_challenges WHERE token_hash = ?1 AND ",
            is_open!("?2")
        );
        Ok(self.read(|connection| one(connection, sql, (token.0, now.as_micros()), challenge))?)
    }

    async fn attempt_challenge(
        &self,
        token: SecretHash,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        self.write(move |connection| {
            let sql = concat!(
                "SELECT ",
                columns!(),
                " FROM doorwarden_challenges WHERE token_hash = ?1 AND attempts < ?3 AND ",
                is_open!("?2")
            );
            let params = (token.0, now.as_micros(), Challenge::MOST_ATTEMPTS);
            let Some(mut challenge) = one(connection, sql, params, challenge)? else { return Ok(None) };
            // An attempt at a mailed code counts for every open challenge of the purpose and address: many of
            // them are no more guesses than one.
            let count = "UPDATE doorwarden_challenges SET attempts = attempts + 1 \
                         WHERE spent_at IS NULL AND expires_at > ?3 AND attempts < ?4 AND (id = ?5 \
                         OR ?6 AND code_hash IS NOT NULL AND email_key = ?1 AND purpose = ?2)";
            let (key, most) = (challenge.email.key(), Challenge::MOST_ATTEMPTS);
            let (id, is_mailed) = (challenge.id.0, challenge.code.is_some());
            let params = (key.as_str(), challenge.purpose.as_str(), now.as_micros(), most, id, is_mailed);
            run(connection, count, params)?;
            challenge.attempts += 1;
            Ok(Some(challenge))
        })
        .await
    }

    async fn renew_challenge(
        &self,
        token: SecretHash,
        key: SecretHash,
        code: CodeHash,
        now: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql = concat!(
                "UPDATE doorwarden_challenges SET key_hash = ?3, code_hash = ?4, sent_at = ?2 \
                 WHERE token_hash = ?1 AND sent_at <= ?5 AND ",
                is_open!("?2")
            );
            let since = now.before(Challenge::RESEND_AFTER).as_micros();
            let renewed = run(connection, sql, (token.0, now.as_micros(), key.0, code.0, since))? == 1;
            Ok(audit::write_if(connection, renewed, &effects)?)
        })
        .await
    }

    async fn end_challenge(
        &self,
        id: ChallengeId,
        now: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql =
                concat!("UPDATE doorwarden_challenges SET spent_at = ?2 WHERE id = ?1 AND ", is_open!("?2"));
            let ended = run(connection, sql, (id.0, now.as_micros()))? == 1;
            Ok(audit::write_if(connection, ended, &effects)?)
        })
        .await
    }

    async fn challenges_of(&self, user: UserId, now: Timestamp) -> Result<Vec<Challenge>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_challenges WHERE user_id = ?1 AND ",
            is_open!("?2"),
            " ORDER BY created_at, id"
        );
        Ok(self.read(|connection| all(connection, sql, (user.0, now.as_micros()), challenge))?)
    }

    async fn challenges_for(
        &self,
        purpose: ChallengePurpose,
        now: Timestamp,
        after: Option<ChallengeId>,
        limit: u32,
    ) -> Result<Vec<Challenge>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_challenges WHERE purpose = ?1 AND (?3 IS NULL OR id > ?3) AND ",
            is_open!("?2"),
            " ORDER BY id LIMIT ?4"
        );
        let params = (purpose.as_str(), now.as_micros(), after.map(|id| id.0), limit);
        self.scan(move |connection| all(connection, sql, params, challenge)).await
    }

    async fn purge_challenges(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let sql = "DELETE FROM doorwarden_challenges WHERE id IN (\
                       SELECT id FROM doorwarden_challenges WHERE expires_at < ?1 LIMIT ?2)";
            Ok(run(connection, sql, (before.as_micros(), limit))? as u64)
        })
        .await
    }
}

fn challenge(row: &Row<'_>) -> Result<Challenge, Failure> {
    let row = Record { table: "doorwarden_challenges", row };
    Ok(Challenge {
        id: ChallengeId(row.get(0)?),
        purpose: row.parse(1, ChallengePurpose::from_stored)?,
        user: row.get::<Option<_>>(2)?.map(UserId),
        email: EmailAddress::from_stored(row.get::<String>(3)?),
        is_of_current_email: row.get(4)?,
        generation: row.get(5)?,
        token: row.get::<Option<_>>(6)?.map(SecretHash),
        key: row.get::<Option<_>>(7)?.map(SecretHash),
        code: row.get::<Option<_>>(8)?.map(CodeHash),
        username_key: row.get(9)?,
        data: row.parse(10, |text| serde_json::from_str(text).ok())?,
        attempts: row.get(11)?,
        created_at: row.instant(12)?,
        sent_at: row.instant(13)?,
        expires_at: row.instant(14)?,
    })
}
