//! The leaked passwords that a policy asks for.

use super::{About, Filter, FilterError, Hash, sha1};
use crate::secret::Password;
use parking_lot::Mutex;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

/// The hundred thousand most common passwords, see `data/README.md`.
static COMMONEST: LazyLock<Option<Filter<&'static [u8]>>> = LazyLock::new(|| {
    let bytes: &[u8] = include_bytes!("../../data/leaked_passwords.filter");
    Filter::open(bytes).ok()
});

/// The leaked passwords that are known: the hundred thousand most common ones, which are in the program, and
/// those of a file. Nothing is asked of any other machine.
///
/// Clones share the file. When another file was moved to its place, the next look-up opens that.
#[derive(Debug, Clone, Default)]
pub struct LeakedPasswords {
    file: Option<Arc<FilterFile>>,
}

impl LeakedPasswords {
    /// Those in the program and those of the filter in this file, as `doorwarden breached build` makes it.
    ///
    /// # Errors
    /// [`FilterError`] if the file cannot be read, or is no complete filter of this version.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FilterError> {
        Ok(Self { file: Some(Arc::new(FilterFile::open(path.into())?)) })
    }

    /// Whether the password was leaked. Of others one in 65,536 is taken for leaked, with a file two.
    ///
    /// A file that cannot be read any more is an error in the log, and only the passwords in the program are
    /// known: nobody is kept from choosing a password because of it.
    pub fn contains(&self, password: &Password) -> bool {
        self.contains_hash(&sha1(password.expose()))
    }

    /// As [`contains`](Self::contains), of the hash of a password.
    pub fn contains_hash(&self, hash: &Hash) -> bool {
        Self::are_commonest(hash) || self.file.as_ref().is_some_and(|file| file.contains(hash))
    }

    /// Whether it is the hash of one of the passwords in the program.
    pub fn are_commonest(hash: &Hash) -> bool {
        COMMONEST.as_ref().is_some_and(|filter| filter.contains(hash).unwrap_or(false))
    }

    /// What the filter in the program says of itself.
    pub fn about_commonest() -> Option<&'static About> {
        COMMONEST.as_ref().map(Filter::about)
    }
}

/// A filter in a file that may be replaced.
#[derive(Debug)]
struct FilterFile {
    path: PathBuf,
    opened: Mutex<Opened>,
}

#[derive(Debug)]
struct Opened {
    filter: Arc<Filter<File>>,
    /// Of the file that was looked at last: the one of the filter, or one that is none.
    identity: Option<Identity>,
}

/// What changes when another file has the same name.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    inode: (u64, u64),
    length: u64,
    modified: Option<SystemTime>,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self { inode: inode(metadata), length: metadata.len(), modified: metadata.modified().ok() }
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

fn open(path: &Path) -> Result<(Filter<File>, Identity), FilterError> {
    let file = File::open(path)?;
    let identity = Identity::of(&file.metadata()?);
    Ok((Filter::open(file)?, identity))
}

impl FilterFile {
    fn open(path: PathBuf) -> Result<Self, FilterError> {
        let (filter, identity) = open(&path)?;
        let opened = Opened { filter: Arc::new(filter), identity: Some(identity) };
        Ok(Self { path, opened: Mutex::new(opened) })
    }

    fn contains(&self, hash: &Hash) -> bool {
        let found = self.current().contains(hash);
        found.unwrap_or_else(|error| {
            self.complain("cannot read the breached passwords", &error);
            false
        })
    }

    /// The filter in the file that has the name now, or the one before if there is none.
    fn current(&self) -> Arc<Filter<File>> {
        let identity = std::fs::metadata(&self.path).map(|metadata| Identity::of(&metadata)).ok();
        let mut opened = self.opened.lock();
        if identity != opened.identity {
            match open(&self.path) {
                Ok((filter, of)) => *opened = Opened { filter: Arc::new(filter), identity: Some(of) },
                Err(error) => {
                    self.complain("keeping the breached passwords of before", &io::Error::other(error));
                    opened.identity = identity;
                }
            }
        }
        Arc::clone(&opened.filter)
    }

    fn complain(&self, what: &str, error: &io::Error) {
        tracing::error!(file.path = %self.path.display(), error = %error, "{what}");
    }
}
