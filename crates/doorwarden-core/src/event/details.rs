//! What events say of a change: fields, counts, outcomes and reasons.

use crate::user::{UserChange, UserId};
use serde_json::{Map, Value, json};

/// The fields of a user that were set: flags with their new value, other fields without it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpdatedFields {
    /// The username.
    pub username: bool,
    /// The email address.
    pub email: bool,
    /// A member of `metadata`.
    pub metadata: bool,
    /// The language of mails.
    pub locale: bool,
    /// The proof that the user receives mail under the address.
    pub email_verified_at: bool,
    /// The time of the deletion.
    pub deletion_at: bool,
    /// See [`UserChange::must_change_password`].
    pub must_change_password: Option<bool>,
    /// See [`UserChange::is_active`].
    pub is_active: Option<bool>,
    /// See [`UserChange::is_staff`].
    pub is_staff: Option<bool>,
    /// See [`UserChange::is_superuser`].
    pub is_superuser: Option<bool>,
}

impl UpdatedFields {
    /// The fields that a change sets.
    pub fn of(change: &UserChange) -> Self {
        Self {
            username: change.username.is_some(),
            email: change.email.is_some(),
            metadata: !change.metadata.is_empty(),
            locale: change.locale.is_some(),
            email_verified_at: change.email_verified_at.is_some(),
            deletion_at: change.deletion_at.is_some(),
            must_change_password: change.must_change_password,
            is_active: change.is_active,
            is_staff: change.is_staff,
            is_superuser: change.is_superuser,
        }
    }

    /// Each field by its name: the new value of a flag, `"changed"` otherwise.
    pub(super) fn data(self) -> Map<String, Value> {
        let typed = [
            ("username", self.username),
            ("email", self.email),
            ("metadata", self.metadata),
            ("locale", self.locale),
            ("email_verified_at", self.email_verified_at),
            ("deletion_at", self.deletion_at),
        ];
        let flags = [
            ("is_active", self.is_active),
            ("is_staff", self.is_staff),
            ("is_superuser", self.is_superuser),
            ("must_change_password", self.must_change_password),
        ];
        let typed = typed.into_iter().filter(|(_, set)| *set).map(|(name, _)| (name, json!("changed")));
        let flags = flags.into_iter().filter_map(|(name, set)| Some((name, json!(set?))));
        typed.chain(flags).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// What only the database knows about a change. A flow leaves it out of an event ([`UserId::NEW`], a count of
/// 0), and the store fills it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The id of the user who was created.
    User(UserId),
    /// The number of rows.
    Count(u64),
    /// How many sessions of how many users ended.
    SignedOut {
        /// Users.
        users: u64,
        /// Sessions.
        sessions: u64,
    },
    /// How many permissions and groups are new.
    Rights {
        /// Permissions.
        permissions: u64,
        /// Groups.
        groups: u64,
    },
    /// How many keys were revoked and how many sessions ended.
    Restored {
        /// Keys.
        keys: u64,
        /// Sessions.
        sessions: u64,
    },
}

/// Whether the operation succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The operation succeeded.
    Success,
    /// The operation was refused.
    Failure,
}

impl Outcome {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }

    /// The outcome that is stored as this word, if it is one.
    pub fn from_stored(word: &str) -> Option<Self> {
        [Self::Success, Self::Failure].into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// What is noteworthy about a refresh token that was repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepeatSign {
    /// The token came after the grace period, and was counted.
    Late,
    /// The token came within the grace period, but from another address network or user agent than the login.
    Elsewhere,
}

impl RepeatSign {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// Why a login failed. Logged, never returned to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginFailure {
    /// No account has this email address.
    UnknownEmail,
    /// The password is wrong.
    WrongPassword,
    /// The account is inactive.
    Inactive,
    /// The account has no password.
    UnusablePassword,
    /// The stored hash cannot be read.
    UnreadableHash,
    /// The stored hash costs more than the ceilings allow.
    ExpensiveHash,
    /// A hook refused.
    Refused,
    /// The account was changed while its password was being checked.
    Raced,
}

impl LoginFailure {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownEmail => "unknown_email",
            Self::WrongPassword => "wrong_password",
            Self::Inactive => "inactive",
            Self::UnusablePassword => "unusable_password",
            Self::UnreadableHash => "unreadable_hash",
            Self::ExpensiveHash => "expensive_hash",
            Self::Refused => "refused",
            Self::Raced => "raced",
        }
    }
}
