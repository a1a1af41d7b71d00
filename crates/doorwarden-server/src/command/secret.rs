//! `doorwarden secret`: what to do when the secret key has leaked, or is lost.

use super::prompt;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{Output, count, tell};
use clap::Subcommand;
use doorwarden::OldSecretKey;
use serde_json::json;

/// What can be done about the secret key.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// End everything that came of a secret key that has leaked or is lost: every signing key is revoked and made anew, everybody is
    /// signed out. Stop the service first, and configure another secret key; the one beside a SQLite database is made anew
    Revoke {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

pub(super) async fn run(config: &Config, command: Subcommands, out: Output) -> Result<(), Failure> {
    let Subcommands::Revoke { yes } = command;
    if let Some(path) = config.sqlite_path().filter(|path| !path.exists()) {
        return Err(Failure::unavailable(format!("there is no database at {}", path.display())));
    }
    prompt::confirm(
        yes,
        "Is the service stopped, and the secret key that is configured now another one? Revoke every signing key, and sign out everybody?",
    )?;
    if config.old_secret_keys.iter().any(|(_, good_for)| *good_for != OldSecretKey::OpensKeys) {
        tell(
            "doorwarden: warning: tokens under old_secret_keys are still accepted: take out the one that has leaked",
        );
    }
    let ended = config.command_builder()?.revoke_secret_key().await?;
    if let Some(file) = &ended.file {
        tell(&format!("A new secret key lies in {}.", file.display()));
    }
    let text =
        format!("{} revoked, {} signed out.", count(ended.keys, "signing key"), count(ended.users, "user"));
    out.done(&text, &json!({"revoked_keys": ended.keys, "signed_out_users": ended.users}))
}
