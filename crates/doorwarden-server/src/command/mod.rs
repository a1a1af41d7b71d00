//! The commands, one file each.

mod config;
pub(crate) mod import;
mod migrate;
mod password;

use crate::cli::{Cli, Command};
use crate::config::{Config, Loaded, Source};
use crate::failure::Failure;
use crate::serve;
use doorwarden::{Doorwarden, User};

pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    let mut loaded = Loaded::read(&cli.global, |name| std::env::var(name).ok())?;
    let json = cli.global.json;
    match cli.command {
        Command::Serve { listen } => {
            if let Some(listen) = listen {
                loaded.set("listen", &listen, Source::Flag)?;
            }
            serve::run(loaded.config).await
        }
        Command::Migrate { check } => migrate::run(&loaded.config, check).await,
        Command::Changepassword { email, password_stdin } => {
            password::change(&open(&loaded.config).await?, &email, password_stdin).await
        }
        Command::Import(from) => import::run(&loaded.config, from, json).await,
        Command::Config { reference } => {
            if reference {
                config::reference();
            } else {
                config::show(&loaded, json);
            }
            Ok(())
        }
    }
}

/// The accounts, for a command that works on them.
async fn open(config: &Config) -> Result<Doorwarden, Failure> {
    Ok(config.builder()?.build().await?)
}

/// The user of this address.
async fn user(accounts: &Doorwarden, email: &str) -> Result<User, Failure> {
    let user = accounts.users().get_by_email(email).await?;
    user.ok_or_else(|| Failure::not_found(format!("there is no user with the e-mail address {email}")))
}
