use super::StoreError;
use crate::audit::Effects;
use crate::challenge::{Challenge, ChallengeId, ChallengePurpose, CodeHash, SecretHash};
use crate::time::Timestamp;
use crate::user::UserId;
use async_trait::async_trait;

/// Challenges in the store. A challenge is open until it is spent, expires, or its account changes: the
/// sessions of the user were all ended since ([`Challenge::generation`]), or the account has another email
/// address ([`Challenge::is_of_current_email`]). It is spent by the write that it allows, which has it in
/// [`Effects::spends`].
#[async_trait]
pub trait ChallengeStore {
    /// Stores a challenge, with the attempts that the open ones of the same purpose and address had in the
    /// last [`ATTEMPTS_COUNT_FOR`](Challenge::ATTEMPTS_COUNT_FOR). Ends the others of the same purpose and
    /// address, or the oldest of them beyond [`MOST_OPEN`](Challenge::MOST_OPEN), as `replaces` says.
    ///
    /// # Errors
    /// [`CreateChallengeError::UsernameTaken`] if another open challenge reserves the username.
    async fn create_challenge(
        &self,
        challenge: Challenge,
        replaces: bool,
        effects: Effects,
    ) -> Result<(), CreateChallengeError>;

    /// The open challenge with this id. Consumes nothing.
    async fn challenge(&self, id: ChallengeId, now: Timestamp) -> Result<Option<Challenge>, StoreError>;

    /// The open challenge with this key, whose link was opened. Consumes nothing.
    async fn challenge_by_key(
        &self,
        key: SecretHash,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError>;

    /// The open challenge with this login token. Consumes nothing.
    async fn challenge_by_token(
        &self,
        token: SecretHash,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError>;

    /// The open challenge with this login token, if a code may still be tried; the attempt is counted before
    /// the code is compared, so that of a hundred at once only [`MOST_ATTEMPTS`](Challenge::MOST_ATTEMPTS)
    /// are.
    async fn attempt_challenge(
        &self,
        token: SecretHash,
        now: Timestamp,
    ) -> Result<Option<Challenge>, StoreError>;

    /// Gives the open challenge with this login token another key and code, if the last were sent at least
    /// [`RESEND_AFTER`](Challenge::RESEND_AFTER) ago; whether that was so.
    async fn renew_challenge(
        &self,
        token: SecretHash,
        key: SecretHash,
        code: CodeHash,
        now: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Ends an open challenge; `false` if there is none.
    async fn end_challenge(
        &self,
        id: ChallengeId,
        now: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// The open challenges of an account, oldest first.
    async fn challenges_of(&self, user: UserId, now: Timestamp) -> Result<Vec<Challenge>, StoreError>;

    /// The open challenges of a purpose, oldest first, those after `after` and at most `limit`.
    async fn challenges_for(
        &self,
        purpose: ChallengePurpose,
        now: Timestamp,
        after: Option<ChallengeId>,
        limit: u32,
    ) -> Result<Vec<Challenge>, StoreError>;

    /// Deletes at most `limit` challenges that expired before `before`; returns how many.
    async fn purge_challenges(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// A challenge was not stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CreateChallengeError {
    /// Another registration reserves the username.
    #[error("the username is reserved by another registration")]
    UsernameTaken,
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
