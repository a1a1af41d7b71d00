use super::StoreError;
use crate::audit::Effects;
use crate::authentication::AuthContext;
use crate::challenge::ChallengeId;
use crate::factor::recovery::RecoveryHash;
use crate::factor::{Credential, Factor, FactorId};
use crate::session::SessionId;
use crate::time::Timestamp;
use crate::user::UserId;
use async_trait::async_trait;

/// Factors in the store. The store keeps [`User::has_factor`](crate::user::User::has_factor) in step with the
/// confirmed ones, whoever writes them, and opens no session below assurance level 2 for a user who has one
/// ([`open_session`](super::SessionStore::open_session)).
#[async_trait]
pub trait FactorStore {
    /// Stores a factor that is not confirmed yet, in the place of those of its user that were never
    /// confirmed.
    ///
    /// # Errors
    /// [`AddFactorError::TooMany`] if the user has [`MOST`](Factor::MOST) already.
    async fn add_factor(&self, factor: Factor, effects: Effects) -> Result<(), AddFactorError>;

    /// Confirms a factor that was added after `since`, or stores one that is confirmed already. With the
    /// first factor of a user its recovery codes are stored, and every session ends that has not proved it.
    /// All at once.
    ///
    /// `None`, and nothing happens, if there is no such factor to be confirmed, or the user is gone or
    /// inactive.
    ///
    /// # Errors
    /// [`AddFactorError`] if the user has too many factors, or the credential is registered already.
    async fn confirm_factor(
        &self,
        enrolment: Enrolment,
        effects: Effects,
    ) -> Result<Option<Enrolled>, AddFactorError>;

    /// The factors of a user, also those that are not confirmed, oldest first, and the recovery codes last.
    async fn factors_of(&self, user: UserId) -> Result<Vec<Factor>, StoreError>;

    /// The passkey with this credential id.
    async fn passkey(&self, credential_id: &[u8]) -> Result<Option<Factor>, StoreError>;

    /// Takes note that a code of this step was accepted: `false` if one of it or of a newer step was before.
    /// Wrong codes before it are forgotten, unless the factor is disabled.
    async fn use_totp(&self, id: FactorId, step: i64, at: Timestamp) -> Result<bool, StoreError>;

    /// Counts a wrong code for every TOTP of a user that is not disabled; the highest count.
    async fn fail_totps(&self, user: UserId) -> Result<u32, StoreError>;

    /// Disables the TOTPs of a user that have so many wrong codes; whether there were any that had not been.
    async fn disable_totps(&self, user: UserId, most: u32, effects: Effects) -> Result<bool, StoreError>;

    /// Lets disabled TOTPs of a user count again; whether there were any.
    async fn enable_totps(&self, user: UserId, effects: Effects) -> Result<bool, StoreError>;

    /// Uses a recovery code up; how many are left. `None` if it is none, or was used before.
    async fn use_recovery_code(
        &self,
        user: UserId,
        code: RecoveryHash,
        effects: Effects,
    ) -> Result<Option<u32>, StoreError>;

    /// Stores new recovery codes in the place of the old ones; `false` if the user has no factor.
    async fn replace_recovery_codes(
        &self,
        user: UserId,
        codes: NewRecoveryCodes,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Stores what the use of a passkey has told, once for each `ceremony`, whose challenge is used up by it;
    /// `false` if it was used before, or the passkey is gone.
    async fn use_passkey(&self, used: PasskeyUse, effects: Effects) -> Result<bool, StoreError>;

    /// Gives a factor of a user another name; `false` if there is none.
    async fn rename_factor(
        &self,
        id: FactorId,
        user: UserId,
        name: &str,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Deletes a confirmed factor of a user, with the last one the recovery codes, and ends the sessions of
    /// the user except `keep`.
    async fn remove_factor(&self, removal: FactorRemoval, effects: Effects) -> Result<Removed, StoreError>;

    /// The factors that have something sealed, those after `after` and at most `limit`.
    async fn sealed_factors(
        &self,
        after: Option<FactorId>,
        limit: u32,
    ) -> Result<Vec<(FactorId, Vec<u8>)>, StoreError>;

    /// The domains that passkeys belong to, with the number of passkeys of each.
    async fn count_passkeys_by_domain(&self) -> Result<Vec<(String, u64)>, StoreError>;

    /// Replaces what is sealed, if it is still `former`; whether it was.
    async fn reseal_factor(&self, id: FactorId, former: &[u8], sealed: &[u8]) -> Result<bool, StoreError>;
}

/// A factor that its user has shown to work.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// The factor. One with this id is confirmed by it; otherwise it is new.
    pub factor: Factor,
    /// The one to be confirmed was made at this instant or later; `None`: it is new.
    pub since: Option<Timestamp>,
    /// The recovery codes, in case that it is the first factor.
    pub codes: NewRecoveryCodes,
    /// The session that goes on, and how its user is authenticated from now on.
    pub session: Option<(SessionId, AuthContext)>,
}

/// A set of recovery codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecoveryCodes {
    /// The id of their row among the factors.
    pub id: FactorId,
    /// The sealed key of the hashes.
    pub sealed: Vec<u8>,
    /// The hashes.
    pub hashes: Vec<RecoveryHash>,
}

/// What became of an [`Enrolment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enrolled {
    /// It is the only factor of the user: the recovery codes are good now, and other sessions have ended.
    pub is_first: bool,
}

/// A factor was not stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AddFactorError {
    /// The user has as many as there may be.
    #[error("there are too many factors")]
    TooMany,
    /// The credential is registered already, for this user or another one.
    #[error("the credential is registered already")]
    Taken,
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The use of a passkey.
#[derive(Debug, Clone)]
pub struct PasskeyUse {
    /// The passkey.
    pub id: FactorId,
    /// Names the challenge, which is used up.
    pub ceremony: ChallengeId,
    /// Until when the challenge is remembered.
    pub remembered_until: Timestamp,
    /// What is known of the credential now.
    pub credential: Credential,
}

/// A factor to be deleted.
#[derive(Debug, Clone, Copy)]
pub struct FactorRemoval {
    /// The factor.
    pub id: FactorId,
    /// Whose it is.
    pub user: UserId,
    /// The session that goes on.
    pub keep: Option<SessionId>,
    /// The last confirmed factor stays: its user must have one.
    pub keeps_last: bool,
}

/// What became of a [`FactorRemoval`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Done,
    /// There was none.
    NoSuchFactor,
    /// It is the last one, which must stay.
    IsLast,
}
