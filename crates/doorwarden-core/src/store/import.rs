use super::StoreError;
use crate::audit::Effects;
use crate::permission::{Group, Permission};
use crate::user::{User, UserId};
use async_trait::async_trait;
use std::sync::Arc;

/// Accounts that another system has made, taken over in bulk with the ids and hashes that they have.
#[async_trait]
pub trait ImportStore {
    /// A connection of its own, which may take its time and more memory than a request gets.
    async fn import(&self) -> Result<Box<dyn ImportWriter>, StoreError>;
}

/// Writes what is imported, in steps that are each committed whole. What is there already is left as it is, so that a step
/// may be repeated.
#[async_trait]
pub trait ImportWriter: Send + std::fmt::Debug {
    /// Lets no user who is created from now on have an id up to this one: it belongs to an account that will be
    /// imported, or to one that was deleted where the accounts come from and may still be named by a token. Committed at
    /// once.
    async fn reserve_ids(&mut self, up_to: UserId) -> Result<(), StoreError>;

    /// Creates permissions, and groups with their permissions, of which [`Group::members`] does not count. One that
    /// exists stays as it is, a group with the permissions that it has. How many of each are new, and `effects` if any is. Committed at once.
    async fn write_rights(
        &mut self,
        permissions: &[Permission],
        groups: &[Group],
        effects: Effects,
    ) -> Result<NewRights, StoreError>;

    /// Creates accounts, each with its memberships and direct permissions, as a part of the present step. Those are left
    /// out whose id, address or name (in its folded form) another user has; their ids are returned. Groups and
    /// permissions must exist. After an error the whole step is lost.
    async fn write(&mut self, accounts: Vec<ImportedAccount>) -> Result<Vec<UserId>, StoreError>;

    /// Ends the present step: from now on its accounts are there, all of them at once. The fewer steps, the faster; until
    /// it ends others may have to wait. `effects` are written if there are any accounts, and counts how many.
    async fn commit(&mut self, effects: Effects) -> Result<(), StoreError>;

    /// Leaves the database as if the accounts had come one by one: what was kept in a log is in its place, and the planner
    /// knows the new sizes. A step that was not committed is lost.
    async fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// An account to be written as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedAccount {
    /// The user with his id.
    pub user: User,
    /// The names of his groups, without repetition.
    pub groups: Vec<Arc<str>>,
    /// `app_label.codename` of his direct permissions, without repetition.
    pub permissions: Vec<Arc<str>>,
}

/// How many permissions and groups an import has created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewRights {
    /// Permissions.
    pub permissions: u64,
    /// Groups.
    pub groups: u64,
}
