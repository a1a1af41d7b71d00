//! How connections are opened.

use crate::failure::Failure;
use crate::files::{self, Identity};
use crate::migrations::taken;
use doorwarden_core::store::{MigrateError, StoreError};
use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long opening waits for other processes.
const OPEN_LIMIT: Duration = Duration::from_millis(1500);

/// The longest that a read waits for another process, and holds up its thread: only one that locks the whole
/// database makes it wait.
const READ_LIMIT: Duration = Duration::from_millis(250);

/// After each checkpoint the write-ahead log is cut to this size, in bytes: a reader that takes long makes it
/// grow.
const LOG_SIZE: i64 = 1024 * 1024;

/// A connection, and the files that it has opened.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) identity: Identity,
    log: Option<Identity>,
    /// Declared after the connection, which is counted until it is closed.
    _counted: Counted,
}

/// The connections that are open, and the files that the last one has opened.
#[derive(Debug, Default)]
struct Open {
    connections: usize,
    files: Option<(Identity, Option<Identity>)>,
}

struct Counted(Arc<Mutex<Open>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.lock().connections -= 1;
    }
}

/// Where the database lies and how it is written.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    pub(crate) path: PathBuf,
    pub(crate) synchronous: Synchronous,
    must_exist: bool,
    open: Arc<Mutex<Open>>,
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
    /// A database in this file, which is created, as is its folder. The path is always a file's: `:memory:`
    /// is no exception.
    pub fn new(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_owned();
        Self { path, synchronous: Synchronous::default(), must_exist: false, open: Arc::default() }
    }

    /// The file is there; it is not created if it is missing.
    #[must_use]
    pub fn must_exist(mut self) -> Self {
        self.must_exist = true;
        self
    }

    /// What survives the loss of power.
    #[must_use]
    pub fn synchronous(mut self, synchronous: Synchronous) -> Self {
        self.synchronous = synchronous;
        self
    }

    /// Makes sure that the folder is there; an error if it cannot be made, or if the file is missing and must
    /// not be.
    fn prepare(&self) -> Result<(), StoreError> {
        let refused = |why: &dyn std::fmt::Display| {
            StoreError::unavailable(format_args!("{}: {why}", self.path.display()))
        };
        if self.must_exist && !self.path.exists() {
            return Err(refused(&"there is no such file, and it is not to be made (mode=rw)"));
        }
        files::create_folder(&self.path).map_err(|error| refused(&error))
    }

    /// The same with an absolute path, since SQLite takes some relative ones for something else. Creates
    /// folder and file if they are missing, for their owner alone, and gives the database a write-ahead log,
    /// for good; but changes nothing of a database in which there is no place.
    pub(crate) fn create(mut self) -> Result<Self, MigrateError> {
        self.prepare()?;
        let created =
            std::path::absolute(&self.path).and_then(|path| files::create_file(&path).map(|()| path));
        self.path = created
            .map_err(|error| StoreError::unavailable(format_args!("{}: {error}", self.path.display())))?;
        files::check_log(&self.path)?;
        let deadline = Instant::now() + OPEN_LIMIT;
        loop {
            let taken = self.open().and_then(|opened| taken(&opened.connection));
            let ready = taken.and_then(|taken| match taken {
                Some(_) => Ok(taken),
                None => self.writer().map(|_| None),
            });
            match ready {
                Ok(None) => break,
                Ok(Some(name)) => return Err(MigrateError::Taken(name)),
                // Several programs that start at once refuse each other the log without waiting.
                Err(failure) if failure.is_busy() && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(failure) => {
                    return Err(match failure.into() {
                        StoreError::Unavailable(why) => StoreError::Unavailable(why.at(self.path.display())),
                        other => other,
                    }
                    .into());
                }
            }
        }
        for suffix in ["", "-wal", "-shm"] {
            files::keep_private(&files::beside(&self.path, suffix))?;
        }
        Ok(self)
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
        connection.pragma_update(None, "journal_size_limit", LOG_SIZE)?;
        connection.pragma_update(None, "cache_size", -32_000)?;
        self.with_log(opened)
    }

    /// A connection that only reads.
    pub(crate) fn reader(&self) -> Result<Opened, Failure> {
        let opened = self.open()?;
        opened.connection.pragma_update(None, "query_only", true)?;
        opened.connection.pragma_update(None, "cache_size", -8_000)?;
        // The writer closes last, and knows whether the file is still the one that the log belongs to.
        opened.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        self.with_log(opened)
    }

    /// Reads something, so that SQLite opens the log, and remembers which it is.
    fn with_log(&self, mut opened: Opened) -> Result<Opened, Failure> {
        opened.connection.query_row("SELECT count(*) FROM sqlite_master", (), |_| Ok(()))?;
        opened.log = files::identity(&files::beside(&self.path, "-wal")).ok();
        self.open.lock().files = Some((opened.identity, opened.log));
        Ok(opened)
    }

    /// Never creates the file: what was deleted must not come back empty.
    fn open(&self) -> Result<Opened, Failure> {
        let identity = self.identity()?;
        let counted = self.count(identity)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(READ_LIMIT)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Opened { connection, identity, log: None, _counted: counted })
    }

    /// Counts a connection that is about to be opened, if it would not mix the log of one file with another.
    fn count(&self, identity: Identity) -> Result<Counted, Failure> {
        let mut open = self.open.lock();
        let log = files::identity(&files::beside(&self.path, "-wal")).ok();
        match open.files {
            // Connections to one file share the index of its log: all must be closed before another log is
            // opened.
            Some((file, before))
                if file == identity && before.is_some() && before != log && open.connections > 0 =>
            {
                return Err(Failure::Unavailable("the write-ahead log was removed while it was in use"));
            }
            Some((file, before)) if file != identity && before.is_some() && before == log => {
                return Err(Failure::OtherLog);
            }
            _ => open.connections += 1,
        }
        Ok(Counted(Arc::clone(&self.open)))
    }

    /// Whether this connection has the files that lie here now.
    pub(crate) fn is_current(&self, opened: &Opened) -> Result<bool, Failure> {
        Ok(self.identity()? == opened.identity && self.has_log(opened))
    }

    /// Whether the log of this connection is still there.
    pub(crate) fn has_log(&self, opened: &Opened) -> bool {
        opened.log.is_none() || files::identity(&files::beside(&self.path, "-wal")).ok() == opened.log
    }

    pub(crate) fn identity(&self) -> Result<Identity, Failure> {
        files::identity(&self.path).map_err(|_| Failure::Unavailable("the database file is gone"))
    }
}
