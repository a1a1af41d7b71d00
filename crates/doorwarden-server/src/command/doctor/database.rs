//! Checks that the database exists, is up to date and durable, and that its rows are consistent.

use super::{Level, Report, audit, factors, keys, mail, webhooks};
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

/// The largest clock difference without a warning. A larger one makes tokens of one instance not valid for
/// another.
const CLOCK_WARNING: Duration = Duration::from_secs(2);

pub(super) async fn check(config: &Config, repair: bool, report: &mut Report) {
    if let Some(path) = config.sqlite_path().filter(|path| !path.exists()) {
        let text = format!("no database at `{}` yet", path.display());
        return report.warning(
            CHECK,
            text,
            "run `doorwarden migrate`, `createsuperuser` or `serve` to create it",
        );
    }
    let store = match open_store(config) {
        Ok(store) => store,
        Err(error) => return report.failure(CHECK, &error.into()),
    };
    if let Err(error) = look(config, repair, store.as_ref(), report).await {
        let advice = error.hint().unwrap_or(match &error {
            StoreError::Unavailable(_) => {
                "check that the database is running and that `database_url` is correct"
            }
            StoreError::Failed(_) | StoreError::Spent => "check the log of the database",
        });
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
    report.ok(CHECK, format!("{} responds in {} ms", facts.version, after.since(before).as_millis()));
    durability(&facts, report);
    let damage = store.damage().await?;
    match damage.is_empty() {
        true if store.kind() == "sqlite" => report.ok("integrity", "the database is not damaged"),
        true => {}
        false => report.error(
            "integrity",
            format!("the database is damaged: {}", damage.join("; ")),
            "restore a copy with `doorwarden restore`",
        ),
    }
    if let Some(theirs) = facts.now {
        // The database read its clock at some moment between these two readings.
        let skew = theirs.since(after).max(before.since(theirs));
        clock(skew, report);
    }
    match store.pending_migrations().await {
        Ok(pending) if pending.is_empty() => report.ok("schema", "up to date"),
        Ok(pending) => {
            let text =
                format!("{} pending: {}", count(pending.len() as u64, "migration"), pending.join(", "));
            report.error("schema", text, "run `doorwarden migrate`");
        }
        Err(MigrateError::Store(error)) => return Err(error),
        Err(error) => report.failure("schema", &Failure::from(error)),
    }
    if !report.has("schema", Level::Error) {
        let users = store.count_users_by_algorithm().await?;
        passwords(&users, report);
        identities(repair, store, report).await?;
        mail::queue(store, report).await?;
        webhooks::queue(store, config, report).await?;
        audit::check(store, report).await?;
    }
    // Opening the keys needs a valid configuration; its errors were reported already.
    if !report.has("schema", Level::Error) && !report.has("configuration", Level::Error) {
        keys::check(config, store, report).await?;
        factors::stored(config, store, report).await?;
    }
    Ok(())
}

/// Reports two users with one email address or username: SQL written by hand can bypass the rules of
/// registration.
async fn identities(repair: bool, store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    const CHECK: &str = "users";
    if repair {
        store.doubt_keys().await?;
        store.resolve_keys().await?;
        report.ok(CHECK, "recomputed the keys of emails and usernames");
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
                || "a deleted user".to_owned(),
                |user| format!("user {} (`{}`, `{}`)", user.id, user.username, user.email),
            )
        };
        let (what, follows) = match collision.field {
            "email" => ("email", "the former cannot log in"),
            _ => ("username", "searches by username do not find the former"),
        };
        report.warning(
            CHECK,
            format!("{} has the {what} of {}: {follows}", named(younger), named(older)),
            "change or delete one of them, then run `doorwarden doctor --repair`",
        );
    }
    if collisions.is_empty() {
        report.ok(CHECK, "all emails and usernames are unique");
    }
    Ok(())
}

fn durability(facts: &StoreFacts, report: &mut Report) {
    for setting in facts.durability.iter().filter(|setting| !setting.safe) {
        report.error(
            "durability",
            format!("`{}` is `{}`: a crash may lose committed accounts", setting.name, setting.value),
            format!("set `{}` in the configuration of the database", setting.name),
        );
    }
    if !report.has("durability", Level::Error) {
        let settings: Vec<_> = facts.durability.iter().map(|s| format!("{} {}", s.name, s.value)).collect();
        report.ok("durability", settings.join(", "));
    }
}

fn clock(skew: Duration, report: &mut Report) {
    let text = format!("the database's clock differs from this machine's by {:.1} s", skew.as_secs_f64());
    let advice = "synchronize both with a time server";
    if skew > TOLERATED {
        report.error("clock", text, advice);
    } else if skew >= CLOCK_WARNING {
        report.warning("clock", text, advice);
    } else {
        report.ok("clock", "this machine and the database agree");
    }
}

/// Reports accounts whose hash differs from new ones in algorithm or cost: verification takes a different
/// time, which an attacker can measure.
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
                format!("{them} with {name}, which gives little protection if the database is stolen"),
                "each hash is upgraded at the next login; change the other passwords, or deactivate the users",
            ),
            Algorithm::Unknown => report.warning(
                CHECK,
                format!("{them} with an unreadable hash (`{name}`): these users cannot log in"),
                "run `doorwarden changepassword`",
            ),
            _ => report.ok(
                CHECK,
                format!(
                    "{them} with {name}; their login times differ from others until they have logged in once"
                ),
            ),
        }
    }
}
