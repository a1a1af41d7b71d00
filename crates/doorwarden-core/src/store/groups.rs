use super::StoreError;
use crate::audit::Effects;
use crate::permission::{Group, Permission, PermissionName};
use crate::user::UserId;
use async_trait::async_trait;

/// Permissions and groups in the store. Whatever changes what a user may do reaches every live view through the change
/// feed, whoever did it.
#[async_trait]
pub trait GroupStore {
    /// Makes sure that these permissions exist with these labels. Others stay. Of `effects` those are written that declare a permission
    /// that is new or has a new label; how many these are.
    async fn declare_permissions(
        &self,
        permissions: &[Permission],
        effects: Effects,
    ) -> Result<u64, StoreError>;

    /// Every permission, sorted by name.
    async fn permissions(&self) -> Result<Vec<Permission>, StoreError>;

    /// Deletes a permission and every grant of it; `false` if there was none.
    async fn delete_permission(&self, name: &PermissionName, effects: Effects) -> Result<bool, StoreError>;

    /// Creates a group; `false` if there is one of this name.
    async fn create_group(&self, name: &str, effects: Effects) -> Result<bool, StoreError>;

    /// Deletes a group with its memberships and grants; `false` if there was none.
    async fn delete_group(&self, name: &str, effects: Effects) -> Result<bool, StoreError>;

    /// Every group, sorted by name.
    async fn groups(&self) -> Result<Vec<Group>, StoreError>;

    /// Gives a user a permission; `false` if he has it already.
    async fn grant_to_user(
        &self,
        user: UserId,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError>;

    /// Takes a direct permission from a user; `false` if he had none.
    async fn revoke_from_user(
        &self,
        user: UserId,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError>;

    /// Gives a group a permission; `false` if it has it already.
    async fn grant_to_group(
        &self,
        group: &str,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError>;

    /// Takes a permission from a group; `false` if it had none.
    async fn revoke_from_group(
        &self,
        group: &str,
        permission: &PermissionName,
        effects: Effects,
    ) -> Result<bool, GrantError>;

    /// Puts a user into a group; `false` if he is in it.
    async fn add_to_group(&self, user: UserId, group: &str, effects: Effects) -> Result<bool, GrantError>;

    /// Takes a user out of a group; `false` if he was not in it.
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
    #[error("there is no such user")]
    NoSuchUser,
    /// There is no such group.
    #[error("there is no such group")]
    NoSuchGroup,
    /// There is no such permission: declare it first.
    #[error("there is no such permission; declare it first")]
    NoSuchPermission,
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
