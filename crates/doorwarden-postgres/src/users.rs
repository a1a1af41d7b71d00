//! Users.

use crate::audit::{self, change, write_effects};
use crate::database::{Effort, Param};
use crate::rows::{USER_COLUMNS, all, get, optional, user, user_columns};
use crate::store::PostgresStore;
use crate::values::At;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::identity::{EmailAddress, EmailKey, Username, UsernameKey};
use doorwarden_core::mail::Locale;
use doorwarden_core::password::PasswordHash;
use doorwarden_core::session::EndReason;
use doorwarden_core::store::{
    KeyCollision, PasswordChange, SignedOut, StoreError, Taken, UserFilter, UserStore, WriteUserError,
    merge_metadata, metadata_text,
};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{Account, NewUser, User, UserChange, UserId};
use tokio_postgres::types::Type;

/// How often a change of metadata is tried while others change the same user.
const METADATA_TRIES: usize = 1000;

/// How often a user is created while SQL by hand goes on writing others.
const PENDING_TRIES: usize = 10;

#[async_trait]
impl UserStore for PostgresStore {
    async fn create_user(&self, new: NewUser, effects: Effects) -> Result<User, WriteUserError> {
        let sql = concat!(
            "WITH u AS (INSERT INTO users (username, username_key, email, email_key, password, is_active, is_staff, \
             is_superuser, date_joined, metadata, email_verified_at, locale) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10::json, $12, $13 \
             WHERE NOT EXISTS (SELECT FROM doorwarden_pending_keys) RETURNING *), audited AS (",
            write_effects!("$11", from: "u", user: "u.id", session: "NULL", found: "'{}'"),
            ") SELECT ",
            user_columns!(),
            " FROM u"
        );
        let parameter = audit::parameter(&effects);
        let metadata = metadata_text(&new.metadata)?;
        let (username_key, email_key) = (new.username.key(), new.email.key());
        let params = [
            (&new.username.as_str() as _, Type::TEXT),
            (&username_key.as_str() as _, Type::TEXT),
            (&new.email.as_str() as _, Type::TEXT),
            (&email_key.as_str() as _, Type::TEXT),
            (&new.password.as_str() as _, Type::TEXT),
            (&new.is_active as _, Type::BOOL),
            (&new.is_staff as _, Type::BOOL),
            (&new.is_superuser as _, Type::BOOL),
            (&At(new.date_joined) as _, Type::TIMESTAMPTZ),
            (&metadata as _, Type::TEXT),
            (&parameter as _, Type::TEXT),
            (&new.email_verified_at.map(At) as _, Type::TIMESTAMPTZ),
            (&new.locale.map(Locale::as_str) as _, Type::TEXT),
        ];
        for _ in 0..PENDING_TRIES {
            if let Some(user) = self.write_user(&effects, sql, &params).await? {
                return Ok(user);
            }
            self.resolve_pending().await?;
        }
        Err(StoreError::unavailable("others keep writing users by hand").into())
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let sql = concat!("SELECT ", user_columns!(), " FROM users u WHERE u.id = $1");
        self.read_user(sql, (&id.0, Type::INT8)).await
    }

    async fn user_by_email(&self, email: &EmailKey) -> Result<Option<User>, StoreError> {
        let sql = concat!(
            "SELECT ",
            user_columns!(),
            ", EXISTS (SELECT FROM doorwarden_pending_keys) FROM (SELECT) AS always LEFT JOIN users u ON u.email_key = $1"
        );
        self.read_by_key(sql, email.as_str()).await
    }

    async fn user_by_username(&self, username: &UsernameKey) -> Result<Option<User>, StoreError> {
        let sql = concat!(
            "SELECT ",
            user_columns!(),
            ", EXISTS (SELECT FROM doorwarden_pending_keys) FROM (SELECT) AS always LEFT JOIN users u ON u.username_key = $1"
        );
        self.read_by_key(sql, username.as_str()).await
    }

    async fn account(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        let sql = concat!(
            "SELECT ",
            user_columns!(),
            ", ARRAY(SELECT group_name FROM doorwarden_user_groups WHERE user_id = u.id ORDER BY 1), \
             CASE WHEN NOT u.is_active THEN '{}' \
             WHEN u.is_superuser THEN ARRAY(SELECT name FROM doorwarden_permissions ORDER BY 1) \
             ELSE ARRAY(SELECT permission FROM doorwarden_user_permissions WHERE user_id = u.id UNION \
                 SELECT permission FROM doorwarden_user_groups JOIN doorwarden_group_permissions USING (group_name) \
                 WHERE user_id = u.id ORDER BY 1) END \
             FROM users u WHERE u.id = $1"
        );
        let row = self.database.row(Effort::Read, sql, &[(&id.0, Type::INT8)]).await?;
        let read =
            |row: &_| Ok(Account::new(user(row)?, get(row, USER_COLUMNS)?, get(row, USER_COLUMNS + 1)?));
        Ok(optional(row.as_ref(), read)?)
    }

    async fn taken(
        &self,
        email: Option<&EmailKey>,
        username: Option<&UsernameKey>,
        except: Option<UserId>,
    ) -> Result<Taken, StoreError> {
        let sql = "SELECT EXISTS (SELECT FROM users WHERE email_key = $1 AND id IS DISTINCT FROM $3), \
                   EXISTS (SELECT FROM users WHERE username_key = $2 AND id IS DISTINCT FROM $3), \
                   EXISTS (SELECT FROM doorwarden_pending_keys)";
        // What cannot be stored is not taken.
        let email = email.map(EmailKey::as_str).filter(|key| !key.contains('\0'));
        let username = username.map(UsernameKey::as_str).filter(|key| !key.contains('\0'));
        let params = [
            (&email as _, Type::TEXT),
            (&username as _, Type::TEXT),
            (&except.map(|id| id.0) as _, Type::INT8),
        ];
        let mut row = self.database.row(Effort::Read, sql, &params).await?;
        if optional(row.as_ref(), |row| get(row, 2))? == Some(true) {
            self.resolve_pending().await?;
            row = self.database.row(Effort::Read, sql, &params).await?;
        }
        let taken = optional(row.as_ref(), |row| Ok(Taken { email: get(row, 0)?, username: get(row, 1)? }))?;
        Ok(taken.unwrap_or_default())
    }

    async fn users(
        &self,
        filter: &UserFilter,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<User>, StoreError> {
        self.list_users(filter, after, limit).await
    }

    async fn count_users(&self) -> Result<u64, StoreError> {
        let row = self.database.row(Effort::Long, "SELECT count(*) FROM users", &[]).await?;
        let count = optional(row.as_ref(), |row| get::<i64>(row, 0))?.unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }

    async fn count_users_by_algorithm(&self) -> Result<Vec<(String, u64)>, StoreError> {
        // Text without a `$` names no algorithm, and might be a password.
        let sql = "SELECT CASE WHEN password LIKE '!%' THEN '!' \
                   WHEN password ~ '^(md5[$][$].*|[0-9a-f]{32})$' THEN 'unsalted_md5' \
                   WHEN password LIKE 'sha1$$%' THEN 'unsalted_sha1' WHEN strpos(password, '$') = 0 THEN '' \
                   ELSE split_part(password, '$', 1) END AS algorithm, count(*) FROM users GROUP BY 1 ORDER BY 1";
        let read = |row: &_| Ok((get(row, 0)?, u64::try_from(get::<i64>(row, 1)?).unwrap_or(0)));
        Ok(all(&self.database.rows(Effort::Long, sql, &[]).await?, read)?)
    }

    async fn update_user(
        &self,
        id: UserId,
        change: UserChange,
        effects: Effects,
    ) -> Result<Option<User>, WriteUserError> {
        if change.username.is_some() || change.email.is_some() {
            self.resolve_pending().await?;
        }
        if change.metadata.is_empty() {
            return self.change_user(id, &change, None, &effects).await;
        }
        // Merged here, because json functions of the server refuse texts that json itself can hold.
        for _ in 0..METADATA_TRIES {
            let sql = "SELECT metadata::text FROM users WHERE id = $1";
            let row = self
                .database
                .row(Effort::Read, sql, &[(&id.0, Type::INT8)])
                .await
                .map_err(StoreError::from)?;
            let Some(row) = row else { return Ok(None) };
            let old: String = get(&row, 0).map_err(StoreError::from)?;
            let old_members = serde_json::from_str(&old)
                .map_err(|_| StoreError::failed("the metadata of a user cannot be read"))?;
            let new = merge_metadata(old_members, &change.metadata)?;
            let changed = self.change_user(id, &change, Some((&old, &new)), &effects).await?;
            if changed.is_some() {
                return Ok(changed);
            }
        }
        Err(StoreError::unavailable("others keep changing this user").into())
    }

    async fn change_password(
        &self,
        id: UserId,
        change: PasswordChange,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        // The setting informs the trigger that the sessions are handled. The function is called with the
        // user's row locked, and sees the sessions that were opened before that.
        let sql = concat!(
            "WITH old AS (\
                   SELECT id, password FROM users WHERE id = $1 AND ($3 IS NULL OR password = $3) FOR NO KEY UPDATE), \
                   changed AS (\
                   UPDATE users SET password = $2, password_trimmed = false, must_change_password = false, \
                   email_verified_at = CASE WHEN $8 THEN $4 ELSE email_verified_at END, \
                   tokens_valid_after = greatest(tokens_valid_after, $4), sessions_generation = sessions_generation + 1 \
                   FROM old, (SELECT set_config('doorwarden.password', 'rehashed', true) AS said) AS setting \
                   WHERE users.id = old.id AND setting.said = 'rehashed' \
                   RETURNING users.id, users.sessions_generation, old.password AS earlier), kept AS (\
                   INSERT INTO doorwarden_earlier_passwords (user_id, password) \
                   SELECT id, earlier FROM changed WHERE $9 > 0 AND earlier NOT LIKE '!%' RETURNING 1), trimmed AS (\
                   DELETE FROM doorwarden_earlier_passwords WHERE user_id = (SELECT id FROM changed) AND id NOT IN (\
                   SELECT id FROM doorwarden_earlier_passwords WHERE user_id = $1 ORDER BY id DESC \
                   LIMIT $9 - (SELECT count(*) FROM kept))), done AS (\
                   SELECT doorwarden_end_sessions(id, sessions_generation, $5, $6, $4) FROM changed), audited AS (",
            write_effects!("$7", from: "done"),
            ") SELECT FROM done"
        );
        let params = [
            (&id.0 as _, Type::INT8),
            (&change.password.as_str() as _, Type::TEXT),
            (&change.expected.as_ref().map(PasswordHash::as_str) as _, Type::TEXT),
            (&At(change.at) as _, Type::TIMESTAMPTZ),
            (&change.keep_session.map(|id| id.0) as _, Type::UUID),
            (&change.reason.as_str() as _, Type::TEXT),
            (&audit::parameter(&effects) as _, Type::TEXT),
            (&change.proves_email as _, Type::BOOL),
            (&i64::from(change.keep_earlier) as _, Type::INT8),
        ];
        Ok(self.database.change(&effects, sql, &params).await?.is_some())
    }

    async fn earlier_passwords(&self, id: UserId, limit: u8) -> Result<Vec<PasswordHash>, StoreError> {
        let sql =
            "SELECT password FROM doorwarden_earlier_passwords WHERE user_id = $1 ORDER BY id DESC LIMIT $2";
        let params = [(&id.0 as _, Type::INT8), (&i64::from(limit) as _, Type::INT8)];
        let rows = self.database.rows(Effort::Read, sql, &params).await?;
        Ok(all(&rows, |row| Ok(PasswordHash::from_stored(get::<String>(row, 0)?)))?)
    }

    async fn sign_out_user(
        &self,
        id: UserId,
        reason: EndReason,
        at: Timestamp,
        effects: Effects,
    ) -> Result<Option<u64>, StoreError> {
        let sql = concat!(
            "WITH changed AS (\
                   UPDATE users SET tokens_valid_after = greatest(tokens_valid_after, $2), \
                   sessions_generation = sessions_generation + 1 WHERE id = $1 RETURNING id, sessions_generation), done AS (\
                   SELECT doorwarden_end_sessions(id, sessions_generation, NULL, $3, $2) AS count FROM changed), \
                   audited AS (",
            write_effects!("$4", from: "done", found: "jsonb_build_object('count', done.count)"),
            ") SELECT count FROM done"
        );
        let params = [
            (&id.0 as _, Type::INT8),
            (&At(at) as _, Type::TIMESTAMPTZ),
            (&reason.as_str() as _, Type::TEXT),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        let row = self.database.row(Effort::Write, sql, &params).await?;
        let ended = optional(row.as_ref(), |row| get::<i64>(row, 0))?;
        Ok(ended.map(|ended| u64::try_from(ended).unwrap_or(0)))
    }

    async fn resolve_keys(&self) -> Result<u64, StoreError> {
        self.resolve_pending().await
    }

    async fn doubt_keys(&self) -> Result<(), StoreError> {
        self.doubt().await
    }

    async fn key_collisions(&self) -> Result<Vec<KeyCollision>, StoreError> {
        self.collisions().await
    }

    async fn sign_out_users(
        &self,
        after: Option<UserId>,
        limit: u32,
        reason: EndReason,
        at: Timestamp,
        effects: Effects,
    ) -> Result<Option<SignedOut>, StoreError> {
        let sql = concat!(
            "WITH chosen AS (\
                   SELECT id FROM users WHERE $1 IS NULL OR id > $1 ORDER BY id LIMIT $2 FOR NO KEY UPDATE), changed AS (\
                   UPDATE users SET tokens_valid_after = greatest(tokens_valid_after, $3), \
                   sessions_generation = sessions_generation + 1 FROM chosen WHERE users.id = chosen.id \
                   RETURNING users.id, users.sessions_generation), done AS (\
                   SELECT max(id) AS last, count(*) AS users, \
                   sum(doorwarden_end_sessions(id, sessions_generation, NULL, $4, $3))::bigint AS sessions FROM changed), \
                   audited AS (",
            write_effects!(
                "$5",
                from: "(SELECT users, sessions FROM done WHERE users > 0) AS done",
                found: "jsonb_build_object('users', done.users, 'sessions', done.sessions)"
            ),
            ") SELECT last, users, sessions FROM done"
        );
        let params = [
            (&after.map(|id| id.0) as _, Type::INT8),
            (&i64::from(limit) as _, Type::INT8),
            (&At(at) as _, Type::TIMESTAMPTZ),
            (&reason.as_str() as _, Type::TEXT),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        let row = self.database.row(Effort::Long, sql, &params).await?;
        let portion = optional(row.as_ref(), |row| {
            let count = |count: Option<i64>| u64::try_from(count.unwrap_or(0)).unwrap_or(0);
            let last = get::<Option<i64>>(row, 0)?.map(UserId);
            Ok(SignedOut { last, users: count(get(row, 1)?), sessions: count(get(row, 2)?) })
        })?;
        Ok(portion.filter(|portion| portion.last.is_some()))
    }

    async fn users_to_delete(&self, now: Timestamp, limit: u32) -> Result<Vec<UserId>, StoreError> {
        let sql = "SELECT id FROM users WHERE deletion_at <= $1 ORDER BY deletion_at LIMIT $2";
        let params = [(&At(now) as _, Type::TIMESTAMPTZ), (&i64::from(limit) as _, Type::INT8)];
        Ok(all(&self.database.rows(Effort::Long, sql, &params).await?, |row| Ok(UserId(get(row, 0)?)))?)
    }

    async fn delete_user_due(
        &self,
        id: UserId,
        now: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let sql = change!("DELETE FROM users WHERE id = $1 AND deletion_at <= $2 RETURNING 1", "$3");
        let params = [
            (&id.0 as _, Type::INT8),
            (&At(now) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.change(&effects, sql, &params).await?.is_some())
    }

    async fn delete_user(&self, id: UserId, effects: Effects) -> Result<bool, StoreError> {
        let sql = change!("DELETE FROM users WHERE id = $1 RETURNING 1", "$2");
        let params = [(&id.0 as _, Type::INT8), (&audit::parameter(&effects) as _, Type::TEXT)];
        Ok(self.database.change(&effects, sql, &params).await?.is_some())
    }
}

impl PostgresStore {
    async fn read_user(&self, sql: &str, key: Param<'_>) -> Result<Option<User>, StoreError> {
        let row = self.database.row(Effort::Read, sql, &[key]).await?;
        Ok(optional(row.as_ref(), user)?)
    }

    /// The user with this key, by a statement that also reports whether users without keys are pending: then
    /// it is repeated.
    async fn read_by_key(&self, sql: &str, key: &str) -> Result<Option<User>, StoreError> {
        let params = [(&key as _, Type::TEXT)];
        let mut row = self.database.row(Effort::Read, sql, &params).await?;
        if optional(row.as_ref(), |row| get(row, USER_COLUMNS))? == Some(true) {
            self.resolve_pending().await?;
            row = self.database.row(Effort::Read, sql, &params).await?;
        }
        match &row {
            Some(row) if get::<Option<i64>>(row, 0)?.is_some() => Ok(Some(user(row)?)),
            _ => Ok(None),
        }
    }

    /// Writes a user; the constraints say what is wrong with it.
    async fn write_user(
        &self,
        effects: &Effects,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Option<User>, WriteUserError> {
        match self.database.change(effects, sql, params).await {
            Ok(row) => Ok(optional(row.as_ref(), user).map_err(StoreError::from)?),
            Err(failure) => Err(match failure.constraint() {
                Some("users_email_unique") => WriteUserError::EmailTaken,
                Some("users_username_unique") => WriteUserError::UsernameTaken,
                Some("users_metadata_size") => WriteUserError::MetadataTooLarge,
                _ => WriteUserError::Store(failure.into()),
            }),
        }
    }

    /// Changes a user; with `metadata` (old, new) only if the old one is still there.
    async fn change_user(
        &self,
        id: UserId,
        change: &UserChange,
        metadata: Option<(&str, &str)>,
        effects: &Effects,
    ) -> Result<Option<User>, WriteUserError> {
        // The setting, which lasts as long as the statement, informs the trigger that the keys are correct.
        let sql = concat!(
            "WITH u AS (UPDATE users u SET username = coalesce($2, u.username), username_key = coalesce($3, u.username_key), \
             email = coalesce($4, u.email), email_key = coalesce($5, u.email_key), \
             is_active = coalesce($6, u.is_active), is_staff = coalesce($7, u.is_staff), \
             is_superuser = coalesce($8, u.is_superuser), metadata = coalesce($10::json, u.metadata), \
             email_verified_at = coalesce($12, u.email_verified_at), locale = coalesce($13, u.locale), \
             must_change_password = coalesce($14, u.must_change_password), \
             deletion_at = CASE WHEN $15 THEN $16 ELSE u.deletion_at END \
             FROM (SELECT set_config('doorwarden.keys', 'given', true) AS keys) AS setting \
             WHERE u.id = $1 AND setting.keys = 'given' AND ($9 IS NULL OR u.metadata::text = $9) RETURNING u.*), audited AS (",
            write_effects!("$11", from: "u"),
            ") SELECT ",
            user_columns!(),
            " FROM u"
        );
        let keys =
            (change.username.as_ref().map(Username::key), change.email.as_ref().map(EmailAddress::key));
        let params = [
            (&id.0 as _, Type::INT8),
            (&change.username.as_ref().map(Username::as_str) as _, Type::TEXT),
            (&keys.0.as_ref().map(UsernameKey::as_str) as _, Type::TEXT),
            (&change.email.as_ref().map(EmailAddress::as_str) as _, Type::TEXT),
            (&keys.1.as_ref().map(EmailKey::as_str) as _, Type::TEXT),
            (&change.is_active as _, Type::BOOL),
            (&change.is_staff as _, Type::BOOL),
            (&change.is_superuser as _, Type::BOOL),
            (&metadata.map(|(old, _)| old) as _, Type::TEXT),
            (&metadata.map(|(_, new)| new) as _, Type::TEXT),
            (&audit::parameter(effects) as _, Type::TEXT),
            (&change.email_verified_at.map(At) as _, Type::TIMESTAMPTZ),
            (&change.locale.map(Locale::as_str) as _, Type::TEXT),
            (&change.must_change_password as _, Type::BOOL),
            (&change.deletion_at.is_some() as _, Type::BOOL),
            (&change.deletion_at.flatten().map(At) as _, Type::TIMESTAMPTZ),
        ];
        self.write_user(effects, sql, &params).await
    }
}
