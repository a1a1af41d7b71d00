//! Takes over the accounts of another system: what becomes of each row.
//!
//! Ids and hashes stay what they are, so that tokens go on working and nobody needs a new password. Rows come in the
//! order of their ids, twice: a [`Survey`] looks at all of them before anything is written and makes a [`Plan`], which
//! then turns each row into an account. An account comes with its groups and permissions or not at all, and one that
//! was imported before is left as it is; so an import that was interrupted goes on where it was when it is run again.

mod plan;
mod rights;
mod survey;

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
    /// The name; empty if there is none.
    pub username: String,
    /// The address; empty if there is none.
    pub email: String,
    /// The encoded hash, whatever it is.
    pub password: String,
    /// See [`User::is_active`](crate::user::User::is_active).
    pub is_active: bool,
    /// See [`User::is_staff`](crate::user::User::is_staff).
    pub is_staff: bool,
    /// See [`User::is_superuser`](crate::user::User::is_superuser).
    pub is_superuser: bool,
    /// `None` if the table does not know: then it is the moment of the import.
    pub date_joined: Option<Timestamp>,
    /// The last login, if there was one.
    pub last_login: Option<Timestamp>,
    /// What the operator wants to keep besides.
    pub metadata: Map<String, Value>,
    /// The columns whose value is not of a kind that the column should hold.
    pub unreadable: Vec<&'static str>,
    /// The flags that are neither true nor false.
    pub doubtful: Vec<Doubt>,
}

/// A flag of which nobody can tell whether it is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// `table.column`.
    pub column: String,
    /// What stands there, or its beginning.
    pub value: String,
}

/// What to do about rows that cannot come as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Import nothing at all.
    Stop,
    /// Leave them out. Of two that differ only in case the lower id stays.
    Skip,
    /// As [`Skip`](Self::Skip), but an account whose name or address is taken comes with another: `NAME-ID`, and
    /// `user-ID@duplicate.invalid`, or `user-ID@missing.invalid` if it has none. No mail reaches such an address, and its
    /// owner logs in with it until he is given a better one.
    Rename,
}

/// Why a row cannot come as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It has no address, and an account needs one to log in.
    #[error("it has no e-mail address, which is what people log in with")]
    NoEmail,
    /// Another account has the address but for case.
    #[error("its e-mail address is that of user {0}")]
    EmailTaken(UserId),
    /// Another account has the name but for case.
    #[error("its user name is that of user {0}")]
    UsernameTaken(UserId),
    /// Another account has both.
    #[error("its user name is that of user {username}, its e-mail address that of user {email}")]
    BothTaken {
        /// Who has the name.
        username: UserId,
        /// Who has the address.
        email: UserId,
    },
    /// The id is that of an account that was not imported from here.
    #[error("another account has its id here, and ids cannot change because tokens name them")]
    IdTaken,
    /// While the import ran somebody else took its id, name or address.
    #[error("its id, user name or e-mail address was taken while the import ran")]
    TakenMeanwhile,
    /// A value is longer than can be stored.
    #[error("{0} is too long")]
    TooLong(&'static str),
    /// A value has a NUL, which PostgreSQL cannot store.
    #[error("{0} has a NUL character")]
    Null(&'static str),
    /// A value is no text, or not of the kind that the column should hold.
    #[error("{0} cannot be read")]
    Unreadable(&'static str),
    /// A flag is neither true nor false. Nothing is guessed: it decides who may log in and who may do everything.
    #[error("{column} is neither true nor false: {value:?}")]
    Doubtful {
        /// `table.column`.
        column: String,
        /// What stands there, or its beginning.
        value: String,
    },
    /// The id is not one that an account can have.
    #[error("its id is not between 1 and {}", UserId::MAX)]
    IdOutOfRange,
    /// A name or an address has characters that a terminal obeys or that change the direction of what follows.
    #[error("{0} has control characters, or invisible ones that change the direction of text")]
    Control(&'static str),
    /// No password can match the stored one: nobody can log in until a new one is given. With the name of its format if it
    /// has one.
    #[error("its password hash{} cannot be verified; doorwarden changepassword gives it another password", named(*.0))]
    Hash(Option<&'static str>),
    /// Verifying the password would cost more than the ceilings of this installation allow.
    #[error(
        "its {0} hash costs more than is computed here; doorwarden changepassword gives it another password"
    )]
    DearHash(Algorithm),
    /// The ids that the source says it has given lie far above its rows.
    #[error(
        "ids up to {given} are said to have been given there; only those up to {kept} will not be given here"
    )]
    IdsFarAhead {
        /// The last id that the source says it has given.
        given: i64,
        /// The last id that will not be given.
        kept: UserId,
    },
    /// The name of a permission has other characters than letters, digits, `_` and `-` in its two parts.
    #[error("it is not named app_label.codename with letters, digits, _ and - alone")]
    PermissionName,
    /// A group of this name is there already with other permissions.
    #[error("a group of this name is here already, and keeps the permissions that it has here")]
    OtherPermissions,
    /// Memberships or grants name a group or permission that does not exist, or is left out.
    #[error("{0} of them name a group or permission that is not there")]
    Dangling(u64),
}

/// What becomes of a row that cannot come as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is left out.
    Left,
    /// It comes under another name or address.
    Renamed,
    /// It comes without the value that is named.
    Came,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Left => "left out",
            Self::Renamed => "renamed",
            Self::Came => "comes all the same",
        })
    }
}

/// One row that cannot come as it is, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `user`, `group` or `permission`, or who has what.
    pub kind: &'static str,
    /// The row's primary key; 0 if it is about more than one row.
    pub id: i64,
    /// The row's name, and for a user the address.
    pub name: String,
    /// What is wrong.
    pub problem: Problem,
    /// What becomes of it.
    pub action: Action,
    /// What it will be called instead.
    pub renamed: Option<String>,
}

impl Finding {
    /// Whether [`OnConflict::Stop`] stops for it: something would be missing, or different, or somebody would have other
    /// rights than where they come from.
    pub fn stops(&self) -> bool {
        self.action != Action::Came || self.problem == Problem::OtherPermissions
    }
}

fn named(format: Option<&str>) -> String {
    format.map(|name| format!(" ({name})")).unwrap_or_default()
}
