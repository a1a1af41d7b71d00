//! The keys of users who were written by SQL.

use crate::failure::Failure;
use crate::rows::{all, get, one, run};
use crate::store::SqliteStore;
use doorwarden_core::identity::{EmailKey, UsernameKey};
use doorwarden_core::store::{KeyCollision, StoreError};
use doorwarden_core::user::UserId;
use rusqlite::Connection;

/// How many users one write takes, so that others get their turn.
const PORTION: u32 = 500;

impl SqliteStore {
    /// What [`resolve_keys`](doorwarden_core::store::UserStore::resolve_keys) does.
    pub(crate) async fn resolve_pending(&self) -> Result<u64, StoreError> {
        let mut resolved = 0;
        let waits = "SELECT 1 FROM doorwarden_pending_keys LIMIT 1";
        while self.read(|c| one(c, waits, (), |_| Ok(())))?.is_some() {
            resolved += self.write::<_, StoreError>(|c| Ok(resolve_some(c, PORTION)?)).await?;
        }
        Ok(resolved)
    }
}

/// Resolves whatever is pending, within the caller's transaction.
pub(crate) fn resolve(connection: &Connection) -> Result<(), Failure> {
    while resolve_some(connection, PORTION)? > 0 {}
    Ok(())
}

fn resolve_some(connection: &Connection, most: u32) -> Result<u64, Failure> {
    let pending = "SELECT p.user_id, u.email, u.username FROM doorwarden_pending_keys p LEFT JOIN users u ON u.id = p.user_id \
                   ORDER BY 1 LIMIT ?1";
    let pending = all(connection, pending, [most], |row| {
        Ok((get::<i64>(row, 0)?, get::<Option<String>>(row, 1)?, get::<Option<String>>(row, 2)?))
    })?;
    for (id, email, username) in &pending {
        if let (Some(email), Some(username)) = (email, username) {
            give_key(connection, *id, "email_key", EmailKey::of(email).as_str())?;
            give_key(connection, *id, "username_key", UsernameKey::of(username).as_str())?;
        }
        run(connection, "DELETE FROM doorwarden_pending_keys WHERE user_id = ?1", [id])?;
    }
    Ok(pending.len() as u64)
}

/// Of two with one key the older keeps it.
fn give_key(connection: &Connection, id: i64, column: &'static str, key: &str) -> Result<(), Failure> {
    let displace = format!("UPDATE users SET {column} = 'COLLIDES-' || id WHERE {column} = ?1 AND id > ?2");
    run(connection, &displace, (key, id))?;
    let give = format!(
        "UPDATE users SET {column} = CASE WHEN EXISTS (SELECT 1 FROM users WHERE {column} = ?1 AND id < ?2) \
         THEN 'COLLIDES-' || id ELSE ?1 END WHERE id = ?2 AND {column} IS NOT ?1"
    );
    run(connection, &give, (key, id))?;
    Ok(())
}

/// Marks everybody whose keys are not the lower case of ASCII.
pub(crate) fn doubt(connection: &Connection) -> Result<(), Failure> {
    let sql = "INSERT OR IGNORE INTO doorwarden_pending_keys (user_id) SELECT id FROM users \
               WHERE email_key IS NOT lower(email) OR username_key IS NOT lower(username) \
               OR (email || username) GLOB '*[^' || char(1) || '-' || char(127) || ']*'";
    run(connection, sql, ())?;
    Ok(())
}

pub(crate) fn collisions(connection: &Connection) -> Result<Vec<KeyCollision>, Failure> {
    let sql = "SELECT id, email, username, email_key GLOB 'COLLIDES-*' FROM users \
               WHERE email_key GLOB 'COLLIDES-*' OR username_key GLOB 'COLLIDES-*' ORDER BY id";
    let younger = all(connection, sql, (), |row| {
        Ok((get::<i64>(row, 0)?, get::<String>(row, 1)?, get::<String>(row, 2)?, get::<bool>(row, 3)?))
    })?;
    let of = |(id, email, username, by_email): (i64, String, String, bool)| {
        let (field, sql) = match by_email {
            true => ("email", "SELECT id FROM users WHERE email_key = ?1"),
            false => ("username", "SELECT id FROM users WHERE username_key = ?1"),
        };
        let (email, username) = (EmailKey::of(&email), UsernameKey::of(&username));
        let key = if by_email { email.as_str() } else { username.as_str() };
        let older = one(connection, sql, [key], |row| get(row, 0))?.map(UserId);
        Ok(KeyCollision { field, younger: UserId(id), older })
    };
    younger.into_iter().map(of).collect()
}
