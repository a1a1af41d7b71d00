//! The database URL: parsed in one place for the library, the service, the import and the doctor.

use crate::BuildError;
use doorwarden_core::store::Store;
use doorwarden_postgres::{PostgresOptions, PostgresStore};
use doorwarden_sqlite::{SqliteOptions, SqliteStore};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The URL of the database. `Debug` and errors show no password.
///
/// - `sqlite://PATH`, also `sqlite:PATH`: a file. `?mode=rwc`, the default, creates the file if it is
///   missing; `?mode=rw` does not. The path is percent-encoded: `%20` is a space, and `%`, `?` and `#` are
///   written `%25`, `%3F` and `%23`.
/// - `postgres://USER:PASSWORD@HOST/DATABASE`, also `postgresql://…`: a libpq URL; see [`PostgresOptions`].
///
/// ```
/// use doorwarden::DatabaseUrl;
/// let url: DatabaseUrl = "sqlite:///var/lib/my%20app/app.db?mode=rwc".parse()?;
/// assert_eq!(url.sqlite_path(), Some("/var/lib/my app/app.db".as_ref()));
/// assert!("sqlite::memory:".parse::<DatabaseUrl>().is_err());
/// # Ok::<(), doorwarden::DatabaseUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    text: String,
    place: Place,
}

#[derive(Clone, PartialEq, Eq)]
enum Place {
    Sqlite { path: PathBuf, must_exist: bool },
    Postgres,
}

/// The database URL is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseUrlError {
    /// The scheme is not known.
    #[error("the database URL must begin with sqlite:// and a path, or with postgres://")]
    Scheme,
    /// `sqlite://` without a path.
    #[error("the database URL names no file: sqlite://PATH")]
    NoPath,
    /// `:memory:` or another in-memory database.
    #[error("accounts are not kept in memory only: the database URL must name a file, sqlite://PATH")]
    InMemory,
    /// `mode=ro`.
    #[error("mode=ro cannot be used: Doorwarden writes to its database. Use mode=rw or mode=rwc")]
    ReadOnly,
    /// An unknown `mode`, or `mode` twice.
    #[error(
        "the mode of a SQLite database is rw (it is there) or rwc (it is made if it is missing), given once"
    )]
    Mode,
    /// A parameter other than `mode`.
    #[error("the parameter \"{0}\" of a SQLite URL is not known here, only mode is")]
    Parameter(String),
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the path in the database URL is not percent-encoded text")]
    Encoding,
}

impl DatabaseUrlError {
    /// Advice on how to fix the problem.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Parameter(_) => Some("a question mark in the name of a file is written %3F"),
            Self::Encoding => Some("a % in the name of a file is written %25"),
            Self::Scheme | Self::NoPath | Self::InMemory | Self::ReadOnly | Self::Mode => None,
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(url: &str) -> Result<Self, DatabaseUrlError> {
        let place = if let Some(rest) = after_scheme(url) {
            sqlite(rest)?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Place::Postgres
        } else {
            return Err(DatabaseUrlError::Scheme);
        };
        Ok(Self { text: url.to_owned(), place })
    }
}

impl Default for DatabaseUrl {
    /// `sqlite://doorwarden.db`.
    fn default() -> Self {
        let path = PathBuf::from("doorwarden.db");
        Self { text: "sqlite://doorwarden.db".to_owned(), place: Place::Sqlite { path, must_exist: false } }
    }
}

fn after_scheme(url: &str) -> Option<&str> {
    url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))
}

fn sqlite(rest: &str) -> Result<Place, DatabaseUrlError> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut mode = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (name, value) {
            ("mode", "rw" | "rwc") if mode.is_none() => mode = Some(value),
            ("mode", "ro") => return Err(DatabaseUrlError::ReadOnly),
            ("mode", "memory") => return Err(DatabaseUrlError::InMemory),
            ("mode", _) => return Err(DatabaseUrlError::Mode),
            _ => return Err(DatabaseUrlError::Parameter(name.to_owned())),
        }
    }
    let is_encoded = path.split('%').skip(1).all(|after| {
        after.len() >= 2
            && after.is_char_boundary(2)
            && after[..2].bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| DatabaseUrlError::Encoding)?;
    if !is_encoded || decoded.contains('\0') {
        return Err(DatabaseUrlError::Encoding);
    }
    if decoded.starts_with(":memory:") || decoded.starts_with("file::memory:") {
        return Err(DatabaseUrlError::InMemory);
    }
    if decoded.is_empty() {
        return Err(DatabaseUrlError::NoPath);
    }
    Ok(Place::Sqlite { path: PathBuf::from(decoded.as_ref()), must_exist: mode == Some("rw") })
}

impl DatabaseUrl {
    /// The path of the file, if the database is SQLite.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match &self.place {
            Place::Sqlite { path, .. } => Some(path),
            Place::Postgres => None,
        }
    }

    /// Whether a missing SQLite file is an error; otherwise it is created.
    pub fn must_exist(&self) -> bool {
        matches!(self.place, Place::Sqlite { must_exist: true, .. })
    }

    /// The URL as given, including the password.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path where earlier versions of Doorwarden looked for this file, if it differs: they took
    /// parameters and percent-encoding for parts of the file name.
    pub fn former_path(&self) -> Option<&Path> {
        let former = after_scheme(&self.text).map(Path::new)?;
        (self.sqlite_path() != Some(former)).then_some(former)
    }

    fn sqlite_options(&self) -> Option<SqliteOptions> {
        self.sqlite_path().map(|path| match self.must_exist() {
            true => SqliteOptions::new(path).must_exist(),
            false => SqliteOptions::new(path),
        })
    }

    pub(crate) fn open(&self) -> Result<Arc<dyn Store>, BuildError> {
        Ok(match self.sqlite_options() {
            Some(options) => Arc::new(SqliteStore::open(&options)?),
            None => Arc::new(PostgresStore::connect(&PostgresOptions::new(&self.text))?),
        })
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Sqlite { path, must_exist } => f
                .debug_struct("Sqlite")
                .field("path", path)
                .field("must_exist", must_exist)
                .finish_non_exhaustive(),
            Place::Postgres => f.write_str("Postgres(..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(url: &str) -> Result<(String, bool), DatabaseUrlError> {
        let url: DatabaseUrl = url.parse()?;
        let path = url.sqlite_path().map(|path| path.display().to_string());
        Ok((path.unwrap_or_default(), url.must_exist()))
    }

    #[test]
    fn a_file_is_named_as_other_programs_name_it() {
        for (url, file, must_exist) in [
            ("sqlite://app.db", "app.db", false),
            ("sqlite:app.db", "app.db", false),
            ("sqlite:///var/lib/app.db", "/var/lib/app.db", false),
            ("sqlite:/var/lib/app.db", "/var/lib/app.db", false),
            ("sqlite://app.db?mode=rwc", "app.db", false),
            ("sqlite://app.db?", "app.db", false),
            ("sqlite://app.db?&mode=rwc&", "app.db", false),
            ("sqlite://app.db?mode=rw", "app.db", true),
            ("sqlite://my%20app%2Fa%3Fb%25.db", "my app/a?b%.db", false),
            ("sqlite://m%C3%BCller.db", "müller.db", false),
            ("sqlite://müller #1+2.db", "müller #1+2.db", false),
        ] {
            assert_eq!(path(url), Ok((file.to_owned(), must_exist)), "{url}");
        }
    }

    #[test]
    fn what_would_mean_something_else_to_other_programs_is_refused() {
        use DatabaseUrlError::{Encoding, InMemory, Mode, NoPath, Parameter, ReadOnly, Scheme};
        for (url, error) in [
            ("sqlite::memory:", InMemory),
            ("sqlite://:memory:", InMemory),
            ("sqlite://%3Amemory%3a", InMemory),
            ("sqlite://file::memory:?cache=shared", Parameter("cache".to_owned())),
            ("sqlite:file::memory:", InMemory),
            ("sqlite://app.db?mode=memory", InMemory),
            ("sqlite://app.db?mode=ro", ReadOnly),
            ("sqlite://app.db?mode=RW", Mode),
            ("sqlite://app.db?mode=", Mode),
            ("sqlite://app.db?mode", Mode),
            ("sqlite://app.db?mode=rw&mode=rwc", Mode),
            ("sqlite://app.db?mode=rwc&cache=shared", Parameter("cache".to_owned())),
            ("sqlite://app.db?immutable=1", Parameter("immutable".to_owned())),
            ("sqlite://app.db?MODE=rwc", Parameter("MODE".to_owned())),
            ("sqlite://app%2.db", Encoding),
            ("sqlite://100%.db", Encoding),
            ("sqlite://app%é.db", Encoding),
            ("sqlite://app%FF.db", Encoding),
            ("sqlite://app%00.db", Encoding),
            ("sqlite://", NoPath),
            ("sqlite:", NoPath),
            ("sqlite://?mode=rwc", NoPath),
            ("SQLITE://app.db", Scheme),
            ("sqlite3://app.db", Scheme),
            ("mysql://h/d", Scheme),
            ("app.db", Scheme),
            ("", Scheme),
        ] {
            assert_eq!(path(url), Err(error), "{url}");
        }
    }

    #[test]
    fn a_file_that_earlier_versions_made_elsewhere_is_named() {
        let former = |url: &str| {
            let url: DatabaseUrl = url.parse().unwrap();
            url.former_path().map(|path| path.display().to_string())
        };
        assert_eq!(former("sqlite://app.db"), None);
        assert_eq!(former("sqlite://app.db?mode=rwc"), Some("app.db?mode=rwc".to_owned()));
        assert_eq!(former("sqlite:my%20app.db"), Some("my%20app.db".to_owned()));
        assert_eq!(former("postgres://h/d?sslmode=disable"), None);
    }

    #[test]
    fn no_password_is_shown() {
        let url: DatabaseUrl = "postgres://u:hunter2@h/d".parse().unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
        assert_eq!(DatabaseUrl::default(), "sqlite://doorwarden.db".parse().unwrap());
    }
}
