//! How connections are opened.

use crate::failure::Failure;
use crate::migrations::taken;
use doorwarden_core::store::{MigrateError, StoreError};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long opening waits for other processes.
const OPEN_LIMIT: Duration = Duration::from_millis(1500);

/// The longest that a read waits for another process, and holds up its thread: only one that locks the whole database
/// makes it wait.
const READ_LIMIT: Duration = Duration::from_millis(250);

/// Which file on the disk it is: another one may lie at the same path later.
pub(crate) type Identity = (u64, u64);

/// A connection, and the file that it has opened.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) identity: Identity,
}

/// Where the database lies and how it is written.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    pub(crate) path: PathBuf,
    pub(crate) synchronous: Synchronous,
}

/// What survives the loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// Everything that was answered. The default.
    #[default]
    Full,
    /// The database stays whole, but the last answers may be lost.
    Normal,
}

impl SqliteOptions {
    /// A database in this file, which is created, as is its folder. The path is always a file's: `:memory:` is no exception.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), synchronous: Synchronous::default() }
    }

    /// What survives the loss of power.
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// The same with an absolute path, since SQLite takes some relative ones for something else. Creates folder and file if
    /// they are missing, for their owner alone, and gives the database a write-ahead log, for good; but changes nothing of a
    /// database in which there is no place.
    pub(crate) fn create(mut self) -> Result<Self, MigrateError> {
        let created = std::path::absolute(&self.path).and_then(|path| create_file(&path).map(|()| path));
        self.path = created
            .map_err(|error| StoreError::unavailable(format_args!("{}: {error}", self.path.display())))?;
        let deadline = Instant::now() + OPEN_LIMIT;
        loop {
            let taken = self.open().and_then(|opened| taken(&opened.connection));
            let ready = taken.and_then(|taken| match taken {
                Some(_) => Ok(taken),
                None => self.writer().map(|_| None),
            });
            match ready {
                Ok(None) => return Ok(self),
                Ok(Some(name)) => return Err(MigrateError::Taken(name)),
                // Several programs that start at once refuse each other the log without waiting.
                Err(failure) if failure.is_busy() && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// A connection that writes.
    pub(crate) fn writer(&self) -> Result<Opened, Failure> {
        let opened = self.open()?;
        let connection = &opened.connection;
        let journal =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
        if journal != "wal" {
            return Err(Failure::Unreadable("the file system does not allow a write-ahead log".to_owned()));
        }
        let synchronous = match self.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", synchronous)?;
        // Often and little: a checkpoint holds up whoever waits for the writer.
        connection.pragma_update(None, "wal_autocheckpoint", 100)?;
        connection.pragma_update(None, "cache_size", -32_000)?;
        Ok(opened)
    }

    /// A connection that only reads.
    pub(crate) fn reader(&self) -> Result<Opened, Failure> {
        let opened = self.open()?;
        opened.connection.pragma_update(None, "query_only", true)?;
        opened.connection.pragma_update(None, "cache_size", -8_000)?;
        Ok(opened)
    }

    /// Never creates the file: what was deleted must not come back empty.
    fn open(&self) -> Result<Opened, Failure> {
        let identity = self.identity()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(READ_LIMIT)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Opened { connection, identity })
    }

    /// Whether this connection has the file that lies here now.
    pub(crate) fn is_current(&self, opened: &Opened) -> Result<bool, Failure> {
        Ok(self.identity()? == opened.identity)
    }

    fn identity(&self) -> Result<Identity, Failure> {
        let gone = |_| Failure::Unavailable("the database file is gone");
        let metadata = std::fs::metadata(&self.path).map_err(gone)?;
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.dev(), metadata.ino())
        };
        // Elsewhere a file that is open can be neither deleted nor replaced.
        #[cfg(not(unix))]
        let identity = (u64::from(metadata.is_file()), 0);
        Ok(identity)
    }
}

/// Creates the file, and the folders around it, if they are missing.
fn create_file(path: &Path) -> std::io::Result<()> {
    let mut folder = std::fs::DirBuilder::new();
    let mut file = std::fs::OpenOptions::new();
    folder.recursive(true);
    file.write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        folder.mode(0o700);
        // SQLite gives the same mode to the files beside it.
        file.mode(0o600);
    }
    if let Some(parent) = path.parent() {
        folder.create(parent)?;
    }
    file.open(path).map(|_| ())
}
