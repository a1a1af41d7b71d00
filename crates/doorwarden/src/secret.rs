use doorwarden_core::random::RandomSource;
use doorwarden_core::token::secret::{KeyTooShort, SecretKey};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// The file with the secret key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretKeyError {
    /// It cannot be read or written.
    #[error("the file with the secret key, {path}, cannot be used: {error}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Others than its owner may read it.
    #[error("others may read the file with the secret key, {path}. hint: chmod 600 {path}", path = .0.display())]
    Readable(PathBuf),
    /// It holds too little.
    #[error("the file with the secret key, {path}, holds too little: {error}", path = .path.display())]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Why.
        error: KeyTooShort,
    },
}

/// Where the secret key of this SQLite database lies.
pub(crate) fn path_beside(database: &Path) -> PathBuf {
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push(".secret");
    database.with_file_name(name)
}

/// The secret key that lies beside a SQLite database; created, with mode 0600, if there is none.
pub(crate) fn beside(database: &Path, random: &dyn RandomSource) -> Result<SecretKey, SecretKeyError> {
    let path = path_beside(database);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|error| SecretKeyError::File { path: path.clone(), error })?;
    }
    let text = match create(&path, random) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(&path)?,
        Err(error) => return Err(SecretKeyError::File { path, error }),
    };
    SecretKey::new(text.trim()).map_err(|error| SecretKeyError::TooShort { path, error })
}

fn create(path: &Path, random: &dyn RandomSource) -> std::io::Result<String> {
    let half = || u128::from_le_bytes(random.bytes());
    let text = format!("{:032x}{:032x}", half(), half());
    // Whole or not at all: written under another name first, then linked, which fails if somebody was faster.
    let draft = path.with_extension(format!("secret-{}", std::process::id()));
    let written =
        private(OpenOptions::new().write(true).create_new(true)).open(&draft).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    std::fs::remove_file(&draft)?;
    linked.map(|()| text)
}

fn read(path: &Path) -> Result<String, SecretKeyError> {
    let fail = |error| SecretKeyError::File { path: path.to_owned(), error };
    let mut file = std::fs::File::open(path).map_err(fail)?;
    if is_readable_by_others(&file.metadata().map_err(fail)?) {
        return Err(SecretKeyError::Readable(path.to_owned()));
    }
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

#[cfg(unix)]
fn is_readable_by_others(metadata: &std::fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
}

#[cfg(not(unix))]
fn is_readable_by_others(_: &std::fs::Metadata) -> bool {
    false
}
