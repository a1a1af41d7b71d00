use crate::config::Config;
use crate::failure::Failure;
use crate::output::{Output, count};
use doorwarden::core::flow::permissions::declare_permissions;
use doorwarden::core::store::Store;
use doorwarden::core::time::{Clock, SystemClock};
use doorwarden::{Actor, BuildError};
use serde_json::json;
use std::sync::Arc;

/// Applies pending migrations and declares the configured permissions; with `check` only lists them.
pub(super) async fn run(config: &Config, check: bool, out: Output) -> Result<(), Failure> {
    if let (true, Some(path)) = (check, config.sqlite_path().filter(|path| !path.exists())) {
        return Err(
            Failure::no(format!("no database at `{}`", path.display())).hint("run `doorwarden migrate`")
        );
    }
    let permissions = config.declared_permissions()?;
    let store = open_store(config)?;
    let pending = store.pending_migrations().await?;
    if check {
        report(out, "pending", &pending)?;
        store.close().await;
        return match pending.len() {
            0 => Ok(()),
            n => Err(Failure::no(format!("{} pending", count(n as u64, "migration")))
                .hint("run `doorwarden migrate`")),
        };
    }
    store.migrate().await?;
    if !permissions.is_empty() {
        let (at, origin) = (SystemClock.now(), Actor::Operator.into());
        declare_permissions(store.as_ref(), &permissions, at, &origin).await?;
    }
    store.close().await;
    report(out, "applied", &pending)
}

/// Applies pending migrations only.
pub(super) fn open_store(config: &Config) -> Result<Arc<dyn Store>, BuildError> {
    doorwarden::Doorwarden::builder().database_url(config.database_url.as_str()).open_store()
}

fn report(out: Output, word: &str, names: &[String]) -> Result<(), Failure> {
    if names.is_empty() {
        return out.done("The database schema is up to date", &json!({ word: names }));
    }
    let sentence = match word {
        "applied" => format!("Applied {}: {}", count(names.len() as u64, "migration"), names.join(", ")),
        _ => format!("Pending: {}", names.join(", ")),
    };
    out.done(&sentence, &json!({ word: names }))
}
