//! Whether the database is there, up to date and durable, and what it holds.

use super::{Level, Report, keys};
use crate::command::migrate::open_store;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::count;
use doorwarden::core::password::Algorithm;
use doorwarden::core::skew::TOLERATED;
use doorwarden::core::store::{MigrateError, Store, StoreError, StoreFacts};
use doorwarden::core::time::{Clock, SystemClock};
use doorwarden::core::user::User;
use std::time::Duration;

const CHECK: &str = "database";

/// Clocks that differ more make tokens of one instance wrong for another.
const CLOCK_WARNING: Duration = Duration::from_secs(2);

pub(super) async fn check(config: &Config, repair: bool, report: &mut Report) {
    if let Some(path) = config.sqlite_path().filter(|path| !path.exists()) {
        let text = format!("there is no database at {} yet", path.display());
        return report.warning(CHECK, text, "doorwarden migrate, createsuperuser and serve make one");
    }
    let store = match open_store(config) {
        Ok(store) => store,
        Err(error) => return report.failure(CHECK, &error.into()),
    };
    if let Err(error) = look(config, repair, store.as_ref(), report).await {
        let advice = match &error {
            StoreError::Unavailable(_) => "is it running, and is database_url right?",
            StoreError::Failed(_) => "look into the log of the database",
        };
        report.error(CHECK, error.to_string(), advice);
    }
    store.close().await;
}

async fn look(
    config: &Config,
    repair: bool,
    store: &dyn Store,
    report: &mut Report,
) -> Result<(), StoreError> {
    let before = SystemClock.now();
    let facts = store.facts().await?;
    let after = SystemClock.now();
    report.ok(CHECK, format!("{} answers in {} ms", facts.version, after.since(before).as_millis()));
    durability(&facts, report);
    let damage = store.damage().await?;
    match damage.is_empty() {
        true if store.kind() == "sqlite" => report.ok("integrity", "nothing of the database is damaged"),
        true => {}
        false => report.error(
            "integrity",
            format!("the database is damaged: {}", damage.join("; ")),
            "doorwarden restore puts a copy back",
        ),
    }
    if let Some(theirs) = facts.now {
        // It was read at some moment between the two.
        let skew = theirs.since(after).max(before.since(theirs));
        clock(skew, report);
    }
    match store.pending_migrations().await {
        Ok(pending) if pending.is_empty() => report.ok("schema", "it is up to date"),
        Ok(pending) => {
            let text =
                format!("{} to be run: {}", count(pending.len() as u64, "migration"), pending.join(", "));
            report.error("schema", text, "doorwarden migrate");
        }
        Err(MigrateError::Store(error)) => return Err(error),
        Err(error) => report.failure("schema", &Failure::from(error)),
    }
    if !report.has("schema", Level::Error) {
        let users = store.count_users_by_algorithm().await?;
        passwords(&users, report);
        identities(repair, store, report).await?;
    }
    // Opening the keys takes the whole configuration; what is wrong with it was told already.
    if !report.has("schema", Level::Error) && !report.has("configuration", Level::Error) {
        keys::check(config, store, report).await?;
    }
    Ok(())
}

/// Tells of two users with one address or name: SQL by hand can write what no registration may.
async fn identities(repair: bool, store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    const CHECK: &str = "users";
    if repair {
        store.doubt_keys().await?;
        store.resolve_keys().await?;
        report.ok(CHECK, "the keys of addresses and names were made anew");
    }
    let collisions = store.key_collisions().await?;
    for collision in &collisions {
        let younger = store.user(collision.younger).await?;
        let older = match collision.older {
            Some(id) => store.user(id).await?,
            None => None,
        };
        let named = |user: Option<User>| {
            user.map_or_else(
                || "nobody".to_owned(),
                |user| format!("user {} ({}, {})", user.id, user.username, user.email),
            )
        };
        let (what, follows) = match collision.field {
            "email" => ("e-mail address", "no login finds the former"),
            _ => ("user name", "no search by name finds the former"),
        };
        report.warning(
            CHECK,
            format!("{} has the {what} of {}: {follows}", named(younger), named(older)),
            "give one of them another, or delete it; then doorwarden doctor --repair",
        );
    }
    if collisions.is_empty() {
        report.ok(CHECK, "no two have one address or name");
    }
    Ok(())
}

fn durability(facts: &StoreFacts, report: &mut Report) {
    for setting in facts.durability.iter().filter(|setting| !setting.safe) {
        report.error(
            "durability",
            format!("{} is {}: a crash may lose accounts that were confirmed", setting.name, setting.value),
            format!("set {} in the configuration of the database", setting.name),
        );
    }
    if !report.has("durability", Level::Error) {
        let settings: Vec<_> = facts.durability.iter().map(|s| format!("{} {}", s.name, s.value)).collect();
        report.ok("durability", settings.join(", "));
    }
}

fn clock(skew: Duration, report: &mut Report) {
    let text = format!("the database's clock differs from this machine's by {:.1} s", skew.as_secs_f64());
    let advice = "let both follow a time server";
    if skew > TOLERATED {
        report.error("clock", text, advice);
    } else if skew >= CLOCK_WARNING {
        report.warning("clock", text, advice);
    } else {
        report.ok("clock", "this machine's and the database's agree");
    }
}

/// Tells which accounts still have another hash than new ones: they take another time to verify, which is measurable from
/// outside.
fn passwords(users: &[(String, u64)], report: &mut Report) {
    const CHECK: &str = "passwords";
    for (name, users) in users {
        let algorithm = match name.as_str() {
            "!" => Algorithm::Unusable,
            name => Algorithm::ALL.into_iter().find(|a| a.as_str() == name).unwrap_or(Algorithm::Unknown),
        };
        let them = count(*users, "account");
        match algorithm {
            Algorithm::Argon2 => report.ok(CHECK, format!("{them} with argon2")),
            Algorithm::Unusable => report.ok(CHECK, format!("{them} without a password")),
            Algorithm::Md5
            | Algorithm::Sha1
            | Algorithm::UnsaltedMd5
            | Algorithm::UnsaltedSha1
            | Algorithm::Pbkdf2Sha1 => report.warning(
                CHECK,
                format!("{them} with {name}, which protects little if the database is stolen"),
                "each is hashed anew at its next login; give the others a new password, or switch them off",
            ),
            Algorithm::Unknown => report.warning(
                CHECK,
                format!("{them} with a hash that cannot be read (\"{name}\"): nobody can log in there"),
                "doorwarden changepassword",
            ),
            _ => report.ok(
                CHECK,
                format!(
                    "{them} with {name}; their logins take another time than others until each has logged in once"
                ),
            ),
        }
    }
}
