//! Copies of a database, and how one is put in its place.

use crate::files::{beside, keep_private, user_of};
use doorwarden_core::store::{Reason, StoreError};
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a copy waits for whoever has locked the whole database.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes a whole copy of a database, as it is at one moment, into a new file that only its owner may read.
/// Others may go on working with the database. The copy is on the disk when this returns.
///
/// # Errors
/// If the database cannot be read, or there is a file of the new name already, which stays as it is.
pub fn backup(database: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |path: &Path, why: &dyn std::fmt::Display| {
        StoreError::unavailable(format_args!("{}: {why}", path.display()))
    };
    if to.exists() {
        return Err(failed(to, &"there is such a file already, which is not overwritten"));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let from = Connection::open_with_flags(database, flags).map_err(|error| failed(database, &error))?;
    from.busy_timeout(PATIENCE).map_err(|error| failed(database, &error))?;
    // Whole or not at all: under another name first.
    let draft = beside(to, &format!(".part-{}", std::process::id()));
    let written = draft.to_str().ok_or_else(|| failed(to, &"its name is no text")).and_then(|name| {
        let file = create(&draft).map_err(|error| failed(to, &error))?;
        from.execute("VACUUM INTO ?1", [name]).map_err(|error| failed(database, &error))?;
        let kept =
            file.sync_all().and_then(|()| std::fs::hard_link(&draft, to)).and_then(|()| sync_folder(to));
        kept.map_err(|error| failed(to, &error))
    });
    // What stays behind after a failure is no database that anybody opens.
    let _ = std::fs::remove_file(&draft);
    written
}

fn create(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// What is damaged in a database, in SQLite's words; empty if nothing is.
///
/// # Errors
/// If it cannot be read at all.
pub fn damage(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    // Not `quick_check`, which does not compare indexes with their tables: that is what a wrong log damages.
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    let found = statement.query_map((), |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(found.into_iter().filter(|line| line != "ok").collect())
}

/// Replaces a database that is not in use with the file `with`. The previous database is kept beside it, with
/// its log, under a name that is returned.
///
/// # Errors
/// If the database is in use, or the files cannot be moved.
pub fn replace(database: &Path, with: &Path) -> Result<Option<PathBuf>, StoreError> {
    let failed =
        |error: std::io::Error| StoreError::unavailable(format_args!("{}: {error}", database.display()));
    if let Some(pid) = user_of(database) {
        let who =
            if pid == 0 { "another process".to_owned() } else { format!("another process (PID {pid})") };
        let reason = Reason::new(format_args!("{who} uses {}", database.display()));
        return Err(StoreError::Unavailable(reason.with_hint("stop the service first")));
    }
    let kept = keep(database).map_err(failed)?;
    std::fs::rename(with, database).and_then(|()| sync_folder(database)).map_err(failed)?;
    keep_private(database)?;
    Ok(kept)
}

/// Keeps a database under a free name. Until the new one takes its place, there is one at every moment.
fn keep(database: &Path) -> std::io::Result<Option<PathBuf>> {
    if !database.exists() {
        return Ok(None);
    }
    let names =
        (1..).map(|n| if n == 1 { ".before-restore".to_owned() } else { format!(".before-restore-{n}") });
    let free = names.map(|name| beside(database, &name)).find(|path| !path.exists());
    let Some(kept) = free else { return Ok(None) };
    std::fs::hard_link(database, &kept)?;
    let log = beside(database, "-wal");
    if log.exists() {
        std::fs::rename(&log, beside(&kept, "-wal"))?;
    }
    let index = beside(database, "-shm");
    if index.exists() {
        std::fs::remove_file(index)?;
    }
    Ok(Some(kept))
}

/// Makes names in the folder of this file survive the loss of power.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}
