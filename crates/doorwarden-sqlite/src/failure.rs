//! What SQLite says, in the words of the store's traits.

use doorwarden_core::store::{
    CreateChallengeError, GrantError, MigrateError, Reason, StoreError, WriteUserError,
};
use rusqlite::ErrorCode;

/// A statement failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// SQLite said so.
    Sqlite(rusqlite::Error),
    /// What is stored cannot be read: the table, column and key, never the value.
    Unreadable(String),
    /// The store is closed, busy or gone.
    Unavailable(&'static str),
    /// The write-ahead log is of another file than the database.
    OtherLog,
}

impl Failure {
    /// What every call gets once the store is closed.
    pub(crate) const CLOSED: Self = Self::Unavailable("the database is closed");

    /// Another connection holds a lock.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, Self::Sqlite(error) if matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        ))
    }

    /// What a broken constraint says: `UNIQUE constraint failed: users.email_key`.
    pub(crate) fn constraint(&self) -> Option<&str> {
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(error, Some(text)))
                if error.code == ErrorCode::ConstraintViolation =>
            {
                Some(text)
            }
            _ => None,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Failure> for CreateChallengeError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure.into())
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sqlite(error) => match error.sqlite_error_code() {
                Some(
                    ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::DiskFull
                    | ErrorCode::OutOfMemory
                    | ErrorCode::ReadOnly
                    | ErrorCode::NotADatabase,
                ) => Self::unavailable(error),
                // The file is empty or another database, or is being changed.
                _ if is_missing(&error) => Self::unavailable(without_sql(error)),
                _ => Self::failed(without_sql(error)),
            },
            Failure::Unreadable(what) => Self::failed(what),
            Failure::Unavailable(why) => Self::unavailable(why),
            Failure::OtherLog => {
                let why = "another file lies there, beside the write-ahead log of the one before";
                Self::Unavailable(Reason::new(why).with_hint("remove the files -wal and -shm"))
            }
        }
    }
}

/// What is wrong with a statement, without the statement.
fn without_sql(error: rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqlInputError { msg, .. } => msg,
        other => other.to_string(),
    }
}

/// SQLite has no code for it, but always the same words.
fn is_missing(error: &rusqlite::Error) -> bool {
    let (rusqlite::Error::SqliteFailure(_, Some(text)) | rusqlite::Error::SqlInputError { msg: text, .. }) =
        error
    else {
        return false;
    };
    ["no such table", "no such column"].iter().any(|missing| text.contains(missing))
        || text.contains("has no column named")
}

impl From<Failure> for WriteUserError {
    fn from(failure: Failure) -> Self {
        match failure.constraint() {
            Some(text) if text.contains("users.email_key") => Self::EmailTaken,
            Some(text) if text.contains("users.username_key") => Self::UsernameTaken,
            Some(text) if text.contains("users_metadata_size") => Self::MetadataTooLarge,
            _ => Self::Store(failure.into()),
        }
    }
}

impl From<Failure> for MigrateError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure.into())
    }
}

impl From<Failure> for GrantError {
    fn from(failure: Failure) -> Self {
        Self::Store(failure.into())
    }
}
