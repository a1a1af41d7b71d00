//! Whether the signing keys in the database open with the secret key that is configured.

use super::Report;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::count;
use doorwarden::core::store::{Store, StoreError};

const CHECK: &str = "signing keys";

pub(super) async fn check(config: &Config, store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let stored = store.signing_keys().await?.len() as u64;
    if stored == 0 {
        report.ok(CHECK, "the first start will make one");
        return Ok(());
    }
    let is_secret_there = match (&config.secret_key, config.secret_path()) {
        (Some(_), _) => true,
        (None, Some(path)) => path.exists(),
        (None, None) => false,
    };
    if !is_secret_there {
        report.error(
            CHECK,
            format!("{} are sealed under a secret key that is not there", count(stored, "signing key")),
            "restore the secret key; without it delete the rows of doorwarden_keys, which ends every access token",
        );
        return Ok(());
    }
    let opened = match config.command_builder() {
        Ok(builder) => builder.build().await.map_err(Failure::from),
        Err(failure) => Err(failure),
    };
    match opened {
        Ok(accounts) => {
            report.ok(CHECK, format!("{} open with the secret key", count(stored, "signing key")));
            accounts.close().await;
        }
        Err(failure) => report.failure(CHECK, &failure),
    }
    Ok(())
}
