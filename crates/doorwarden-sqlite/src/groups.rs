//! Permissions and groups.

use crate::audit;
use crate::rows::{Record, all, count, get, one, run};
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::event::Event;
use doorwarden_core::permission::{Group, Permission, PermissionName};
use doorwarden_core::store::{GrantError, GroupStore, StoreError};
use doorwarden_core::user::UserId;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::collections::BTreeSet;

#[async_trait]
impl GroupStore for SqliteStore {
    async fn declare_permissions(
        &self,
        permissions: &[Permission],
        effects: Effects,
    ) -> Result<u64, StoreError> {
        let permissions = permissions.to_vec();
        self.write_much(move |connection| {
            let sql = "INSERT INTO doorwarden_permissions (name, label) VALUES (?1, ?2) \
                       ON CONFLICT (name) DO UPDATE SET label = excluded.label WHERE label <> excluded.label";
            let mut declared = BTreeSet::new();
            for permission in &permissions {
                if run(connection, sql, (permission.name.as_str(), &permission.label))? == 1 {
                    declared.insert(&permission.name);
                }
            }
            let events = effects.events.iter().filter(|event| match event {
                Event::PermissionDeclared { permission } => declared.contains(permission),
                _ => !declared.is_empty(),
            });
            audit::write(connection, &effects.causing(events.cloned()))?;
            Ok(declared.len() as u64)
        })
        .await
    }

    async fn permissions(&self) -> Result<Vec<Permission>, StoreError> {
        let sql = "SELECT name, label FROM doorwarden_permissions ORDER BY name";
        let read = |row: &rusqlite::Row<'_>| {
            let row = Record { table: "doorwarden_permissions", row };
            Ok(Permission { name: row.parse(0, |name| name.parse().ok())?, label: row.get(1)? })
        };
        Ok(self.read(|connection| all(connection, sql, (), read))?)
    }

    async fn delete_permission(&self, name: &PermissionName, effects: Effects) -> Result<bool, StoreError> {
        let name = name.as_str().to_owned();
        let sql = "DELETE FROM doorwarden_permissions WHERE name = ?1";
        self.write_much(move |connection| {
            let deleted = run(connection, sql, [name])? == 1;
            Ok(audit::write_if(connection, deleted, &effects)?)
        })
        .await
    }

    async fn create_group(&self, name: &str, effects: Effects) -> Result<bool, StoreError> {
        let name = name.to_owned();
        let sql = "INSERT INTO doorwarden_groups (name) VALUES (?1) ON CONFLICT DO NOTHING";
        self.write(move |connection| {
            let created = run(connection, sql, [name])? == 1;
            Ok(audit::write_if(connection, created, &effects)?)
        })
        .await
    }

    async fn delete_group(&self, name: &str, effects: Effects) -> Result<bool, StoreError> {
        let name = name.to_owned();
        let sql = "DELETE FROM doorwarden_groups WHERE name = ?1";
        self.write_much(move |connection| {
            let deleted = run(connection, sql, [name])? == 1;
            Ok(audit::write_if(connection, deleted, &effects)?)
        })
        .await
    }

    async fn groups(&self) -> Result<Vec<Group>, StoreError> {
        let groups = "SELECT g.name, (SELECT count(*) FROM doorwarden_user_groups WHERE group_name = g.name) \
                      FROM doorwarden_groups g ORDER BY g.name";
        let permissions =
            "SELECT permission FROM doorwarden_group_permissions WHERE group_name = ?1 ORDER BY 1";
        self.scan(move |connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut found = all(&snapshot, groups, (), |row| {
                Ok(Group { name: get(row, 0)?, permissions: Vec::new(), members: count(row, 1)? })
            })?;
            for group in &mut found {
                group.permissions = all(&snapshot, permissions, [&group.name], |row| get(row, 0))?;
            }
            Ok(found)
        })
        .await
    }

    async fn grant_to_user(
        &self,
        user: UserId,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError> {
        let sql = "INSERT INTO doorwarden_user_permissions (user_id, permission) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.link(sql, End::User(user), End::permission(permission), effects).await
    }

    async fn revoke_from_user(
        &self,
        user: UserId,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError> {
        let sql = "DELETE FROM doorwarden_user_permissions WHERE user_id = ?1 AND permission = ?2";
        self.link(sql, End::User(user), End::permission(permission), effects).await
    }

    async fn grant_to_group(
        &self,
        group: &str,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError> {
        let sql = "INSERT INTO doorwarden_group_permissions (group_name, permission) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.link(sql, End::Group(group.to_owned()), End::permission(permission), effects).await
    }

    async fn revoke_from_group(
        &self,
        group: &str,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError> {
        let sql = "DELETE FROM doorwarden_group_permissions WHERE group_name = ?1 AND permission = ?2";
        self.link(sql, End::Group(group.to_owned()), End::permission(permission), effects).await
    }

    async fn add_to_group(&self, user: UserId, group: &str, effects: Effects) -> Result<bool, GrantError> {
        let sql =
            "INSERT INTO doorwarden_user_groups (user_id, group_name) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.link(sql, End::User(user), End::Group(group.to_owned()), effects).await
    }

    async fn remove_from_group(
        &self,
        user: UserId,
        group: &str,
        effects: Effects,
    ) -> Result<bool, GrantError> {
        let sql = "DELETE FROM doorwarden_user_groups WHERE user_id = ?1 AND group_name = ?2";
        self.link(sql, End::User(user), End::Group(group.to_owned()), effects).await
    }

    async fn user_permissions(&self, user: UserId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT permission FROM doorwarden_user_permissions WHERE user_id = ?1 ORDER BY permission";
        Ok(self.read(|connection| all(connection, sql, [user.0], |row| get(row, 0)))?)
    }
}

/// One end of a grant or a membership.
enum End {
    User(UserId),
    Group(String),
    Permission(String),
}

impl End {
    fn permission(name: &PermissionName) -> Self {
        Self::Permission(name.as_str().to_owned())
    }

    fn value(&self) -> Value {
        match self {
            Self::User(id) => Value::Integer(id.0),
            Self::Group(name) | Self::Permission(name) => Value::Text(name.clone()),
        }
    }

    /// Complains if it does not exist.
    fn must_exist(&self, connection: &Connection) -> Result<(), GrantError> {
        let (sql, missing) = match self {
            Self::User(_) => ("SELECT 1 FROM users WHERE id = ?1", GrantError::NoSuchUser),
            Self::Group(_) => ("SELECT 1 FROM doorwarden_groups WHERE name = ?1", GrantError::NoSuchGroup),
            Self::Permission(_) => {
                ("SELECT 1 FROM doorwarden_permissions WHERE name = ?1", GrantError::NoSuchPermission)
            }
        };
        one(connection, sql, [self.value()], |_| Ok(()))?.ok_or(missing)
    }
}

impl SqliteStore {
    /// Adds or removes a grant or a membership; whether there was anything to do. There is one writer at a
    /// time, so what was looked up stays true until the commit.
    async fn link(
        &self,
        sql: &'static str,
        from: End,
        to: End,
        effects: Effects,
    ) -> Result<bool, GrantError> {
        self.write(move |connection| {
            from.must_exist(connection)?;
            to.must_exist(connection)?;
            let changed = run(connection, sql, params_from_iter([from.value(), to.value()]))? == 1;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }
}
