//! Challenges.

use crate::audit::{self, change, write_effects};
use crate::database::Effort;
use crate::failure::Failure;
use crate::rows::{all, get, instant, optional};
use crate::store::PostgresStore;
use crate::values::At;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::challenge::{Challenge, ChallengeId, ChallengePurpose, CodeHash, SecretHash};
use doorwarden_core::identity::EmailAddress;
use doorwarden_core::store::{ChallengeStore, CreateChallengeError, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use serde_json::Value;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

macro_rules! columns {
    () => {
        "c.id, c.purpose, c.user_id, c.email, c.of_current_email, c.generation, c.token_hash, c.key_hash, c.code_hash, \
         c.username_key, c.data, c.attempts, c.created_at, c.sent_at, c.expires_at"
    };
}

/// What holds of an open challenge, of the table called `c`, at the instant `$now`.
macro_rules! is_open {
    ($now:literal) => {
        concat!(
            "c.spent_at IS NULL AND c.expires_at > ",
            $now,
            " AND (c.user_id IS NULL OR EXISTS (SELECT FROM users u WHERE u.id = c.user_id \
             AND (c.generation IS NULL OR u.sessions_generation = c.generation) \
             AND (NOT c.of_current_email OR u.email_key = c.email_key)))"
        )
    };
}

/// Spends the challenge that allows a write, before the write.
pub(crate) async fn spend(transaction: &Transaction<'_>, effects: &Effects) -> Result<(), Failure> {
    let Some(challenge) = effects.spends else { return Ok(()) };
    // The user's row is locked before it is looked at: what ends the challenge comes first, or waits.
    let lock = "SELECT FROM users WHERE id = (SELECT user_id FROM doorwarden_challenges WHERE id = $1) FOR NO KEY UPDATE";
    transaction.query_typed(lock, &[(&challenge.0, Type::UUID)]).await?;
    let sql =
        concat!("UPDATE doorwarden_challenges c SET spent_at = $2 WHERE c.id = $1 AND ", is_open!("$2"));
    let params = [(&challenge.0 as _, Type::UUID), (&At(effects.at) as _, Type::TIMESTAMPTZ)];
    match transaction.execute_typed(sql, &params).await? {
        1 => Ok(()),
        _ => Err(Failure::Spent),
    }
}

#[async_trait]
impl ChallengeStore for PostgresStore {
    async fn create_challenge(
        &self,
        new: Challenge,
        replaces: bool,
        effects: Effects,
    ) -> Result<(), CreateChallengeError> {
        // The insert reads from the first part, so that it comes after it.
        let sql = concat!(
            // Two lists of ids, each by an index: with OR, PostgreSQL would look at every row.
            "WITH gone AS (UPDATE doorwarden_challenges SET spent_at = $13 WHERE spent_at IS NULL AND id IN (\
                 (SELECT id FROM (\
                     SELECT id, created_at FROM doorwarden_challenges WHERE purpose = $2 AND email_key = $16 \
                     AND spent_at IS NULL AND expires_at > $13 UNION \
                     SELECT id, created_at FROM doorwarden_challenges WHERE purpose = $2 AND $18 AND user_id = $3 \
                     AND spent_at IS NULL AND expires_at > $13) AS open ORDER BY created_at DESC, id DESC OFFSET $17) \
                 UNION ALL SELECT id FROM doorwarden_challenges \
                 WHERE username_key = $10 AND spent_at IS NULL AND expires_at <= $13) RETURNING 1), \
             changed AS (INSERT INTO doorwarden_challenges (id, purpose, user_id, email, of_current_email, generation, \
                 token_hash, key_hash, code_hash, username_key, data, attempts, created_at, sent_at, expires_at, email_key, carried_attempts) \
                 SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, carried, $13, $14, $15, $16, carried \
                 FROM (SELECT count(*) FROM gone) AS ended, (\
                     SELECT coalesce(max(attempts - carried_attempts), 0) AS carried FROM doorwarden_challenges \
                     WHERE email_key = $16 AND purpose = $2 AND created_at > $12 AND code_hash IS NOT NULL AND $9 IS NOT NULL) AS before \
                 ON CONFLICT (username_key) WHERE username_key IS NOT NULL AND spent_at IS NULL DO NOTHING RETURNING 1), \
             audited AS (",
            write_effects!("$19", from: "changed"),
            ") SELECT FROM changed"
        );
        let kept = if replaces { 0 } else { i64::from(Challenge::MOST_OPEN) - 1 };
        let data = Value::Object(new.data).to_string();
        let email_key = new.email.key();
        let params = [
            (&new.id.0 as _, Type::UUID),
            (&new.purpose.as_str() as _, Type::TEXT),
            (&new.user.map(|user| user.0) as _, Type::INT8),
            (&new.email.as_str() as _, Type::TEXT),
            (&new.is_of_current_email as _, Type::BOOL),
            (&new.generation as _, Type::INT8),
            (&new.token.as_ref().map(|hash| &hash.0[..]) as _, Type::BYTEA),
            (&new.key.as_ref().map(|hash| &hash.0[..]) as _, Type::BYTEA),
            (&new.code.as_ref().map(|hash| &hash.0[..]) as _, Type::BYTEA),
            (&new.username_key as _, Type::TEXT),
            (&data as _, Type::TEXT),
            (&At(new.created_at.before(Challenge::ATTEMPTS_COUNT_FOR)) as _, Type::TIMESTAMPTZ),
            (&At(new.created_at) as _, Type::TIMESTAMPTZ),
            (&At(new.sent_at) as _, Type::TIMESTAMPTZ),
            (&At(new.expires_at) as _, Type::TIMESTAMPTZ),
            (&email_key.as_str() as _, Type::TEXT),
            (&kept as _, Type::INT8),
            (&replaces as _, Type::BOOL),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        match self.database.change(&effects, sql, &params).await.map_err(StoreError::from)? {
            Some(_) => Ok(()),
            None => Err(CreateChallengeError::UsernameTaken),
        }
    }

    async fn challenge(&self, id: ChallengeId, now: Timestamp) -> Result<Option<Challenge>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_challenges c WHERE c.id = $1 AND ",
            is_open!("$2")
        );
        let params = [(&id.0 as _, Type::UUID), (&At(now) as _, Type::TIMESTAMPTZ)];
        Ok(optional(self.database.row(Effort::Read, sql, &params).await?.as_ref(), challenge)?)
    }

    async fn challenge_by_key(
        &self,
        key: SecretHash,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_challenges c WHERE c.key_hash = $1 AND ",
            is_open!("$2")
        );
        self.read_challenge(sql, key, now).await
    }

    async fn challenge_by_token(
        &self,
        token: SecretHash,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_challenges c WHERE c.token_hash = $1 AND ",
            is_open!("$2")
        );
        self.read_challenge(sql, token, now).await
    }

    async fn attempt_challenge(
        &self,
        token: SecretHash,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        // An attempt at a mailed code counts for every open challenge of the purpose and address: many of
        // them are no more guesses than one. They are locked in one order, and whoever waited sees the count
        // of those before.
        let sql = concat!(
            "WITH shown AS (SELECT c.id, c.code_hash, c.email_key, c.purpose FROM doorwarden_challenges c WHERE c.token_hash = $1 AND c.attempts < $3 AND ",
            is_open!("$2"),
            "), locked AS MATERIALIZED (SELECT c.id FROM doorwarden_challenges c JOIN shown ON c.id = shown.id \
                 OR shown.code_hash IS NOT NULL AND c.code_hash IS NOT NULL \
                 AND c.email_key = shown.email_key AND c.purpose = shown.purpose \
             WHERE c.spent_at IS NULL AND c.expires_at > $2 ORDER BY c.id FOR UPDATE OF c), \
             counted AS (UPDATE doorwarden_challenges c SET attempts = c.attempts + 1 FROM locked \
             WHERE c.id = locked.id AND c.attempts < $3 RETURNING ",
            columns!(),
            ") SELECT ",
            columns!(),
            " FROM counted c WHERE c.token_hash = $1"
        );
        let most = i32::try_from(Challenge::MOST_ATTEMPTS).unwrap_or(i32::MAX);
        let params =
            [(&&token.0[..] as _, Type::BYTEA), (&At(now) as _, Type::TIMESTAMPTZ), (&most as _, Type::INT4)];
        Ok(optional(self.database.row(Effort::Write, sql, &params).await?.as_ref(), challenge)?)
    }

    async fn renew_challenge(
        &self,
        token: SecretHash,
        key: SecretHash,
        code: CodeHash,
        now: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let sql = concat!(
            "WITH changed AS (UPDATE doorwarden_challenges c SET key_hash = $3, code_hash = $4, sent_at = $2 \
             WHERE c.token_hash = $1 AND c.sent_at <= $5 AND ",
            is_open!("$2"),
            " RETURNING 1), audited AS (",
            write_effects!("$6", from: "changed"),
            ") SELECT FROM changed"
        );
        let params = [
            (&&token.0[..] as _, Type::BYTEA),
            (&At(now) as _, Type::TIMESTAMPTZ),
            (&&key.0[..] as _, Type::BYTEA),
            (&&code.0[..] as _, Type::BYTEA),
            (&At(now.before(Challenge::RESEND_AFTER)) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.change(&effects, sql, &params).await?.is_some())
    }

    async fn end_challenge(
        &self,
        id: ChallengeId,
        now: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let sql = change!(
            "UPDATE doorwarden_challenges SET spent_at = $2 WHERE id = $1 AND spent_at IS NULL AND expires_at > $2 RETURNING 1",
            "$3"
        );
        let params = [
            (&id.0 as _, Type::UUID),
            (&At(now) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.change(&effects, sql, &params).await?.is_some())
    }

    async fn challenges_of(&self, user: UserId, now: Timestamp) -> Result<Vec<Challenge>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_challenges c WHERE c.user_id = $1 AND ",
            is_open!("$2"),
            " ORDER BY c.created_at, c.id"
        );
        let params = [(&user.0 as _, Type::INT8), (&At(now) as _, Type::TIMESTAMPTZ)];
        Ok(all(&self.database.rows(Effort::Read, sql, &params).await?, challenge)?)
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
            " FROM doorwarden_challenges c WHERE c.purpose = $1 AND ($3 IS NULL OR c.id > $3) AND ",
            is_open!("$2"),
            " ORDER BY c.id LIMIT $4"
        );
        let params = [
            (&purpose.as_str() as _, Type::TEXT),
            (&At(now) as _, Type::TIMESTAMPTZ),
            (&after.map(|id| id.0) as _, Type::UUID),
            (&i64::from(limit) as _, Type::INT8),
        ];
        Ok(all(&self.database.rows(Effort::Long, sql, &params).await?, challenge)?)
    }

    async fn purge_challenges(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let sql = "DELETE FROM doorwarden_challenges WHERE id IN (\
                   SELECT id FROM doorwarden_challenges WHERE expires_at < $1 LIMIT $2) RETURNING 1";
        let params = [(&At(before) as _, Type::TIMESTAMPTZ), (&i64::from(limit) as _, Type::INT8)];
        Ok(self.database.rows(Effort::Long, sql, &params).await?.len() as u64)
    }
}

impl PostgresStore {
    async fn read_challenge(
        &self,
        sql: &str,
        secret: SecretHash,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError> {
        let params = [(&&secret.0[..] as _, Type::BYTEA), (&At(now) as _, Type::TIMESTAMPTZ)];
        Ok(optional(self.database.row(Effort::Read, sql, &params).await?.as_ref(), challenge)?)
    }
}

fn challenge(row: &Row) -> Result<Challenge, Failure> {
    let damaged = |column| {
        let id = get::<uuid::Uuid>(row, 0).unwrap_or_default();
        Failure::Unreadable(format!("doorwarden_challenges.{column} of id {id} cannot be read"))
    };
    let hash = |place, column| match get::<Option<&[u8]>>(row, place)? {
        Some(bytes) => bytes.try_into().map(Some).map_err(|_| damaged(column)),
        None => Ok::<Option<[u8; 32]>, Failure>(None),
    };
    let purpose = ChallengePurpose::from_stored(get(row, 1)?).ok_or_else(|| damaged("purpose"))?;
    Ok(Challenge {
        id: ChallengeId(get(row, 0)?),
        purpose,
        user: get::<Option<_>>(row, 2)?.map(UserId),
        email: EmailAddress::from_stored(get::<String>(row, 3)?),
        is_of_current_email: get(row, 4)?,
        generation: get(row, 5)?,
        token: hash(6, "token_hash")?.map(SecretHash),
        key: hash(7, "key_hash")?.map(SecretHash),
        code: hash(8, "code_hash")?.map(CodeHash),
        username_key: get(row, 9)?,
        data: serde_json::from_str(get(row, 10)?).map_err(|_| damaged("data"))?,
        attempts: u32::try_from(get::<i32>(row, 11)?).map_err(|_| damaged("attempts"))?,
        created_at: instant(row, 12)?,
        sent_at: instant(row, 13)?,
        expires_at: instant(row, 14)?,
    })
}
