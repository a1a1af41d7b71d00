//! Groups of users with common permissions.

use crate::audit::{Effects, Origin};
use crate::context::Context;
use crate::error::{FieldError, FieldErrors};
use crate::event::Event;
use crate::permission::{Group, PermissionName};
use crate::store::{Change, GrantError, StoreError};
use crate::user::UserId;

/// Why a group was not created.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CreateGroupError {
    /// The name is blank, too long, or contains U+0000.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Creates a group; `false` if a group of this name exists.
///
/// # Errors
/// [`CreateGroupError::Invalid`] with complaints about `name` if it is blank, longer than
/// [`Group::NAME_MAX_CHARS`], or contains U+0000.
pub async fn create_group(context: &Context, name: &str, origin: &Origin) -> Result<bool, CreateGroupError> {
    let complaint = match name {
        _ if name.trim().is_empty() => Some(FieldError::blank()),
        _ if name.contains('\0') => Some(FieldError::null_characters()),
        _ if name.chars().count() > Group::NAME_MAX_CHARS => {
            Some(FieldError::max_length(Group::NAME_MAX_CHARS))
        }
        _ => None,
    };
    if let Some(complaint) = complaint {
        return Err(CreateGroupError::Invalid(FieldErrors::one("name", complaint)));
    }
    let effects = context.effects(origin, [Event::GroupCreated { group: name.to_owned() }]);
    let created = context.store.create_group(name, effects.clone()).await?;
    if created {
        context.notify(&effects).await;
    }
    Ok(created)
}

/// Deletes a group with its memberships and grants; `false` if there was no such group.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn delete_group(context: &Context, name: &str, origin: &Origin) -> Result<bool, StoreError> {
    let effects = context.effects(origin, [Event::GroupDeleted { group: name.to_owned() }]);
    let deleted = context.store.delete_group(name, effects.clone()).await?;
    Ok(done(context, deleted, Change::AllUsers, &effects).await)
}

/// Adds a user to a group; `false` if the user is already a member.
///
/// # Errors
/// [`GrantError`] if the user, group or permission does not exist, or the database operation failed.
pub async fn add_to_group(
    context: &Context,
    user: UserId,
    group: &str,
    origin: &Origin,
) -> Result<bool, GrantError> {
    let effects = context.effects(origin, [Event::GroupMemberAdded { user, group: group.to_owned() }]);
    let added = context.store.add_to_group(user, group, effects.clone()).await?;
    Ok(done(context, added, Change::User(user), &effects).await)
}

/// Removes a user from a group; `false` if the user was not a member.
///
/// # Errors
/// [`GrantError`] if the user, group or permission does not exist, or the database operation failed.
pub async fn remove_from_group(
    context: &Context,
    user: UserId,
    group: &str,
    origin: &Origin,
) -> Result<bool, GrantError> {
    let effects = context.effects(origin, [Event::GroupMemberRemoved { user, group: group.to_owned() }]);
    let removed = context.store.remove_from_group(user, group, effects.clone()).await?;
    Ok(done(context, removed, Change::User(user), &effects).await)
}

/// Grants a group a permission; `false` if the group already has it.
///
/// # Errors
/// [`GrantError`] if the user, group or permission does not exist, or the database operation failed.
pub async fn grant_to_group(
    context: &Context,
    group: &str,
    permission: &PermissionName,
    origin: &Origin,
) -> Result<bool, GrantError> {
    let event = Event::GroupPermissionGranted { group: group.to_owned(), permission: permission.clone() };
    let effects = context.effects(origin, [event]);
    let granted = context.store.grant_to_group(group, permission, effects.clone()).await?;
    Ok(done(context, granted, Change::AllUsers, &effects).await)
}

/// Revokes a permission of a group; `false` if the group did not have it.
///
/// # Errors
/// [`GrantError`] if the user, group or permission does not exist, or the database operation failed.
pub async fn revoke_from_group(
    context: &Context,
    group: &str,
    permission: &PermissionName,
    origin: &Origin,
) -> Result<bool, GrantError> {
    let event = Event::GroupPermissionRevoked { group: group.to_owned(), permission: permission.clone() };
    let effects = context.effects(origin, [event]);
    let revoked = context.store.revoke_from_group(group, permission, effects.clone()).await?;
    Ok(done(context, revoked, Change::AllUsers, &effects).await)
}

/// What follows a write to permissions, which may have `changed` nothing.
pub(super) async fn done(context: &Context, changed: bool, change: Change, effects: &Effects) -> bool {
    context.live.forget(change);
    if changed {
        context.notify(effects).await;
    }
    changed
}
