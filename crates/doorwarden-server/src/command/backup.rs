//! `doorwarden backup`, `restore` and `restored`: copies of the database, and the steps that must follow a
//! restore.

use super::migrate::open_store;
use super::prompt;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{Output, count};
use clap::Args;
use doorwarden::core::flow::restored::{SKIPPED_IDS, restored};
use doorwarden::core::store::{Restored, Store};
use doorwarden::core::time::{Clock, SystemClock};
use doorwarden::{Actor, DatabaseUrl};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// File to write; it must not exist yet
    file: PathBuf,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The copy, made by `doorwarden backup` or another complete copy of the database
    file: PathBuf,
    /// Keep the sessions of the copy: users who have logged out since are logged in again
    #[arg(long)]
    keep_sessions: bool,
    /// Skip the confirmation prompt
    #[arg(long, short)]
    yes: bool,
}

/// Arguments of `restored`.
#[derive(Debug, Args)]
pub(crate) struct AfterRestore {
    /// Keep the sessions of the copy: users who have logged out since are logged in again
    #[arg(long)]
    keep_sessions: bool,
    /// Skip the confirmation prompt
    #[arg(long, short)]
    yes: bool,
}

/// Copies a SQLite database while it is in use.
pub(super) fn backup(config: &Config, arguments: &Backup, out: Output) -> Result<(), Failure> {
    let database = sqlite(config, "back up a PostgreSQL database with `pg_dump`")?;
    if !database.exists() {
        return Err(Failure::unavailable(format!("no database at `{}`", database.display())));
    }
    doorwarden_sqlite::backup(database, &arguments.file)?;
    let file = arguments.file.display().to_string();
    let secret = match (&config.secret_key, config.secret_path()) {
        (None, Some(secret)) => {
            format!("; keep the secret key `{}` too, in another place", secret.display())
        }
        _ => "; the secret key is not included".to_owned(),
    };
    out.done(&format!("Backed up the accounts to `{file}`{secret}"), &json!({ "file": file }))
}

/// Replaces a SQLite database, which no process may be using, with a copy.
pub(super) async fn restore(config: &Config, arguments: &Restore, out: Output) -> Result<(), Failure> {
    let database =
        sqlite(config, "restore a PostgreSQL database with `pg_restore`, then run `doorwarden restored`")?;
    if !arguments.file.exists() {
        return Err(Failure::unavailable(format!("file `{}` not found", arguments.file.display())));
    }
    let question = match arguments.keep_sessions {
        true => "Replace the accounts with the copy, and revoke all signing keys?",
        false => "Replace the accounts with the copy, revoke all signing keys, and end all sessions?",
    };
    prompt::confirm(arguments.yes, question)?;
    let draft = doorwarden_sqlite::beside(database, &format!(".restore-{}", std::process::id()));
    let prepared = prepare(config, arguments, &draft).await;
    let replaced = match &prepared {
        Ok(_) => doorwarden_sqlite::replace(database, &draft).map_err(Failure::from),
        Err(_) => Ok(None),
    };
    for suffix in ["", "-wal", "-shm"] {
        // The temporary file exists only after a failure.
        let _ = std::fs::remove_file(doorwarden_sqlite::beside(&draft, suffix));
    }
    let (done, kept) = (prepared?, replaced?);
    let kept = kept.map(|kept| kept.display().to_string());
    let text = match &kept {
        Some(kept) => format!("{}; kept the previous database as `{kept}`", told(done)),
        None => told(done),
    };
    out.done(&text, &json!({"revoked_keys": done.keys, "ended_sessions": done.sessions, "kept": kept}))
}

/// Prepares the replacement in a file beside the database.
async fn prepare(config: &Config, arguments: &Restore, draft: &Path) -> Result<Restored, Failure> {
    doorwarden_sqlite::backup(&arguments.file, draft)?;
    let unusable =
        |why: String| Failure::no(format!("cannot restore from `{}`: {why}", arguments.file.display()));
    let known = "SELECT count(*) FROM sqlite_master WHERE name = 'doorwarden_migrations'";
    let looked = Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|copy| {
        Ok((copy.query_row(known, (), |row| row.get::<_, i64>(0))?, doorwarden_sqlite::damage(&copy)?))
    });
    match looked {
        Ok((0, _)) => return Err(unusable("it contains no Doorwarden accounts".to_owned())),
        Ok((_, damage)) if !damage.is_empty() => {
            return Err(unusable(format!("it is damaged: {}", damage.join("; "))));
        }
        Ok(_) => {}
        Err(error) => return Err(unusable(error.to_string())),
    }
    let store = doorwarden_sqlite::SqliteStore::open(&doorwarden_sqlite::SqliteOptions::new(draft))?;
    let done = finish(config, &store, arguments.keep_sessions).await;
    store.close().await;
    done
}

/// The steps that must follow `pg_restore`, or a SQLite database copied by hand.
pub(super) async fn after_restore(
    config: &Config,
    arguments: &AfterRestore,
    out: Output,
) -> Result<(), Failure> {
    if let Some(path) = config.sqlite_path().filter(|path| !path.exists()) {
        return Err(Failure::unavailable(format!("no database at `{}`", path.display())));
    }
    let question = match arguments.keep_sessions {
        true => "Revoke all signing keys?",
        false => "Revoke all signing keys, and end all sessions?",
    };
    prompt::confirm(arguments.yes, question)?;
    let store = open_store(config)?;
    let done = finish(config, store.as_ref(), arguments.keep_sessions).await;
    store.close().await;
    let done = done?;
    out.done(&told(done), &json!({"revoked_keys": done.keys, "ended_sessions": done.sessions}))
}

async fn finish(config: &Config, store: &dyn Store, keep_sessions: bool) -> Result<Restored, Failure> {
    match (config.migrate, store.pending_migrations().await?.len()) {
        (_, 0) => {}
        (true, _) => store.migrate().await?,
        (false, _) => {
            return Err(
                Failure::config("the copy is from an earlier version").hint("run `doorwarden migrate`")
            );
        }
    }
    Ok(restored(store, SystemClock.now(), keep_sessions, &Actor::Operator.into()).await?)
}

fn told(done: Restored) -> String {
    format!(
        "Revoked {}, ended {}, and skipped {SKIPPED_IDS} ids",
        count(done.keys, "signing key"),
        count(done.sessions, "session")
    )
}

fn sqlite<'c>(config: &'c Config, hint: &str) -> Result<&'c Path, Failure> {
    let refused = || Failure::usage("this command is for SQLite only").hint(hint);
    DatabaseUrl::sqlite_path(&config.database_url).ok_or_else(refused)
}
