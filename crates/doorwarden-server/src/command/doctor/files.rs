//! Checks the permissions of the files.

use super::{Report, secrets};
use crate::config::Loaded;
use std::path::Path;

const CHECK: &str = "files";

pub(super) fn check(loaded: &Loaded, report: &mut Report) {
    if let Some(file) = &loaded.file {
        configuration(loaded, file, report);
    }
    let Some(database) = loaded.config.sqlite_path() else { return };
    if let Some(former) = loaded.config.database_url.former_path().filter(|former| former.exists()) {
        let (former, now) = (former.display(), database.display());
        report.warning(
            CHECK,
            format!("an earlier version used the whole URL as the file name and left accounts in `{former}`"),
            format!("with the service stopped, move it and its `.secret`, `-wal` and `-shm` files to `{now}`, or away"),
        );
    }
    for suffix in ["", "-wal", "-shm"] {
        only_ours(&doorwarden_sqlite::beside(database, suffix), "contains all accounts", report);
    }
    if let (None, Some(secret)) = (&loaded.config.secret_key, loaded.config.secret_path()) {
        only_ours(&secret, "contains the secret key", report);
        match std::fs::read_to_string(&secret) {
            Ok(key) => {
                secrets::judge(&format!("the secret key in `{}`", secret.display()), key.trim(), report);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                report
                    .ok(CHECK, format!("the first start will create a secret key in `{}`", secret.display()));
            }
            Err(error) => {
                let text = format!("cannot read `{}`: {error}", secret.display());
                report.error(CHECK, text, "run `doorwarden doctor` as the user that runs the service");
            }
        }
    }
}

fn configuration(loaded: &Loaded, file: &Path, report: &mut Report) {
    let Some(mode) = mode(file) else { return };
    let shown = file.display();
    if mode & 0o002 != 0 {
        report.error(CHECK, format!("`{shown}` is world-writable"), format!("run `chmod o-w {shown}`"));
    } else if loaded.file_holds_secrets() && mode & 0o004 != 0 {
        let text = format!("`{shown}` contains secrets and is world-readable");
        report.error(
            CHECK,
            text,
            format!("run `chmod 640 {shown}`, or move the secrets to files of their own or the environment"),
        );
    } else {
        report.ok(CHECK, format!("`{shown}` has mode {mode:o}"));
    }
}

/// A file that only its owner should read and write.
fn only_ours(path: &Path, why: &str, report: &mut Report) {
    let Some(mode) = mode(path) else { return };
    let shown = path.display();
    match mode & 0o077 {
        0 => report.ok(CHECK, format!("only the owner can read `{shown}`")),
        _ => report.error(
            CHECK,
            format!("`{shown}` {why} and is accessible to other users (mode {mode:o})"),
            format!("run `chmod 600 {shown}`"),
        ),
    }
}

/// The permission bits of an existing file.
#[cfg(unix)]
fn mode(path: &Path) -> Option<u32> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777)
}

/// Systems without permission bits have nothing to check.
#[cfg(not(unix))]
fn mode(_: &Path) -> Option<u32> {
    None
}
