use super::StoreError;
use crate::audit::Effects;
use crate::limit::Guesser;
use crate::limit::proof_of_work::Solved;
use crate::time::Timestamp;
use crate::user::UserId;
use async_trait::async_trait;
use std::time::Duration;

/// An attempt at a password, before it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordAttempt {
    /// Whose it is.
    pub guesser: Guesser,
    /// When it is made.
    pub at: Timestamp,
    /// How many in a row may be wrong before there is a wait.
    pub free: u32,
    /// How many in a row may be wrong at all.
    pub most: u32,
    /// Whether there was a proof of work, with which nobody must wait.
    pub has_worked: bool,
}

impl PasswordAttempt {
    /// The longest wait.
    pub const MAX_WAIT: Duration = Duration::from_hours(1);

    /// How long after the last of so many wrong passwords in a row the next attempt is possible: from `free`
    /// on a second, which doubles with each.
    pub fn wait(failures: u32, free: u32) -> Duration {
        match failures.checked_sub(free) {
            None => Duration::ZERO,
            Some(over) => Duration::from_secs(1_u64 << over.min(12)).min(Self::MAX_WAIT),
        }
    }
}

/// What became of an attempt at a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempted {
    /// It counts: so many in a row with this one, which may turn out to be right.
    Allowed(u32),
    /// It does not count, and may be repeated after this time. So many came before.
    Wait(Duration, u32),
    /// It does not count: too many came before.
    Locked,
}

/// Attempts at passwords in the store. Whatever sets `last_login` or `password` of a user, SQL by hand too,
/// begins their counts anew.
#[async_trait]
pub trait AttemptStore {
    /// Counts an attempt, unless the guesser must wait or is locked out: of many at once, only so many are
    /// allowed as there would be one after the other.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn attempt_password(&self, attempt: PasswordAttempt) -> Result<Attempted, StoreError>;

    /// What became of an attempt that was counted: the password was right, so that the count begins anew; or
    /// it was not compared, so that the attempt does not count.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn settle_attempt(&self, guesser: Guesser, was_right: bool) -> Result<(), StoreError>;

    /// How many wrong passwords of this user strangers have tried in a row.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn failures(&self, user: UserId) -> Result<u32, StoreError>;

    /// Begins the count of strangers at this user anew; whether they had tried any.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn forget_failures(&self, user: UserId, effects: Effects) -> Result<bool, StoreError>;

    /// Tells the user of the attempts of strangers, with the mails of `effects`, unless that was done less
    /// than a day ago; whether it was done now.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn notice_failures(&self, user: UserId, effects: Effects) -> Result<bool, StoreError>;

    /// Remembers a proof of work; `false` if it was used before. Of many at once, one is the first.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn spend_work(&self, solved: Solved) -> Result<bool, StoreError>;

    /// Deletes at most `limit` of each: proofs of work that have expired at `now`; attempts at accounts that
    /// do not exist, if the last was before `before`, and the oldest that are more than `most`. Returns how
    /// many of the larger kind.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    async fn purge_attempts(
        &self,
        now: Timestamp,
        before: Timestamp,
        most: u64,
        limit: u32,
    ) -> Result<u64, StoreError>;
}
