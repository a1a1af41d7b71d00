//! Accounts in bulk.

use crate::audit;
use crate::failure::Failure;
use crate::rows::{run, text};
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::audit::{Effects, Found};
use doorwarden_core::permission::{Group, Permission};
use doorwarden_core::store::{ImportStore, ImportWriter, ImportedAccount, NewRights, StoreError};
use doorwarden_core::user::UserId;
use rusqlite::{CachedStatement, Connection, params};
use std::time::Duration;

/// How long it waits for those who write a little.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Names and addresses come in no order, so that every index is written all over: the more of it is in
/// memory, the less often a page goes to the disk. In KiB, at most.
const CACHE_KIB: i64 = 512 * 1024;

/// How many pages of 4 KiB the log may hold before they go to their places.
const CHECKPOINT_PAGES: i64 = 100_000;

#[async_trait]
impl ImportStore for SqliteStore {
    async fn import(&self) -> Result<Box<dyn ImportWriter>, StoreError> {
        let connection = self.options().writer()?.connection;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(Failure::from)?;
        for (name, value) in [("cache_size", -CACHE_KIB), ("wal_autocheckpoint", CHECKPOINT_PAGES)] {
            connection.pragma_update(None, name, value).map_err(Failure::from)?;
        }
        // A row that fires triggers can be undone alone: what that takes would go through a file, row by row.
        connection.pragma_update(None, "temp_store", "MEMORY").map_err(Failure::from)?;
        Ok(Box::new(SqliteImport { connection: Some(connection), written: 0 }))
    }
}

#[derive(Debug)]
struct SqliteImport {
    /// `None` while a thread works with it.
    connection: Option<Connection>,
    /// How many accounts the present step has.
    written: u64,
}

impl SqliteImport {
    /// Works in the transaction of the present step, which the first work of a step begins, beside the async
    /// workers.
    async fn in_step<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let lost = || Failure::Unavailable("an earlier part of the import was not finished");
        let connection = self.connection.take().ok_or_else(lost)?;
        let done = tokio::task::spawn_blocking(move || {
            let result = begin(&connection).and_then(|()| work(&connection));
            if result.is_err()
                && !connection.is_autocommit()
                && let Err(error) = connection.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a failed step of an import could not be undone");
            }
            (connection, result)
        });
        let (connection, result) = done.await.map_err(StoreError::failed)?;
        self.connection = Some(connection);
        Ok(result?)
    }
}

fn begin(connection: &Connection) -> Result<(), Failure> {
    if connection.is_autocommit() {
        connection.execute_batch("BEGIN IMMEDIATE")?;
    }
    Ok(())
}

#[async_trait]
impl ImportWriter for SqliteImport {
    async fn reserve_ids(&mut self, up_to: UserId) -> Result<(), StoreError> {
        self.in_step(move |connection| {
            let raise = "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'users'";
            if run(connection, raise, [up_to.0])? == 0 {
                run(connection, "INSERT INTO sqlite_sequence (name, seq) VALUES ('users', ?1)", [up_to.0])?;
            }
            Ok(connection.execute_batch("COMMIT")?)
        })
        .await
    }

    async fn write_rights(
        &mut self,
        permissions: &[Permission],
        groups: &[Group],
        effects: Effects,
    ) -> Result<NewRights, StoreError> {
        let (permissions, groups) = (permissions.to_vec(), groups.to_vec());
        self.in_step(move |connection| {
            let mut new = NewRights::default();
            let declare =
                "INSERT INTO doorwarden_permissions (name, label) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            for permission in &permissions {
                new.permissions +=
                    u64::from(run(connection, declare, (permission.name.as_str(), &permission.label))? == 1);
            }
            let create = "INSERT INTO doorwarden_groups (name) VALUES (?1) ON CONFLICT DO NOTHING";
            let grant = "INSERT INTO doorwarden_group_permissions (group_name, permission) VALUES (?1, ?2)";
            for group in &groups {
                if run(connection, create, [&group.name])? == 1 {
                    new.groups += 1;
                    for permission in &group.permissions {
                        run(connection, grant, (&group.name, permission))?;
                    }
                }
            }
            let NewRights { permissions, groups } = new;
            let effects = effects.with(Found::Rights { permissions, groups });
            audit::write_if(connection, new != NewRights::default(), &effects)?;
            connection.execute_batch("COMMIT")?;
            Ok(new)
        })
        .await
    }

    async fn write(&mut self, accounts: Vec<ImportedAccount>) -> Result<Vec<UserId>, StoreError> {
        let given = accounts.len();
        let written = self.in_step(move |connection| {
            crate::identities::resolve(connection)?;
            let mut statements = Statements::prepare(connection)?;
            let mut left_out = Vec::new();
            for account in &accounts {
                match statements.write(account)? {
                    true => crate::factors::import(connection, account.user.id, &account.factors)?,
                    false => left_out.push(account.user.id),
                }
            }
            Ok(left_out)
        });
        let result = written.await;
        self.written = match &result {
            Ok(left_out) => self.written + (given - left_out.len()) as u64,
            // The whole step is lost.
            Err(_) => 0,
        };
        result
    }

    async fn commit(&mut self, effects: Effects) -> Result<(), StoreError> {
        let written = std::mem::take(&mut self.written);
        self.in_step(move |connection| {
            audit::write_if(connection, written > 0, &effects.with(Found::Count(written)))?;
            Ok(connection.execute_batch("COMMIT")?)
        })
        .await
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let Some(connection) = self.connection.take() else { return Ok(()) };
        let done = tokio::task::spawn_blocking(move || {
            if !connection.is_autocommit() {
                connection.execute_batch("ROLLBACK")?;
            }
            connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        });
        Ok(done.await.map_err(StoreError::failed)?.map_err(Failure::from)?)
    }
}

struct Statements<'c> {
    user: CachedStatement<'c>,
    group: CachedStatement<'c>,
    permission: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    fn prepare(connection: &'c Connection) -> Result<Self, Failure> {
        let user = "INSERT INTO users (id, username, username_key, email, email_key, password, is_active, is_staff, \
                    is_superuser, date_joined, last_login, metadata, password_trimmed, tokens_valid_after, email_verified_at) \
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT DO NOTHING";
        let group = "INSERT INTO doorwarden_user_groups (user_id, group_name) VALUES (?1, ?2)";
        let permission = "INSERT INTO doorwarden_user_permissions (user_id, permission) VALUES (?1, ?2)";
        Ok(Self {
            user: connection.prepare_cached(user)?,
            group: connection.prepare_cached(group)?,
            permission: connection.prepare_cached(permission)?,
        })
    }

    /// `false` if something of it is taken.
    fn write(&mut self, account: &ImportedAccount) -> Result<bool, Failure> {
        let user = &account.user;
        let metadata = match user.metadata.is_empty() {
            true => "{}".to_owned(),
            false => serde_json::to_string(&user.metadata)
                .map_err(|error| Failure::Unreadable(format!("metadata of id {}: {error}", user.id)))?,
        };
        let written = self.user.execute(params![
            user.id.0,
            user.username.as_str(),
            user.username.key().as_str(),
            user.email.as_str(),
            user.email.key().as_str(),
            user.password.as_str(),
            user.is_active,
            user.is_staff,
            user.is_superuser,
            text(user.date_joined),
            user.last_login.map(text),
            metadata,
            user.password_trimmed,
            user.tokens_valid_after.map(text),
            user.email_verified_at.map(text),
        ])?;
        if written == 0 {
            return Ok(false);
        }
        for name in &account.groups {
            self.group.execute((user.id.0, &**name))?;
        }
        for name in &account.permissions {
            self.permission.execute((user.id.0, &**name))?;
        }
        Ok(true)
    }
}
