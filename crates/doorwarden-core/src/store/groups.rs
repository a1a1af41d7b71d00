use super::StoreError;
use crate::audit::Effects;
use crate::permission::{Group, Permission, PermissionName};
use crate::user::UserId;
use async_trait::async_trait;

/// Permissions and groups in the store. Every change of permissions reaches every live view through the
/// change feed, whoever made it.
#[async_trait]
pub trait GroupStore {
    /// Makes sure that these permissions exist with these labels. Other permissions stay. Of `effects`, those
    /// are written that declare a permission that is new or has a new label. Returns their number.
    async fn declare_permissions(
        &self,
        permissions: &[Permission],
        effects: Effects,
    ) -> Result<u64, StoreError>;

    /// Every permission, sorted by name.
    async fn permissions(&self) -> Result<Vec<Permission>, StoreError>;

    /// Deletes a permission and every grant of it; `false` if there was no such permission.
    async fn delete_permission(&self, name: &PermissionName, effects: Effects) -> Result<bool, StoreError>;

    /// Creates a group; `false` if a group of this name exists.
    async fn create_group(&self, name: &str, effects: Effects) -> Result<bool, StoreError>;

    /// Deletes a group with its memberships and grants; `false` if there was no such group.
    async fn delete_group(&self, name: &str, effects: Effects) -> Result<bool, StoreError>;

    /// Every group, sorted by name.
    async fn groups(&self) -> Result<Vec<Group>, StoreError>;

    /// Grants a user a permission; `false` if the user already has it.
    async fn grant_to_user(
        &self,
        user: UserId,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError>;

    /// Revokes a direct permission of a user; `false` if the user did not have it.
    async fn revoke_from_user(
        &self,
        user: UserId,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError>;

    /// Grants a group a permission; `false` if the group already has it.
    async fn grant_to_group(
        &self,
        group: &str,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError>;

    /// Revokes a permission of a group; `false` if the group did not have it.
    async fn revoke_from_group(
        &self,
        group: &str,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError>;

    /// Adds a user to a group; `false` if the user is already a member.
    async fn add_to_group(&self, user: UserId, group: &str, effects: Effects) -> Result<bool, GrantError>;

    /// Removes a user from a group; `false` if the user was not a member.
    async fn remove_from_group(
        &self,
        user: UserId,
        group: &str,
        effects: Effects,
    ) -> Result<bool, GrantError>;

    /// The direct permissions of a user, sorted.
    async fn user_permissions(&self, user: UserId) -> Result<Vec<String>, StoreError>;
}

/// A grant or membership could not be written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// There is no such user.
    #[error("user not found")]
    NoSuchUser,
    /// There is no such group.
    #[error("group not found")]
    NoSuchGroup,
    /// There is no such permission. A permission must be declared before it is granted.
    #[error("permission not found; declare it first")]
    NoSuchPermission,
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
