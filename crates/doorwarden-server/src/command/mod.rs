//! The commands, one file each.

pub(crate) mod backup;
mod config;
pub(crate) mod doctor;
pub(crate) mod group;
pub(crate) mod import;
pub(crate) mod key;
mod migrate;
pub(crate) mod password;
pub(crate) mod permission;
mod prompt;
pub(crate) mod secret;
pub(crate) mod superuser;
pub(crate) mod token;
pub(crate) mod user;

use crate::cli::{Cli, Command};
use crate::config::{Config, Environment, Loaded};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::serve;
use clap::CommandFactory;
use doorwarden::{Builder, Doorwarden, User, UserId};
use tracing_subscriber::filter::LevelFilter;

pub(crate) async fn run(mut cli: Cli) -> Result<(), Failure> {
    let out = Output::new(cli.global.json);
    // These two help to find the way back from a wrong configuration, so they read none.
    match &cli.command {
        Command::Config { reference: true, .. } => return config::reference(),
        Command::Config { schema: true, .. } => return config::schema(),
        Command::Completions { shell } => return completions(*shell),
        _ => {}
    }
    if let Command::Serve { listen: Some(listen) } = &cli.command {
        cli.global.set.push(format!("listen={listen}"));
    }
    let environment = Environment::new(std::env::vars_os())?;
    let loaded = Loaded::read(&cli.global, &environment);
    if let Command::Doctor(arguments) = cli.command {
        log();
        return doctor::run(loaded, &arguments, out).await;
    }
    let loaded = loaded?;
    if let Command::Serve { .. } = &cli.command {
        return serve::run(loaded.config).await;
    }
    log();
    for warning in &loaded.config.warnings {
        output::tell(&format!("doorwarden: warning: {warning}"));
    }
    let config = &loaded.config;
    match cli.command {
        Command::Migrate { check } => migrate::run(config, check, out).await,
        Command::Createsuperuser(arguments) => superuser::run(config, arguments, &environment, out).await,
        Command::Import(from) => import::run(config, from, out.is_json()).await,
        Command::Config { .. } => config::show(&loaded, out),
        Command::Secret(command) => secret::run(config, command, out).await,
        Command::Backup(arguments) => backup::backup(config, &arguments, out),
        Command::Restore(arguments) => backup::restore(config, &arguments, out).await,
        Command::Restored(arguments) => backup::after_restore(config, &arguments, out).await,
        command => {
            let accounts = match command {
                Command::Token(_) | Command::Key(key::Subcommands::Rotate) => open_with_keys(config).await?,
                // A key can be revoked also by who cannot make the next one.
                Command::Key(key::Subcommands::Revoke { .. }) => match open_with_keys(config).await {
                    Ok(accounts) => accounts,
                    Err(_) => open(config).await?,
                },
                _ => open(config).await?,
            };
            let result = match command {
                Command::Changepassword(arguments) => password::run(&accounts, &arguments, out).await,
                Command::User(command) => user::run(&accounts, command, out).await,
                Command::Group(command) => group::run(&accounts, command, out).await,
                Command::Permission(command) => permission::run(&accounts, command, out).await,
                Command::Key(command) => key::run(&accounts, command, out).await,
                Command::Token(command) => token::run(&accounts, command, out).await,
                _ => unreachable!("every other command has returned"),
            };
            accounts.close().await;
            result
        }
    }
}

/// What the library logs while a command runs: only what is wrong.
fn log() {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .init();
}

/// The accounts, for a command that works on a database that is there and up to date. It can neither make nor judge tokens, so it works
/// also when the secret key is lost.
async fn open(config: &Config) -> Result<Doorwarden, Failure> {
    is_there(config)?;
    build(config.command_builder()?.without_keys()).await
}

/// The same for a command about tokens.
async fn open_with_keys(config: &Config) -> Result<Doorwarden, Failure> {
    is_there(config)?;
    build(config.command_builder()?).await
}

fn is_there(config: &Config) -> Result<(), Failure> {
    if let Some(path) = config.sqlite_path()
        && !path.exists()
    {
        return Err(Failure::unavailable(format!(
            "there is no database at {}. hint: doorwarden migrate makes one",
            path.display()
        )));
    }
    Ok(())
}

async fn build(builder: Builder) -> Result<Doorwarden, Failure> {
    Ok(builder.build().await?)
}

/// The user whom somebody means: an e-mail address, or an id.
async fn user(accounts: &Doorwarden, named: &str) -> Result<User, Failure> {
    let users = accounts.users();
    let (found, kind) = match named.parse() {
        Ok(id) => (users.get(UserId(id)).await?, "id"),
        Err(_) => (users.get_by_email(named).await?, "e-mail address"),
    };
    found.ok_or_else(|| Failure::not_found(format!("there is no user with the {kind} {named}")))
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "doorwarden", &mut script);
    Ok(std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?)
}
