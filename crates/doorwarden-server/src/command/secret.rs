//! `doorwarden secret`: responds to a leaked or lost secret key.

use super::prompt;
use crate::config::Config;
use crate::failure::{Failure, Message};
use crate::output::{Output, count, tell};
use clap::Subcommand;
use doorwarden::OldSecretKey;
use serde_json::json;

/// Subcommands of `secret`.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// Invalidate everything derived from a leaked or lost secret key: all signing keys are revoked and
    /// replaced, and all users are signed out. Stop the service first, and configure another secret key; the
    /// one beside a SQLite database is replaced
    Revoke {
        /// Skip the confirmation prompt
        #[arg(long, short)]
        yes: bool,
    },
}

pub(super) async fn run(config: &Config, command: Subcommands, out: Output) -> Result<(), Failure> {
    let Subcommands::Revoke { yes } = command;
    if let Some(path) = config.sqlite_path().filter(|path| !path.exists()) {
        return Err(Failure::unavailable(format!("no database at `{}`", path.display())));
    }
    prompt::confirm(
        yes,
        "Is the service stopped, and another secret key configured? Revoke all signing keys, and sign out all users?",
    )?;
    if config.old_secret_keys.iter().any(|(_, good_for)| *good_for != OldSecretKey::OpensKeys) {
        let warning = Message::new("tokens under `old_secret_keys` are still accepted");
        tell(&format!("warning: {}", warning.hint("remove the leaked key from `old_secret_keys`")));
    }
    let ended = config.command_builder()?.revoke_secret_key().await?;
    if let Some(file) = &ended.file {
        tell(&format!("Created a new secret key in `{}`", file.display()));
    }
    let text =
        format!("Revoked {} and signed out {}", count(ended.keys, "signing key"), count(ended.users, "user"));
    out.done(&text, &json!({"revoked_keys": ended.keys, "signed_out_users": ended.users}))
}
