//! Permissions, and direct grants to users.

use super::groups::done;
use crate::audit::{Effects, Origin};
use crate::context::Context;
use crate::event::Event;
use crate::permission::{Permission, PermissionName};
use crate::store::{Change, GrantError, Store, StoreError};
use crate::time::Timestamp;
use crate::user::UserId;

/// Makes sure that these permissions exist with these labels, before a service starts and has a live view.
/// Returns how many are new or have a new label.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn declare_permissions(
    store: &dyn Store,
    permissions: &[Permission],
    at: Timestamp,
    origin: &Origin,
) -> Result<u64, StoreError> {
    let names = permissions.iter().map(|permission| permission.name.clone());
    let events = names.map(|permission| Event::PermissionDeclared { permission });
    store.declare_permissions(permissions, Effects::new(at, origin, events)).await
}

/// Makes sure that a permission exists, with this label.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn declare_permission(
    context: &Context,
    permission: Permission,
    origin: &Origin,
) -> Result<(), StoreError> {
    let effects =
        context.effects(origin, [Event::PermissionDeclared { permission: permission.name.clone() }]);
    let declared = context.store.declare_permissions(&[permission], effects.clone()).await?;
    done(context, declared > 0, Change::AllUsers, &effects).await;
    Ok(())
}

/// Deletes a permission and every grant of it; `false` if there was no such permission.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn delete_permission(
    context: &Context,
    permission: &PermissionName,
    origin: &Origin,
) -> Result<bool, StoreError> {
    let effects = context.effects(origin, [Event::PermissionDeleted { permission: permission.clone() }]);
    let deleted = context.store.delete_permission(permission, effects.clone()).await?;
    Ok(done(context, deleted, Change::AllUsers, &effects).await)
}

/// Grants a user a permission; `false` if the user already has it.
///
/// # Errors
/// [`GrantError::NoSuchPermission`] if it was never declared.
pub async fn grant(
    context: &Context,
    user: UserId,
    permission: &PermissionName,
    origin: &Origin,
) -> Result<bool, GrantError> {
    let event = Event::PermissionGranted { user, permission: permission.clone() };
    let effects = context.effects(origin, [event]);
    let granted = context.store.grant_to_user(user, permission, effects.clone()).await?;
    Ok(done(context, granted, Change::User(user), &effects).await)
}

/// Revokes a direct permission of a user; `false` if the user did not have it.
///
/// # Errors
/// [`GrantError`] if the user, group or permission does not exist, or the database operation failed.
pub async fn revoke(
    context: &Context,
    user: UserId,
    permission: &PermissionName,
    origin: &Origin,
) -> Result<bool, GrantError> {
    let event = Event::PermissionRevoked { user, permission: permission.clone() };
    let effects = context.effects(origin, [event]);
    let revoked = context.store.revoke_from_user(user, permission, effects.clone()).await?;
    Ok(done(context, revoked, Change::User(user), &effects).await)
}
