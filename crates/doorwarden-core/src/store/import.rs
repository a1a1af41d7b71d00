use super::{NewRecoveryCodes, StoreError};
use crate::audit::Effects;
use crate::factor::Factor;
use crate::permission::{Group, Permission};
use crate::user::{User, UserId};
use async_trait::async_trait;
use std::sync::Arc;

/// Bulk import of another system's accounts with their ids and hashes.
#[async_trait]
pub trait ImportStore {
    /// A dedicated connection, which may take more time and memory than a request.
    async fn import(&self) -> Result<Box<dyn ImportWriter>, StoreError>;
}

/// Writes imported accounts in steps, each committed as a whole. What exists already is left unchanged, so
/// that a step may be repeated.
#[async_trait]
pub trait ImportWriter: Send + std::fmt::Debug {
    /// Reserves all ids up to this one, so that no user who is created later gets one of them: such an id
    /// belongs to an account that will be imported, or to one that was deleted in the source and may still be
    /// named by a token. Committed at once.
    async fn reserve_ids(&mut self, up_to: UserId) -> Result<(), StoreError>;

    /// Creates permissions, and groups with their permissions, of which [`Group::members`] is ignored.
    /// Existing permissions and groups stay unchanged; an existing group keeps its permissions. Returns how
    /// many of each are new, and writes `effects` if any is. Committed at once.
    async fn write_rights(
        &mut self,
        permissions: &[Permission],
        groups: &[Group],
        effects: Effects,
    ) -> Result<NewRights, StoreError>;

    /// Creates accounts, each with its memberships, direct permissions and factors, as a part of the current
    /// step. Accounts whose id, email address or username (in its folded form) another user has are left out,
    /// and their ids are returned. Groups and permissions must exist, and no passkey. After an error the
    /// whole step is lost.
    async fn write(&mut self, accounts: Vec<ImportedAccount>) -> Result<Vec<UserId>, StoreError>;

    /// Commits the current step: all of its accounts appear at once. Fewer steps are faster, but other
    /// writers may have to wait until a step ends. `effects` are written, with the number of accounts, if
    /// there are any accounts.
    async fn commit(&mut self, effects: Effects) -> Result<(), StoreError>;

    /// Leaves the database as if the accounts had been created one by one: the write-ahead log is
    /// checkpointed, and the planner's statistics are current. A step that was not committed is lost.
    async fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// An account to be written as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportedAccount {
    /// The user with their id.
    pub user: User,
    /// The names of the user's groups, without repetition.
    pub groups: Vec<Arc<str>>,
    /// `app_label.codename` of the user's direct permissions, without repetition.
    pub permissions: Vec<Arc<str>>,
    /// The user's factors.
    pub factors: ImportedFactors,
}

/// The factors of an account that is imported: it needs them from its first login on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportedFactors {
    /// Authenticator apps and passkeys, all confirmed.
    pub factors: Vec<Factor>,
    /// Recovery codes, which are as old as the first factor and count only beside one.
    pub codes: Option<NewRecoveryCodes>,
}

/// How many permissions and groups an import has created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewRights {
    /// Permissions.
    pub permissions: u64,
    /// Groups.
    pub groups: u64,
}
