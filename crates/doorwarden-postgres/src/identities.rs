//! The keys of users who were written by SQL.

use crate::database::{Effort, Param};
use crate::failure::Failure;
use crate::rows::{all, get, optional};
use crate::store::PostgresStore;
use doorwarden_core::identity::{EmailKey, UsernameKey};
use doorwarden_core::store::{KeyCollision, StoreError};
use doorwarden_core::user::UserId;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// Some of the pending users.
pub(crate) const PENDING: &str = "SELECT p.user_id, coalesce(u.email, ''), coalesce(u.username, '') \
    FROM doorwarden_pending_keys p LEFT JOIN users u ON u.id = p.user_id ORDER BY 1 LIMIT 500";

/// Gives pending users their keys, in one transaction; returns how many.
pub(crate) const SET: &str = "SELECT doorwarden_set_keys($1, $2, $3, $4, $5)";

/// Users with the keys that the core makes of their addresses and names: what [`SET`] takes.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    ids: Vec<i64>,
    emails: Vec<String>,
    folded_emails: Vec<String>,
    usernames: Vec<String>,
    folded_usernames: Vec<String>,
}

impl Keys {
    /// From rows of [`PENDING`].
    pub(crate) fn of(rows: &[Row]) -> Result<Self, Failure> {
        let mut keys = Self::default();
        for row in rows {
            let (email, username): (String, String) = (get(row, 1)?, get(row, 2)?);
            keys.ids.push(get(row, 0)?);
            keys.folded_emails.push(EmailKey::of(&email).as_str().to_owned());
            keys.folded_usernames.push(UsernameKey::of(&username).as_str().to_owned());
            keys.emails.push(email);
            keys.usernames.push(username);
        }
        Ok(keys)
    }

    pub(crate) fn params(&self) -> [Param<'_>; 5] {
        [
            (&self.ids, Type::INT8_ARRAY),
            (&self.emails, Type::TEXT_ARRAY),
            (&self.folded_emails, Type::TEXT_ARRAY),
            (&self.usernames, Type::TEXT_ARRAY),
            (&self.folded_usernames, Type::TEXT_ARRAY),
        ]
    }
}

impl PostgresStore {
    /// What [`resolve_keys`](doorwarden_core::store::UserStore::resolve_keys) does.
    pub(crate) async fn resolve_pending(&self) -> Result<u64, StoreError> {
        let mut resolved = 0;
        loop {
            let rows = self.database.rows(Effort::Read, PENDING, &[]).await?;
            if rows.is_empty() {
                return Ok(resolved);
            }
            let keys = Keys::of(&rows)?;
            let row = self.database.row(Effort::Long, SET, &keys.params()).await?;
            match optional(row.as_ref(), |row| get::<i64>(row, 0))?.unwrap_or(0) {
                // Others are at it.
                0 => return Ok(resolved),
                done => resolved += u64::try_from(done).unwrap_or(0),
            }
        }
    }

    /// Marks everybody whose keys are not the lower case of ASCII.
    pub(crate) async fn doubt(&self) -> Result<(), StoreError> {
        let sql = "INSERT INTO doorwarden_pending_keys (user_id) SELECT id FROM users \
                   WHERE email_key <> lower(email COLLATE \"C\") OR username_key <> lower(username COLLATE \"C\") \
                   OR octet_length(email) <> char_length(email) OR octet_length(username) <> char_length(username) \
                   ON CONFLICT DO NOTHING";
        self.database.rows(Effort::Long, sql, &[]).await?;
        Ok(())
    }

    pub(crate) async fn collisions(&self) -> Result<Vec<KeyCollision>, StoreError> {
        let sql = "SELECT id, email, username, email_key LIKE 'COLLIDES-%' FROM users \
                   WHERE email_key LIKE 'COLLIDES-%' OR username_key LIKE 'COLLIDES-%' ORDER BY id";
        let rows = self.database.rows(Effort::Long, sql, &[]).await?;
        let younger = all(&rows, |row| {
            Ok((get::<i64>(row, 0)?, get::<String>(row, 1)?, get::<String>(row, 2)?, get::<bool>(row, 3)?))
        })?;
        let mut collisions = Vec::new();
        for (id, email, username, by_email) in younger {
            let (field, sql) = match by_email {
                true => ("email", "SELECT id FROM users WHERE email_key = $1"),
                false => ("username", "SELECT id FROM users WHERE username_key = $1"),
            };
            let (email, username) = (EmailKey::of(&email), UsernameKey::of(&username));
            let key = if by_email { email.as_str() } else { username.as_str() };
            let row = self.database.row(Effort::Read, sql, &[(&key, Type::TEXT)]).await?;
            let older = optional(row.as_ref(), |row| get(row, 0))?.map(UserId);
            collisions.push(KeyCollision { field, younger: UserId(id), older });
        }
        Ok(collisions)
    }
}
