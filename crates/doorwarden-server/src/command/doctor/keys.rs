//! Checks that the configured secret key opens the signing keys in the database.

use super::Report;
use crate::config::Config;
use doorwarden::core::store::{Store, StoreError};

const CHECK: &str = "signing keys";

/// Whether there is a secret key, without which nothing can be opened.
pub(super) fn is_secret_there(config: &Config) -> bool {
    match (&config.secret_key, config.secret_path()) {
        (Some(_), _) => true,
        (None, Some(path)) => path.exists(),
        (None, None) => false,
    }
}

pub(super) async fn check(config: &Config, store: &dyn Store, report: &mut Report) -> Result<(), StoreError> {
    let stored = store.signing_keys().await?.len();
    if stored == 0 {
        report.ok(CHECK, "the first start will create one");
        return Ok(());
    }
    if !is_secret_there(config) {
        report.error(
            CHECK,
            format!("the signing keys in the database ({stored}) are sealed under a secret key that is missing"),
            "restore the secret key; if it is lost, run `doorwarden secret revoke`, which invalidates everything derived from it",
        );
        return Ok(());
    }
    let Ok(builder) = config.command_builder() else { return Ok(()) };
    match builder.build().await {
        Ok(auth) => {
            report.ok(CHECK, format!("the signing keys in the database ({stored}) open with the secret key"));
            auth.close().await;
        }
        Err(error) => report.failure(CHECK, &error.into()),
    }
    Ok(())
}
