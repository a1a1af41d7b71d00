//! The commands, one file or directory each.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod breached;
mod config;
pub(crate) mod doctor;
pub(crate) mod factor;
pub(crate) mod group;
pub(crate) mod import;
pub(crate) mod invitation;
pub(crate) mod key;
pub(crate) mod mail;
mod migrate;
pub(crate) mod password;
pub(crate) mod permission;
mod progress;
mod prompt;
pub(crate) mod secret;
pub(crate) mod superuser;
pub(crate) mod token;
pub(crate) mod user;
pub(crate) mod webhook;

use crate::cli::{AccountsCommand, Cli, Command, Global};
use crate::config::{Config, Environment, Loaded};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::serve;
use clap::CommandFactory;
use doorwarden::{Builder, Doorwarden, User, UserId};
use tracing_subscriber::filter::LevelFilter;

pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { mut global, command } = cli;
    let out = Output::new(global.json);
    match command {
        // These commands help to repair a configuration, so they do not read it.
        Command::Config { reference: true, .. } => config::reference(),
        Command::Config { schema: true, .. } => config::schema(),
        Command::Completions { shell } => completions(shell),
        Command::Doctor(arguments) => {
            log();
            doctor::run(load(&global), &arguments, out).await
        }
        Command::Serve { listen } => {
            global.set.extend(listen.map(|listen| format!("listen={listen}")));
            serve::run(load(&global)?.config).await
        }
        Command::Config { .. } => config::show(&begin(&global)?, out),
        Command::Migrate { check } => migrate::run(&begin(&global)?.config, check, out).await,
        Command::Createsuperuser(arguments) => {
            superuser::run(&begin(&global)?.config, arguments, &environment()?, out).await
        }
        Command::Import(from) => import::run(&begin(&global)?.config, from, out.is_json()).await,
        Command::Breached(command) => breached::run(&begin(&global)?.config, command, out),
        Command::Secret(command) => secret::run(&begin(&global)?.config, command, out).await,
        Command::Factor(command) => factor::run(&begin(&global)?.config, command, out).await,
        Command::Invitation(command) => invitation::run(&begin(&global)?.config, command, out).await,
        Command::Mail(command) => mail::run(&begin(&global)?.config, command, out).await,
        Command::Webhook(command) => webhook::run(&begin(&global)?.config, command, out).await,
        Command::Audit(command) => audit::run(&begin(&global)?.config, command, out).await,
        Command::Backup(arguments) => backup::backup(&begin(&global)?.config, &arguments, out),
        Command::Restore(arguments) => backup::restore(&begin(&global)?.config, &arguments, out).await,
        Command::Restored(arguments) => backup::after_restore(&begin(&global)?.config, &arguments, out).await,
        Command::Accounts(command) => run_on_accounts(&begin(&global)?.config, command, out).await,
    }
}

async fn run_on_accounts(config: &Config, command: AccountsCommand, out: Output) -> Result<(), Failure> {
    let auth = match command {
        AccountsCommand::Token(_) | AccountsCommand::Key(key::Subcommands::Rotate) => {
            open_with_keys(config).await?
        }
        // Revoking a key must work without the secret key that creating the next one needs.
        AccountsCommand::Key(key::Subcommands::Revoke { .. }) => match open_with_keys(config).await {
            Ok(auth) => auth,
            Err(_) => open(config).await?,
        },
        AccountsCommand::Changepassword(_) => open_to_tell(config).await?,
        _ => open(config).await?,
    };
    let result = match command {
        AccountsCommand::Changepassword(arguments) => password::run(&auth, &arguments, out).await,
        AccountsCommand::User(command) => user::run(&auth, command, out).await,
        AccountsCommand::Group(command) => group::run(&auth, command, out).await,
        AccountsCommand::Permission(command) => permission::run(&auth, command, out).await,
        AccountsCommand::Key(command) => key::run(&auth, command, out).await,
        AccountsCommand::Token(command) => token::run(&auth, command, out).await,
    };
    auth.close().await;
    result
}

fn environment() -> Result<Environment, Failure> {
    Environment::new(std::env::vars_os())
}

fn load(global: &Global) -> Result<Loaded, Failure> {
    Loaded::read(global, &environment()?)
}

/// Loads the configuration of a command other than `serve`, and prints its warnings.
fn begin(global: &Global) -> Result<Loaded, Failure> {
    let loaded = load(global)?;
    log();
    for warning in &loaded.config.warnings {
        output::tell(&format!("warning: {warning}"));
    }
    Ok(loaded)
}

/// While a command runs, only warnings and errors of the library are logged.
fn log() {
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .init();
}

/// The library, for a command on a database that exists and is up to date. It can neither issue nor verify
/// tokens, so it works even if the secret key is lost.
async fn open(config: &Config) -> Result<Doorwarden, Failure> {
    is_there(config)?;
    build(config.command_builder()?.without_keys()).await
}

/// As [`open`], for a command that issues or verifies tokens.
async fn open_with_keys(config: &Config) -> Result<Doorwarden, Failure> {
    is_there(config)?;
    build(config.command_builder()?).await
}

/// As [`open`], for a command that mails something, if mails are sent. What is mailed is sealed with the
/// secret key, for the service to send.
async fn open_to_mail(config: &Config) -> Result<Doorwarden, Failure> {
    let Some(mailing) = config.mailing()? else { return open(config).await };
    is_there(config)?;
    build(config.command_builder()?.mailer(mailing.mailer())).await
}

/// As [`open_to_mail`], for a command that must work even if nothing can be mailed.
async fn open_to_tell(config: &Config) -> Result<Doorwarden, Failure> {
    match open_to_mail(config).await {
        Ok(auth) => Ok(auth),
        Err(_) => open(config).await,
    }
}

fn is_there(config: &Config) -> Result<(), Failure> {
    if let Some(path) = config.sqlite_path()
        && !path.exists()
    {
        return Err(Failure::unavailable(format!("no database at `{}`", path.display()))
            .hint("run `doorwarden migrate` to create it"));
    }
    Ok(())
}

async fn build(builder: Builder) -> Result<Doorwarden, Failure> {
    Ok(builder.build().await?)
}

/// The user with this email address or id.
async fn user(auth: &Doorwarden, named: &str) -> Result<User, Failure> {
    let users = auth.users();
    let (found, kind) = match named.parse() {
        Ok(id) => (users.get(UserId(id)).await?, "id"),
        Err(_) => (users.get_by_email(named).await?, "email"),
    };
    found.ok_or_else(|| Failure::not_found(format!("no user with {kind} `{named}`")))
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "doorwarden", &mut script);
    Ok(std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?)
}
