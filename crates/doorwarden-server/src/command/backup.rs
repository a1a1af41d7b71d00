//! `doorwarden backup`, `restore` and `restored`: copies of the accounts, and what must follow when one is used.

use super::migrate::open_store;
use super::prompt;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{Output, count};
use clap::Args;
use doorwarden::DatabaseUrl;
use doorwarden::core::flow::restored::{Restored, SKIPPED_IDS, restored};
use doorwarden::core::store::Store;
use doorwarden::core::time::{Clock, SystemClock};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;
use std::path::{Path, PathBuf};

/// What `backup` takes.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file to write; it must not be there yet
    file: PathBuf,
}

/// What `restore` takes.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The copy, of `doorwarden backup` or another whole copy of the database
    file: PathBuf,
    /// Leave sessions as they are in the copy: who has logged out since is logged in again
    #[arg(long)]
    keep_sessions: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// What `restored` takes.
#[derive(Debug, Args)]
pub(crate) struct AfterRestore {
    /// Leave sessions as they are in the copy: who has logged out since is logged in again
    #[arg(long)]
    keep_sessions: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Copies a SQLite database while it is in use.
pub(super) fn backup(config: &Config, arguments: &Backup, out: Output) -> Result<(), Failure> {
    let database = sqlite(config, "pg_dump makes the copy of a PostgreSQL database")?;
    if !database.exists() {
        return Err(Failure::unavailable(format!("there is no database at {}", database.display())));
    }
    doorwarden_sqlite::backup(database, &arguments.file)?;
    let file = arguments.file.display().to_string();
    let secret = match (&config.secret_key, config.secret_path()) {
        (None, Some(secret)) => {
            format!(" The secret key, {}, is not in it: keep it in another place.", secret.display())
        }
        _ => " The secret key is not in it.".to_owned(),
    };
    out.done(&format!("The accounts are in {file}.{secret}"), &json!({ "file": file }))
}

/// Puts a copy in the place of a SQLite database that nobody uses.
pub(super) async fn restore(config: &Config, arguments: &Restore, out: Output) -> Result<(), Failure> {
    let database = sqlite(config, "pg_restore puts a PostgreSQL database back; then: doorwarden restored")?;
    if !arguments.file.exists() {
        return Err(Failure::unavailable(format!("there is no file {}", arguments.file.display())));
    }
    let question = match arguments.keep_sessions {
        true => "Put the copy in the place of the accounts, and revoke every signing key?",
        false => {
            "Put the copy in the place of the accounts, revoke every signing key, and end every session?"
        }
    };
    prompt::confirm(arguments.yes, question)?;
    let draft = doorwarden_sqlite::beside(database, &format!(".restore-{}", std::process::id()));
    let prepared = prepare(config, arguments, &draft).await;
    let replaced = match &prepared {
        Ok(_) => doorwarden_sqlite::replace(database, &draft).map_err(Failure::from),
        Err(_) => Ok(None),
    };
    for suffix in ["", "-wal", "-shm"] {
        // It is there only if something went wrong.
        let _ = std::fs::remove_file(doorwarden_sqlite::beside(&draft, suffix));
    }
    let (done, kept) = (prepared?, replaced?);
    let kept = kept.map(|kept| kept.display().to_string());
    let text = match &kept {
        Some(kept) => format!("{} What was there before is in {kept}.", told(done)),
        None => told(done),
    };
    out.done(&text, &json!({"revoked_keys": done.keys, "ended_sessions": done.sessions, "kept": kept}))
}

/// Makes of the copy, beside the database, what will take its place.
async fn prepare(config: &Config, arguments: &Restore, draft: &Path) -> Result<Restored, Failure> {
    doorwarden_sqlite::backup(&arguments.file, draft)?;
    let unusable = |why: String| Failure::no(format!("{} cannot be used: {why}", arguments.file.display()));
    let known = "SELECT count(*) FROM sqlite_master WHERE name = 'doorwarden_migrations'";
    let looked = Connection::open_with_flags(draft, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|copy| {
        Ok((copy.query_row(known, (), |row| row.get::<_, i64>(0))?, doorwarden_sqlite::damage(&copy)?))
    });
    match looked {
        Ok((0, _)) => return Err(unusable("it holds no accounts of Doorwarden".to_owned())),
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

/// What `pg_restore` leaves to do; on SQLite what a copy by hand does.
pub(super) async fn after_restore(
    config: &Config,
    arguments: &AfterRestore,
    out: Output,
) -> Result<(), Failure> {
    if let Some(path) = config.sqlite_path().filter(|path| !path.exists()) {
        return Err(Failure::unavailable(format!("there is no database at {}", path.display())));
    }
    let question = match arguments.keep_sessions {
        true => "Revoke every signing key?",
        false => "Revoke every signing key, and end every session?",
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
            return Err(Failure::config("the copy is of an earlier version. hint: doorwarden migrate"));
        }
    }
    Ok(restored(store, SystemClock.now(), keep_sessions).await?)
}

fn told(done: Restored) -> String {
    format!(
        "{} revoked, {} ended, {SKIPPED_IDS} ids skipped.",
        count(done.keys, "signing key"),
        count(done.sessions, "session")
    )
}

fn sqlite<'c>(config: &'c Config, hint: &str) -> Result<&'c Path, Failure> {
    let refused = || Failure::usage(format!("this is for SQLite. hint: {hint}"));
    DatabaseUrl::sqlite_path(&config.database_url).ok_or_else(refused)
}
