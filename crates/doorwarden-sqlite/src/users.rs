//! Users.

use crate::audit;
use crate::challenges;
use crate::failure::Failure;
use crate::identities;
use crate::rows::{all, count, get, one, run, text, user, user_columns};
use crate::sessions::end_all;
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::audit::{Effects, Found};
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
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params, params_from_iter};

#[async_trait]
impl UserStore for SqliteStore {
    async fn create_user(&self, new: NewUser, effects: Effects) -> Result<User, WriteUserError> {
        let sql = concat!(
            "INSERT INTO users (username, username_key, email, email_key, password, is_active, is_staff, is_superuser, \
             date_joined, metadata, email_verified_at, locale) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) \
             RETURNING ",
            user_columns!()
        );
        let metadata = metadata_text(&new.metadata)?;
        self.write(move |connection| {
            challenges::check(connection, &effects)?;
            identities::resolve(connection)?;
            let (username_key, email_key) = (new.username.key(), new.email.key());
            let params = params![
                new.username.as_str(),
                username_key.as_str(),
                new.email.as_str(),
                email_key.as_str(),
                new.password.as_str(),
                new.is_active,
                new.is_staff,
                new.is_superuser,
                text(new.date_joined),
                metadata,
                new.email_verified_at.map(text),
                new.locale.map(Locale::as_str),
            ];
            let created = one(connection, sql, params, user)?;
            let created = created.ok_or_else(|| StoreError::failed("a new user was not returned"))?;
            audit::write(connection, &effects.with(Found::User(created.id)))?;
            Ok(created)
        })
        .await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        Ok(self.read(|connection| by_id(connection, id))?)
    }

    async fn user_by_email(&self, email: &EmailKey) -> Result<Option<User>, StoreError> {
        self.resolve_pending().await?;
        let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE email_key = ?1");
        Ok(self.read(|connection| one(connection, sql, [email.as_str()], user))?)
    }

    async fn user_by_username(&self, username: &UsernameKey) -> Result<Option<User>, StoreError> {
        self.resolve_pending().await?;
        let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE username_key = ?1");
        Ok(self.read(|connection| one(connection, sql, [username.as_str()], user))?)
    }

    async fn account(&self, id: UserId) -> Result<Option<Account>, StoreError> {
        let account = self.read(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let Some(user) = by_id(&snapshot, id)? else { return Ok::<_, Failure>(None) };
            let groups = "SELECT group_name FROM doorwarden_user_groups WHERE user_id = ?1 ORDER BY 1";
            let groups = all(&snapshot, groups, [id.0], |row| get(row, 0))?;
            let permissions = permissions(&snapshot, &user)?;
            Ok(Some(Account::new(user, groups, permissions)))
        })?;
        Ok(account)
    }

    async fn taken(
        &self,
        email: Option<&EmailKey>,
        username: Option<&UsernameKey>,
        except: Option<UserId>,
    ) -> Result<Taken, StoreError> {
        self.resolve_pending().await?;
        let sql = "SELECT EXISTS (SELECT 1 FROM users WHERE email_key = ?1 AND id IS NOT ?3), \
                   EXISTS (SELECT 1 FROM users WHERE username_key = ?2 AND id IS NOT ?3)";
        let params = (email.map(EmailKey::as_str), username.map(UsernameKey::as_str), except.map(|id| id.0));
        let read = |row: &rusqlite::Row<'_>| Ok(Taken { email: get(row, 0)?, username: get(row, 1)? });
        Ok(self.read(|connection| one(connection, sql, params, read))?.unwrap_or_default())
    }

    async fn users(
        &self,
        filter: &UserFilter,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<User>, StoreError> {
        let list = selection(filter, after, limit);
        self.scan(move |connection| all(connection, &list.sql, params_from_iter(list.params), user)).await
    }

    async fn count_users(&self) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM users";
        Ok(self.scan(move |connection| one(connection, sql, (), |row| count(row, 0))).await?.unwrap_or(0))
    }

    async fn count_users_by_algorithm(&self) -> Result<Vec<(String, u64)>, StoreError> {
        // Text without a `$` names no algorithm, and might be a password.
        let sql = "SELECT CASE WHEN password LIKE '!%' THEN '!' \
                   WHEN password GLOB 'md5$$*' OR length(password) = 32 AND password NOT GLOB '*[^0-9a-f]*' \
                   THEN 'unsalted_md5' WHEN password GLOB 'sha1$$*' THEN 'unsalted_sha1' \
                   WHEN instr(password, '$') = 0 THEN '' \
                   ELSE substr(password, 1, instr(password, '$') - 1) END AS algorithm, count(*) \
                   FROM users GROUP BY 1 ORDER BY 1";
        self.scan(move |connection| all(connection, sql, (), |row| Ok((get(row, 0)?, count(row, 1)?)))).await
    }

    async fn update_user(
        &self,
        id: UserId,
        change: UserChange,
        effects: Effects,
    ) -> Result<Option<User>, WriteUserError> {
        self.write(move |connection| {
            challenges::check(connection, &effects)?;
            identities::resolve(connection)?;
            let Some(old) = by_id(connection, id)? else { return Ok(None) };
            // Text that is not to be changed stays as it was written.
            let patched = !change.metadata.is_empty();
            let metadata = patched.then(|| merge_metadata(old.metadata, &change.metadata)).transpose()?;
            let sql = "UPDATE users SET username = coalesce(?2, username), email = coalesce(?3, email), \
                       is_active = coalesce(?4, is_active), is_staff = coalesce(?5, is_staff), \
                       is_superuser = coalesce(?6, is_superuser), metadata = coalesce(?7, metadata), \
                       email_verified_at = coalesce(?8, email_verified_at), locale = coalesce(?9, locale), \
                       must_change_password = coalesce(?10, must_change_password), \
                       deletion_at = CASE WHEN ?11 THEN ?12 ELSE deletion_at END WHERE id = ?1";
            let (username, email) = (change.username.as_ref(), change.email.as_ref());
            let params = params![
                id.0,
                username.map(Username::as_str),
                email.map(EmailAddress::as_str),
                change.is_active,
                change.is_staff,
                change.is_superuser,
                metadata,
                change.email_verified_at.map(text),
                change.locale.map(Locale::as_str),
                change.must_change_password,
                change.deletion_at.is_some(),
                change.deletion_at.flatten().map(text),
            ];
            run(connection, sql, params)?;
            // A statement of its own: the trigger for SQL by hand has just guessed.
            let keys = "UPDATE users SET username_key = coalesce(?2, username_key), email_key = coalesce(?3, email_key) \
                        WHERE id = ?1";
            if username.is_some() || email.is_some() {
                let (username, email) = (username.map(Username::key), email.map(EmailAddress::key));
                let params = (id.0, username.as_ref().map(UsernameKey::as_str), email.as_ref().map(EmailKey::as_str));
                run(connection, keys, params)?;
                run(connection, "DELETE FROM doorwarden_pending_keys WHERE user_id = ?1", [id.0])?;
            }
            audit::write(connection, &effects)?;
            Ok(by_id(connection, id)?)
        })
        .await
    }

    async fn change_password(
        &self,
        id: UserId,
        change: PasswordChange,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            challenges::check(connection, &effects)?;
            let sql = "UPDATE users SET password = ?2, password_trimmed = 0, must_change_password = 0, \
                       email_verified_at = CASE WHEN ?5 THEN ?4 ELSE email_verified_at END, \
                       tokens_valid_after = max(coalesce(tokens_valid_after, ''), ?4) \
                       WHERE id = ?1 AND (?3 IS NULL OR password = ?3)";
            let expected = change.expected.as_ref().map(PasswordHash::as_str);
            let params = (id.0, change.password.as_str(), expected, text(change.at), change.proves_email);
            let earlier = "SELECT password FROM users WHERE id = ?1";
            let earlier: Option<String> = one(connection, earlier, [id.0], |row| get(row, 0))?;
            // The sessions end below, but one.
            let changed = with_own_password(connection, Some(&change.password), || {
                Ok(run(connection, sql, params)? == 1)
            })?;
            if changed {
                keep_earlier(connection, id, earlier, change.keep_earlier)?;
                end_all(connection, id, change.keep_session, change.reason, change.at)?;
            }
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn earlier_passwords(&self, id: UserId, limit: u8) -> Result<Vec<PasswordHash>, StoreError> {
        let sql =
            "SELECT password FROM doorwarden_earlier_passwords WHERE user_id = ?1 ORDER BY id DESC LIMIT ?2";
        let read = |row: &rusqlite::Row<'_>| Ok(PasswordHash::from_stored(get::<String>(row, 0)?));
        Ok(self.read(|connection| all(connection, sql, (id.0, limit), read))?)
    }

    async fn sign_out_user(
        &self,
        id: UserId,
        reason: EndReason,
        at: Timestamp,
        effects: Effects,
    ) -> Result<Option<u64>, StoreError> {
        self.write(move |connection| {
            if !date_tokens(connection, id, at)? {
                return Ok(None);
            }
            let ended = end_all(connection, id, None, reason, at)?;
            audit::write(connection, &effects.with(Found::Count(ended)))?;
            Ok(Some(ended))
        })
        .await
    }

    async fn resolve_keys(&self) -> Result<u64, StoreError> {
        self.resolve_pending().await
    }

    async fn doubt_keys(&self) -> Result<(), StoreError> {
        self.write_much(|connection| Ok(identities::doubt(connection)?)).await
    }

    async fn key_collisions(&self) -> Result<Vec<KeyCollision>, StoreError> {
        self.scan(identities::collisions).await
    }

    async fn sign_out_users(
        &self,
        after: Option<UserId>,
        limit: u32,
        reason: EndReason,
        at: Timestamp,
        effects: Effects,
    ) -> Result<Option<SignedOut>, StoreError> {
        self.write_much(move |connection| {
            let users = "SELECT id FROM users WHERE id > ?1 ORDER BY id LIMIT ?2";
            let after = after.map_or(i64::MIN, |id| id.0);
            let users: Vec<i64> = all(connection, users, (after, limit), |row| get(row, 0))?;
            let mut all = SignedOut::default();
            for id in users.into_iter().map(UserId) {
                date_tokens(connection, id, at)?;
                all.last = Some(id);
                all.users += 1;
                all.sessions += end_all(connection, id, None, reason, at)?;
            }
            let SignedOut { last, users, sessions } = all;
            audit::write_if(connection, last.is_some(), &effects.with(Found::SignedOut { users, sessions }))?;
            Ok(last.map(|_| all))
        })
        .await
    }

    async fn users_to_delete(&self, now: Timestamp, limit: u32) -> Result<Vec<UserId>, StoreError> {
        let sql = "SELECT id FROM users WHERE deletion_at <= ?1 ORDER BY deletion_at LIMIT ?2";
        let params = (text(now), limit);
        self.scan(move |connection| all(connection, sql, params, |row| Ok(UserId(get(row, 0)?)))).await
    }

    async fn delete_user_due(
        &self,
        id: UserId,
        now: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql = "DELETE FROM users WHERE id = ?1 AND deletion_at <= ?2";
            let deleted = run(connection, sql, (id.0, text(now)))? == 1;
            Ok(audit::write_if(connection, deleted, &effects)?)
        })
        .await
    }

    async fn delete_user(&self, id: UserId, effects: Effects) -> Result<bool, StoreError> {
        self.write(move |connection| {
            challenges::check(connection, &effects)?;
            let deleted = run(connection, "DELETE FROM users WHERE id = ?1", [id.0])? == 1;
            Ok(audit::write_if(connection, deleted, &effects)?)
        })
        .await
    }
}

/// Stores a password that ends nothing by itself: the trigger for changes by SQL is informed.
pub(crate) fn with_own_password<T>(
    connection: &Connection,
    password: Option<&PasswordHash>,
    store: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let Some(password) = password else { return store() };
    let own = "INSERT OR IGNORE INTO doorwarden_own_passwords (password) VALUES (?1)";
    run(connection, own, [password.as_str()])?;
    let stored = store()?;
    run(connection, "DELETE FROM doorwarden_own_passwords WHERE password = ?1", [password.as_str()])?;
    Ok(stored)
}

/// Adds a password that was replaced to the earlier ones, and deletes the oldest beyond `most`.
fn keep_earlier(
    connection: &Connection,
    id: UserId,
    earlier: Option<String>,
    most: u8,
) -> Result<(), Failure> {
    let earlier = earlier.map(PasswordHash::from_stored).filter(|earlier| most > 0 && earlier.is_usable());
    if let Some(earlier) = earlier {
        let sql = "INSERT INTO doorwarden_earlier_passwords (user_id, password) VALUES (?1, ?2)";
        run(connection, sql, (id.0, earlier.as_str()))?;
    }
    let sql = "DELETE FROM doorwarden_earlier_passwords WHERE user_id = ?1 AND id NOT IN \
               (SELECT id FROM doorwarden_earlier_passwords WHERE user_id = ?1 ORDER BY id DESC LIMIT ?2)";
    run(connection, sql, (id.0, most))?;
    Ok(())
}

/// Invalidates every token of a user without a session that was issued until this instant; returns whether
/// there is such a user.
fn date_tokens(connection: &Connection, id: UserId, at: Timestamp) -> Result<bool, Failure> {
    let sql = "UPDATE users SET tokens_valid_after = max(coalesce(tokens_valid_after, ''), ?2) WHERE id = ?1";
    Ok(run(connection, sql, (id.0, text(at)))? == 1)
}

fn by_id(connection: &Connection, id: UserId) -> Result<Option<User>, Failure> {
    let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE id = ?1");
    one(connection, sql, [id.0], user)
}

/// What a user may do, as Django's `get_all_permissions`.
fn permissions(connection: &Connection, user: &User) -> Result<Vec<String>, Failure> {
    let every = "SELECT name FROM doorwarden_permissions ORDER BY 1";
    let granted = "SELECT permission FROM doorwarden_user_permissions WHERE user_id = ?1 UNION \
                   SELECT permission FROM doorwarden_user_groups JOIN doorwarden_group_permissions USING (group_name) \
                   WHERE user_id = ?1 ORDER BY 1";
    match (user.is_active, user.is_superuser) {
        (false, _) => Ok(Vec::new()),
        (true, true) => all(connection, every, (), |row| get(row, 0)),
        (true, false) => all(connection, granted, [user.id.0], |row| get(row, 0)),
    }
}

/// A statement that grows by one condition per filter that is set.
struct Selection {
    sql: String,
    params: Vec<Sql>,
}

impl Selection {
    /// Appends `sql`, in which every `?` stands for `value`, if there is a value.
    fn filter<T: Into<Sql>>(&mut self, sql: &str, value: Option<T>) {
        if let Some(value) = value {
            self.params.push(value.into());
            self.sql.push_str(&sql.replace('?', &format!("?{}", self.params.len())));
        }
    }
}

fn selection(filter: &UserFilter, after: Option<UserId>, limit: u32) -> Selection {
    let sql = concat!("SELECT ", user_columns!(), " FROM users u WHERE true").to_owned();
    let mut list = Selection { sql, params: Vec::new() };
    list.filter(" AND id > ?", after.map(|id| id.0));
    list.filter(" AND is_active = ?", filter.is_active);
    list.filter(" AND is_staff = ?", filter.is_staff);
    list.filter(" AND is_superuser = ?", filter.is_superuser);
    list.filter(
        " AND is_active AND EXISTS (SELECT 1 FROM doorwarden_permissions WHERE name = ?) AND (is_superuser \
         OR id IN (SELECT user_id FROM doorwarden_user_permissions WHERE permission = ?) \
         OR id IN (SELECT user_id FROM doorwarden_user_groups JOIN doorwarden_group_permissions USING (group_name) \
             WHERE permission = ?))",
        filter.permission.clone(),
    );
    list.filter(
        " AND id IN (SELECT user_id FROM doorwarden_user_groups WHERE group_name = ?)",
        filter.group.clone(),
    );
    // The ranges are for the index: everything that begins with the prefix sorts before the prefix and
    // U+10FFFF.
    list.filter(
        " AND (lower(username) >= ? AND lower(username) < ? || char(1114111) AND substr(lower(username), 1, length(?)) = ? \
         OR lower(email) >= ? AND lower(email) < ? || char(1114111) AND substr(lower(email), 1, length(?)) = ?)",
        filter.starts_with.as_ref().map(|prefix| prefix.to_ascii_lowercase()),
    );
    list.filter(" ORDER BY id LIMIT ?", Some(i64::from(limit)));
    list
}
