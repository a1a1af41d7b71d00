//! Permissions and groups.

use crate::audit::{self, change, write_effects};
use crate::database::{Effort, Param};
use crate::failure::Failure;
use crate::rows::{all, get};
use crate::store::PostgresStore;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::permission::{Group, Permission, PermissionName};
use doorwarden_core::store::{GrantError, GroupStore, StoreError};
use doorwarden_core::user::UserId;
use tokio_postgres::types::Type;

#[async_trait]
impl GroupStore for PostgresStore {
    async fn declare_permissions(
        &self,
        permissions: &[Permission],
        effects: Effects,
    ) -> Result<u64, StoreError> {
        let sql = concat!(
            "WITH declared AS (INSERT INTO doorwarden_permissions AS p (name, label) \
             SELECT DISTINCT ON (name) name, label \
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS given (name, label, n) \
             ORDER BY name, n DESC \
             ON CONFLICT (name) DO UPDATE SET label = EXCLUDED.label WHERE p.label <> EXCLUDED.label RETURNING name), \
             audited AS (",
            write_effects!(
                "$3",
                from: "declared",
                user: "NULL",
                session: "NULL",
                found: "'{}'",
                only: "event.data ->> 'permission' = declared.name"
            ),
            ") SELECT FROM declared"
        );
        let names: Vec<&str> = permissions.iter().map(|p| p.name.as_str()).collect();
        let labels: Vec<&str> = permissions.iter().map(|p| p.label.as_str()).collect();
        let params = [
            (&names as _, Type::TEXT_ARRAY),
            (&labels as _, Type::TEXT_ARRAY),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.rows(Effort::Write, sql, &params).await?.len() as u64)
    }

    async fn permissions(&self) -> Result<Vec<Permission>, StoreError> {
        let sql = "SELECT name, label FROM doorwarden_permissions ORDER BY name";
        let read = |row: &_| {
            let name = get::<&str>(row, 0)?
                .parse()
                .map_err(|_| Failure::Unreadable("a permission has an impossible name".to_owned()))?;
            Ok(Permission { name, label: get(row, 1)? })
        };
        Ok(all(&self.database.rows(Effort::Read, sql, &[]).await?, read)?)
    }

    async fn delete_permission(&self, name: &PermissionName, effects: Effects) -> Result<bool, StoreError> {
        let sql = change!("DELETE FROM doorwarden_permissions WHERE name = $1 RETURNING 1", "$2");
        let params = [(&name.as_str() as _, Type::TEXT), (&audit::parameter(&effects) as _, Type::TEXT)];
        Ok(self.database.row(Effort::Long, sql, &params).await?.is_some())
    }

    async fn create_group(&self, name: &str, effects: Effects) -> Result<bool, StoreError> {
        let sql = change!(
            "INSERT INTO doorwarden_groups (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING 1",
            "$2"
        );
        let params = [(&name as _, Type::TEXT), (&audit::parameter(&effects) as _, Type::TEXT)];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn delete_group(&self, name: &str, effects: Effects) -> Result<bool, StoreError> {
        let sql = change!("DELETE FROM doorwarden_groups WHERE name = $1 RETURNING 1", "$2");
        let params = [(&name as _, Type::TEXT), (&audit::parameter(&effects) as _, Type::TEXT)];
        Ok(self.database.row(Effort::Long, sql, &params).await?.is_some())
    }

    async fn groups(&self) -> Result<Vec<Group>, StoreError> {
        let sql = "SELECT g.name, \
                   ARRAY(SELECT permission FROM doorwarden_group_permissions WHERE group_name = g.name ORDER BY 1), \
                   (SELECT count(*) FROM doorwarden_user_groups WHERE group_name = g.name) \
                   FROM doorwarden_groups g ORDER BY g.name";
        let read = |row: &_| {
            Ok(Group {
                name: get(row, 0)?,
                permissions: get(row, 1)?,
                members: u64::try_from(get::<i64>(row, 2)?).unwrap_or(0),
            })
        };
        Ok(all(&self.database.rows(Effort::Long, sql, &[]).await?, read)?)
    }

    async fn grant_to_user(
        &self,
        user: UserId,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError> {
        let sql = change!(
            "INSERT INTO doorwarden_user_permissions (user_id, permission) VALUES ($1, $2) \
                   ON CONFLICT DO NOTHING RETURNING 1",
            "$3"
        );
        self.write_link(sql, [(&user.0 as _, Type::INT8), (&permission.as_str(), Type::TEXT)], &effects).await
    }

    async fn revoke_from_user(
        &self,
        user: UserId,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError> {
        let sql = change!(
            "DELETE FROM doorwarden_user_permissions WHERE user_id = $1 AND permission = $2 RETURNING 1",
            "$3"
        );
        let removed = self
            .write_link(sql, [(&user.0 as _, Type::INT8), (&permission.as_str(), Type::TEXT)], &effects)
            .await?;
        self.must_exist(removed, Some(user), None, Some(permission)).await
    }

    async fn grant_to_group(
        &self,
        group: &str,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError> {
        let sql = change!(
            "INSERT INTO doorwarden_group_permissions (group_name, permission) VALUES ($1, $2) \
                   ON CONFLICT DO NOTHING RETURNING 1",
            "$3"
        );
        self.write_link(sql, [(&group, Type::TEXT), (&permission.as_str(), Type::TEXT)], &effects).await
    }

    async fn revoke_from_group(
        &self,
        group: &str,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError> {
        let sql = change!(
            "DELETE FROM doorwarden_group_permissions WHERE group_name = $1 AND permission = $2 RETURNING 1",
            "$3"
        );
        let removed = self
            .write_link(sql, [(&group, Type::TEXT), (&permission.as_str(), Type::TEXT)], &effects)
            .await?;
        self.must_exist(removed, None, Some(group), Some(permission)).await
    }

    async fn add_to_group(&self, user: UserId, group: &str, effects: Effects) -> Result<bool, GrantError> {
        let sql = change!(
            "INSERT INTO doorwarden_user_groups (user_id, group_name) VALUES ($1, $2) \
                   ON CONFLICT DO NOTHING RETURNING 1",
            "$3"
        );
        self.write_link(sql, [(&user.0 as _, Type::INT8), (&group, Type::TEXT)], &effects).await
    }

    async fn remove_from_group(
        &self,
        user: UserId,
        group: &str,
        effects: Effects,
    ) -> Result<bool, GrantError> {
        let sql = change!(
            "DELETE FROM doorwarden_user_groups WHERE user_id = $1 AND group_name = $2 RETURNING 1",
            "$3"
        );
        let removed =
            self.write_link(sql, [(&user.0 as _, Type::INT8), (&group, Type::TEXT)], &effects).await?;
        self.must_exist(removed, Some(user), Some(group), None).await
    }

    async fn user_permissions(&self, user: UserId) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT permission FROM doorwarden_user_permissions WHERE user_id = $1 ORDER BY permission";
        let rows = self.database.rows(Effort::Read, sql, &[(&user.0 as _, Type::INT8)]).await?;
        Ok(all(&rows, |row| get(row, 0))?)
    }
}

impl PostgresStore {
    /// Adds or removes a grant or a membership; whether there was anything to do. The foreign keys say what
    /// is missing.
    async fn write_link(
        &self,
        sql: &str,
        ends: [Param<'_>; 2],
        effects: &Effects,
    ) -> Result<bool, GrantError> {
        let [from, to] = ends;
        let params = [from, to, (&audit::parameter(effects) as _, Type::TEXT)];
        match self.database.row(Effort::Write, sql, &params).await {
            Ok(row) => Ok(row.is_some()),
            // Names of permissions are letters and digits: it is the group's name.
            Err(failure) if failure.is_impossible_text() => Err(GrantError::NoSuchGroup),
            Err(failure) => Err(match failure.constraint() {
                Some("doorwarden_grant_user") => GrantError::NoSuchUser,
                Some("doorwarden_grant_group") => GrantError::NoSuchGroup,
                Some("doorwarden_grant_permission") => GrantError::NoSuchPermission,
                _ => GrantError::Store(failure.into()),
            }),
        }
    }

    /// Where nothing was removed: says whether that is because an end of the link does not exist.
    async fn must_exist(
        &self,
        removed: bool,
        user: Option<UserId>,
        group: Option<&str>,
        permission: Option<&PermissionName>,
    ) -> Result<bool, GrantError> {
        if removed {
            return Ok(true);
        }
        let sql = "SELECT $1 IS NULL OR EXISTS (SELECT FROM users WHERE id = $1), \
                   $2 IS NULL OR EXISTS (SELECT FROM doorwarden_groups WHERE name = $2), \
                   $3 IS NULL OR EXISTS (SELECT FROM doorwarden_permissions WHERE name = $3)";
        let params = [
            (&user.map(|user| user.0) as _, Type::INT8),
            (&group as _, Type::TEXT),
            (&permission.map(PermissionName::as_str) as _, Type::TEXT),
        ];
        let row = self.database.row(Effort::Read, sql, &params).await.map_err(StoreError::from)?;
        let exists = |place| row.as_ref().map_or(Ok(false), |row| get(row, place)).map_err(StoreError::from);
        match (exists(0)?, exists(1)?, exists(2)?) {
            (true, true, true) => Ok(false),
            (false, ..) => Err(GrantError::NoSuchUser),
            (_, false, _) => Err(GrantError::NoSuchGroup),
            _ => Err(GrantError::NoSuchPermission),
        }
    }
}
