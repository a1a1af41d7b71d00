use doorwarden_core::random::RandomSource;
use doorwarden_core::store::{Store, StoreError};
use doorwarden_core::token::secret::{KeyTooShort, SecretKey};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// The file with the secret key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretKeyError {
    /// The file cannot be read or written.
    #[error("the file with the secret key, {path}, cannot be used: {error}", path = .path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the operating system.
        error: std::io::Error,
    },
    /// Other users than the owner can read the file, and the process cannot change that because it is not the
    /// owner.
    #[error(
        "others may read the file with the secret key, {path}, and that cannot be changed",
        path = .0.display()
    )]
    Readable(PathBuf),
    /// The file is missing, and the database has signing keys that it sealed.
    #[error(
        "the file with the secret key, {path}, is missing, and the signing keys in the database are sealed under it",
        path = .0.display()
    )]
    Missing(PathBuf),
    /// Whether the database has signing keys could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file is too short.
    #[error("the file with the secret key, {path}, holds too little: {error}", path = .path.display())]
    TooShort {
        /// The path of the file.
        path: PathBuf,
        /// The rule that the secret key breaks.
        error: KeyTooShort,
    },
}

impl SecretKeyError {
    /// Advice on how to fix the problem.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Readable(path) => Some(format!("chmod 600 {}", path.display())),
            Self::Missing(_) => Some(
                "restore it; if it is lost, `doorwarden secret revoke` makes a new one, and ends everything that came \
                 of it"
                    .to_owned(),
            ),
            Self::Store(error) => error.hint().map(str::to_owned),
            Self::File { .. } | Self::TooShort { .. } => None,
        }
    }
}

/// The path of the secret key of this SQLite database.
pub(crate) fn path_beside(database: &Path) -> PathBuf {
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push(".secret");
    database.with_file_name(name)
}

/// The secret key beside a SQLite database, created with mode 0600 if it is missing. It is not created while
/// there are signing keys that another secret key sealed: that key is lost then, and a new one would hide the
/// loss.
pub(crate) async fn beside(
    database: &Path,
    store: &dyn Store,
    random: &dyn RandomSource,
) -> Result<SecretKey, SecretKeyError> {
    let path = path_beside(database);
    if !path.exists() && store.signing_keys().await?.iter().any(|key| key.revoked_at.is_none()) {
        return Err(SecretKeyError::Missing(path));
    }
    let text = text_of(&path, random)?;
    SecretKey::new(text.trim()).map_err(|error| SecretKeyError::TooShort { path, error })
}

/// The content of the file, which is written only if it is missing, because the directory may be read-only.
fn text_of(path: &Path, random: &dyn RandomSource) -> Result<String, SecretKeyError> {
    match read(path) {
        Err(SecretKeyError::File { error, .. }) if error.kind() == ErrorKind::NotFound => {}
        known => return known,
    }
    match create(path, random) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(path),
        Err(error) => Err(SecretKeyError::File { path: path.to_owned(), error }),
    }
}

/// A secret key that is not stored anywhere.
pub(crate) fn passing(random: &dyn RandomSource) -> SecretKey {
    SecretKey::new(fresh(random)).expect("it has 64 characters")
}

/// Replaces the secret key in this file with a new one.
pub(crate) fn renew(path: &Path, random: &dyn RandomSource) -> Result<(), SecretKeyError> {
    let renewed = draft(path, &fresh(random)).and_then(|draft| std::fs::rename(draft, path));
    renewed.map_err(|error| SecretKeyError::File { path: path.to_owned(), error })
}

fn create(path: &Path, random: &dyn RandomSource) -> std::io::Result<String> {
    let text = fresh(random);
    // All or nothing: written under another name, then linked, which fails if another process was faster.
    let draft = draft(path, &text)?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    linked.map(|()| text)
}

fn fresh(random: &dyn RandomSource) -> String {
    let half = || u128::from_le_bytes(random.bytes());
    format!("{:032x}{:032x}", half(), half())
}

/// Writes a temporary file beside `path` that will be renamed to it.
fn draft(path: &Path, text: &str) -> std::io::Result<PathBuf> {
    let draft = path.with_extension(format!("secret-{}", std::process::id()));
    let written =
        private(OpenOptions::new().write(true).create_new(true)).open(&draft).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    match written {
        Ok(()) => Ok(draft),
        Err(error) => {
            let _ = std::fs::remove_file(&draft);
            Err(error)
        }
    }
}

fn read(path: &Path) -> Result<String, SecretKeyError> {
    let fail = |error| SecretKeyError::File { path: path.to_owned(), error };
    doorwarden_sqlite::keep_private(path).map_err(|_| SecretKeyError::Readable(path.to_owned()))?;
    let mut file = std::fs::File::open(path).map_err(fail)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(fail)?;
    Ok(text)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorwarden_testkit::{SeededRandom, sqlite_path};

    #[test]
    fn a_secret_that_is_there_is_read_and_nothing_is_written_beside_it() {
        let (folder, database) = sqlite_path();
        let random = SeededRandom::new(1);
        let path = path_beside(&database);
        let first = text_of(&path, &random).expect("it is made");
        let changed = || std::fs::metadata(folder.path()).and_then(|folder| folder.modified()).ok();
        let before = changed();
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(text_of(&path, &random).expect("it is read"), first);
        assert_eq!(changed(), before, "a file was made in the folder");
    }
}
