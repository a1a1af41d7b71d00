//! The file of the database, those beside it, and the folder around it.

use doorwarden_core::store::{Reason, StoreError};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Which file on the disk it is: another one may lie at the same path later.
pub(crate) type Identity = (u64, u64);

/// Which file lies here; an error if there is none.
pub(crate) fn identity(path: &Path) -> Result<Identity> {
    let metadata = std::fs::metadata(path)?;
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

/// The file beside a database that has this at the end of its name: `-wal`, `-shm`.
pub fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Creates the folder of a file for its owner alone, and says so: a typing mistake in a path must be seen. A
/// folder whose own folder is missing, too, is refused.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Ok(()) => {
            tracing::warn!(folder = %folder.display(), "made the folder of the database, which was missing");
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::new(
            error.kind(),
            format!("the folder {} is missing, and so is the one that it would be in", folder.display()),
        )),
        Err(error) => Err(error),
    }
}

/// Creates the file for its owner alone if it is missing. One that is there is not even opened: closing it
/// again would give up the locks that other connections of this process have.
pub(crate) fn create_file(path: &Path) -> Result<()> {
    let mut file = std::fs::OpenOptions::new();
    file.write(true).create_new(true);
    // SQLite gives the same mode to the files beside it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    match file.open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Takes every right to a file from all but its owner, and says so. A file that is missing is none's.
///
/// # Errors
/// If others can read it and that cannot be changed, because it belongs to another user.
pub fn keep_private(path: &Path) -> std::result::Result<(), StoreError> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
        let mode = metadata.permissions().mode() & 0o777;
        if !metadata.is_file() || others(&metadata) == 0 {
            return Ok(());
        }
        let private = std::fs::Permissions::from_mode(mode & 0o700);
        let changed = std::fs::set_permissions(path, private).and_then(|()| std::fs::metadata(path));
        let is_private = changed.is_ok_and(|metadata| others(&metadata) == 0);
        if is_private {
            tracing::warn!(file = %path.display(), mode = %format!("{mode:o}"), "others than its owner could use this file; now they cannot");
        } else if mode & 0o044 != 0 {
            let path = path.display();
            let reason = Reason::new(format_args!("others may read {path}, and that cannot be changed"));
            return Err(StoreError::Unavailable(reason.with_hint(format!("chmod 600 {path}"))));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// What others than the owner may do with a file.
#[cfg(unix)]
fn others(metadata: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077
}

/// Refuses a write-ahead log of another file than the database, which was put there by hand: what the log has
/// of the one before would be mixed into it. What is written last is the log, or else the database by a
/// checkpoint, which takes the log's pages in their order.
pub(crate) fn check_log(path: &Path) -> std::result::Result<(), StoreError> {
    let log = beside(path, "-wal");
    if !was_changed_after(path, &log) || checkpoint_has_begun(path, &log).unwrap_or(true) {
        return Ok(());
    }
    let (path, log) = (path.display(), log.display());
    let reason = Reason::new(format_args!(
        "{log} is older than {path} and seems to be of the file that was there before"
    ));
    Err(StoreError::Unavailable(reason.with_hint(format!(
        "if {path} is a copy that was put there, remove {log} and use doorwarden restore the next time; if it is the \
         database itself, touch {log}"
    ))))
}

/// Whether anything happened to the first after the second was written last. Neither `cp -p` nor `mv` can
/// hide it.
#[cfg(unix)]
fn was_changed_after(path: &Path, log: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let changed = |path: &Path| std::fs::metadata(path).map(|file| (file.ctime(), file.ctime_nsec()));
    matches!((changed(path), changed(log)), (Ok(path), Ok(log)) if path > log)
}

#[cfg(not(unix))]
fn was_changed_after(_: &Path, _: &Path) -> bool {
    false
}

/// Whether the first page of the log stands in the database as it stands in the log; an error if the log
/// holds nothing. See <https://www.sqlite.org/fileformat2.html#walformat>.
fn checkpoint_has_begun(path: &Path, log: &Path) -> Result<bool> {
    const FRAME: usize = 24;
    let number = |bytes: &[u8], at: usize| -> Result<u32> {
        let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
        four.map(u32::from_be_bytes).ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))
    };
    let mut log = std::fs::File::open(log)?;
    let mut head = [0; 32];
    log.read_exact(&mut head)?;
    let size = usize::try_from(number(&head, 8)?).map_err(Error::other)?;
    let (mut committed, mut begun) = (BTreeMap::new(), BTreeMap::new());
    let mut frame = vec![0; FRAME + size];
    let mut at = 32_u64;
    while log.read_exact(&mut frame).is_ok() && frame[8..16] == head[16..24] {
        begun.insert(number(&frame, 0)?, at);
        if number(&frame, 4)? > 0 {
            committed.append(&mut begun);
        }
        at += frame.len() as u64;
    }
    let (page, at) = committed.pop_first().ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?;
    log.seek(SeekFrom::Start(at))?;
    log.read_exact(&mut frame)?;
    let mut stored = vec![0; size];
    let mut database = std::fs::File::open(path)?;
    database.seek(SeekFrom::Start(u64::from(page.saturating_sub(1)) * size as u64))?;
    // A page that is not there yet was not taken over.
    Ok(database.read_exact(&mut stored).is_ok() && stored == frame[FRAME..])
}

/// The process that has this database open, if it is another one; 0 if its number cannot be seen from here.
///
/// Called before this process opens the file: closing a file gives up every lock that the process has on it.
pub fn user_of(database: &Path) -> Option<u32> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};
        /// Where every connection with a write-ahead log has a lock as long as it is open; see `UNIX_SHM_DMS`
        /// in SQLite.
        const OPEN: u64 = 128;
        let file = std::fs::OpenOptions::new().read(true).write(true).open(beside(database, "-shm")).ok()?;
        let wanted = Flock {
            start: OPEN,
            length: 1,
            pid: None,
            typ: FlockType::WriteLock,
            offset_type: FlockOffsetType::Set,
        };
        let held = fcntl_getlk(&file, &wanted).ok().flatten()?;
        Some(held.pid.map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs()))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = database;
        None
    }
}
