//! Import of another system's accounts: decides what becomes of each row.
//!
//! Ids and hashes stay what they are, so that tokens stay valid and no user needs a new password. Rows come
//! in the order of their ids, twice: a [`Survey`] looks at all of them before anything is written and makes a
//! [`Plan`], which then turns each row into an account. An account comes with its groups, permissions and
//! factors or not at all, and one that was imported before is left as it is; so an interrupted import
//! continues where it stopped when it is run again.

mod factors;
mod plan;
mod rights;
mod survey;

pub use factors::{FactorProblem, Factors, SealedFactors, SourceFactor, SourceMethod};
pub use plan::{Plan, Privileged};
pub use rights::{Rights, SourceRights};
pub use survey::Survey;

use crate::password::Algorithm;
use crate::time::Timestamp;
use crate::user::UserId;
use serde_json::{Map, Value};
use std::fmt;

/// A row of the table of users that accounts come from.
#[derive(Debug, Clone, Default)]
pub struct SourceAccount {
    /// The primary key.
    pub id: i64,
    /// The username; empty if there is none.
    pub username: String,
    /// The email address; empty if there is none.
    pub email: String,
    /// The encoded hash, in any format.
    pub password: String,
    /// See [`User::is_active`](crate::user::User::is_active).
    pub is_active: bool,
    /// See [`User::is_staff`](crate::user::User::is_staff).
    pub is_staff: bool,
    /// See [`User::is_superuser`](crate::user::User::is_superuser).
    pub is_superuser: bool,
    /// `None` if the table does not know: the time of the import is used.
    pub date_joined: Option<Timestamp>,
    /// The last login, if there was one.
    pub last_login: Option<Timestamp>,
    /// When the email address was proved, as far as the operator trusts the source with that.
    pub email_verified_at: Option<Timestamp>,
    /// Other columns that the operator wants to keep.
    pub metadata: Map<String, Value>,
    /// The columns whose value is not of a kind that the column should hold.
    pub unreadable: Vec<&'static str>,
    /// The flags that are neither true nor false.
    pub doubtful: Vec<Doubt>,
}

/// A flag that is neither true nor false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// `table.column`.
    pub column: String,
    /// The stored value, or its beginning.
    pub value: String,
}

/// How to handle conflicting rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Import nothing at all.
    Stop,
    /// Leave them out. Of two that differ only in case the lower id stays.
    Skip,
    /// As [`Skip`](Self::Skip), but an account whose username or email address is taken is imported with
    /// another one: `NAME-ID`, and `user-ID@duplicate.invalid`, or `user-ID@missing.invalid` if it has no
    /// email address. No mail reaches such an address, and the user logs in with it until they are given a
    /// better one.
    Rename,
}

/// Why a row cannot be imported unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The row has no email address, and an account needs one to log in.
    #[error("it has no email address, and an account needs one to log in")]
    NoEmail,
    /// Another account has the same email address, ignoring case.
    #[error("its email is taken by user {0}")]
    EmailTaken(UserId),
    /// Another account has the same username, ignoring case.
    #[error("its username is taken by user {0}")]
    UsernameTaken(UserId),
    /// Another account has both.
    #[error("its username is taken by user {username}, its email by user {email}")]
    BothTaken {
        /// The user who has the username.
        username: UserId,
        /// The user who has the email address.
        email: UserId,
    },
    /// The id is that of an account that was not imported from this source.
    #[error("its id belongs to another account, and ids cannot change because tokens contain them")]
    IdTaken,
    /// While the import ran, another account took the row's id, username or email address.
    #[error("its id, username or email was taken while the import ran")]
    TakenMeanwhile,
    /// A value is longer than can be stored.
    #[error("`{0}` is too long")]
    TooLong(&'static str),
    /// A value has a NUL, which PostgreSQL cannot store.
    #[error("`{0}` contains a NUL character")]
    Null(&'static str),
    /// A value is no text, or not of the kind that the column should hold.
    #[error("`{0}` cannot be read")]
    Unreadable(&'static str),
    /// A flag is neither true nor false. Nothing is guessed: it decides who may log in and who may do
    /// everything.
    #[error("`{column}` is neither true nor false: {value:?}")]
    Doubtful {
        /// `table.column`.
        column: String,
        /// The stored value, or its beginning.
        value: String,
    },
    /// The id is not one that an account can have.
    #[error("its id is not between 1 and {}", UserId::MAX)]
    IdOutOfRange,
    /// A username or email address has control characters or characters that change the direction of text.
    #[error("`{0}` contains control characters, or invisible characters that change the direction of text")]
    Control(&'static str),
    /// No password can match the stored hash: the user cannot log in until a new password is set. With the
    /// name of the hash's format if it has one.
    #[error("its password hash{} cannot be verified; set a password with `doorwarden changepassword`", named(*.0))]
    Hash(Option<&'static str>),
    /// Verifying the password would cost more than the ceilings of this installation allow.
    #[error("the cost of its {0} hash exceeds the ceilings; set a password with `doorwarden changepassword`")]
    DearHash(Algorithm),
    /// The ids that the source says it has given lie far above its rows.
    #[error("the source claims to have assigned ids up to {given}; only those up to {kept} are reserved")]
    IdsFarAhead {
        /// The last id that the source says it has given.
        given: i64,
        /// The last id that will not be given.
        kept: UserId,
    },
    /// The name of a permission has other characters than letters, digits, `_` and `-` in its two parts.
    #[error("it is not named `app_label.codename` with letters, digits, `_` and `-`")]
    PermissionName,
    /// A group of this name already exists with other permissions.
    #[error("a group of this name already exists, and keeps its own permissions")]
    OtherPermissions,
    /// Memberships or grants name a group or permission that does not exist, or is left out.
    #[error("{0} without an existing group or permission")]
    Dangling(u64),
    /// A second factor cannot be imported, or not unchanged.
    #[error(transparent)]
    Factor(FactorProblem),
}

/// What becomes of a conflicting row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The row is left out.
    Left,
    /// The row is imported with another username or email address.
    Renamed,
    /// The row is imported without the named value.
    Came,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Left => "skipped",
            Self::Renamed => "renamed",
            Self::Came => "imported anyway",
        })
    }
}

/// One conflicting row, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The kind of the row: `user`, `group`, `permission` or `factor`, or an assignment of one to another.
    pub kind: &'static str,
    /// The row's primary key; 0 if it is about more than one row.
    pub id: i64,
    /// The row's name, and for a user the address.
    pub name: String,
    /// The problem of the row.
    pub problem: Problem,
    /// What becomes of the row.
    pub action: Action,
    /// The new name.
    pub renamed: Option<String>,
}

impl Finding {
    /// Whether [`OnConflict::Stop`] stops for it: something would be missing or different, or a user would
    /// have other permissions than in the source.
    pub fn stops(&self) -> bool {
        self.action != Action::Came || self.problem == Problem::OtherPermissions
    }
}

fn named(format: Option<&str>) -> String {
    format.map(|name| format!(" ({name})")).unwrap_or_default()
}
