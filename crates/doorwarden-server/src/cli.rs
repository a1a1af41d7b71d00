//! The command line. The arguments of a command are beside its code in [`crate::command`].

use crate::command::{
    audit, backup, breached, doctor, factor, group, import, invitation, key, mail, password, permission,
    secret, superuser, token, user, webhook,
};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// User accounts and JSON Web Tokens for any application.
#[derive(Debug, Parser)]
#[command(name = "doorwarden", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Arguments of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Configuration file [default: doorwarden.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set a configuration key; overrides the environment and the file
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Database: sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Print JSON even on a terminal
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the service
    Serve {
        /// Address and port to listen on
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<String>,
    },
    /// Apply pending migrations, and declare the configured permissions
    Migrate {
        /// Only check; exit with status 1 if migrations are pending
        #[arg(long)]
        check: bool,
    },
    /// Create a user who has every permission
    Createsuperuser(superuser::Arguments),
    #[command(flatten)]
    Accounts(AccountsCommand),
    /// Manage a user's second factors and passkeys
    #[command(subcommand)]
    Factor(factor::Subcommands),
    /// Invite people to register, whatever the mode of registration
    #[command(subcommand)]
    Invitation(invitation::Subcommands),
    /// See which mails were sent, send failed ones again, and test the transport
    #[command(subcommand)]
    Mail(mail::Subcommands),
    /// Report events to other services, and see what became of it
    #[command(subcommand)]
    Webhook(webhook::Subcommands),
    /// Build and read files of breached passwords, which new passwords are compared with
    #[command(subcommand)]
    Breached(breached::Subcommands),
    /// See what happened, and verify that the log of it is complete
    #[command(subcommand)]
    Audit(audit::Subcommands),
    /// Respond to a leaked or lost secret key
    #[command(subcommand)]
    Secret(secret::Subcommands),
    /// Import accounts from another system
    #[command(subcommand)]
    Import(import::From),
    /// Copy a SQLite database to a file, even while the service runs
    Backup(backup::Backup),
    /// Replace a SQLite database with a copy, with the service stopped; revoke keys, skip ids, end sessions
    Restore(backup::Restore),
    /// Complete a restore by other means, such as pg_restore: revoke keys, skip ids, end sessions
    Restored(backup::AfterRestore),
    /// Check the configuration, database, keys and files, and suggest fixes
    Doctor(doctor::Arguments),
    /// Show each configuration value and its source
    Config {
        /// Print the reference of all keys as Markdown instead
        #[arg(long)]
        reference: bool,
        /// Print the JSON Schema of the configuration file instead, for editors
        #[arg(long, conflicts_with = "reference")]
        schema: bool,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Commands on a database that exists and is up to date.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountsCommand {
    /// Change a user's password, and end all of the user's sessions
    Changepassword(password::Arguments),
    /// Manage users
    #[command(subcommand)]
    User(user::Subcommands),
    /// Manage groups
    #[command(subcommand)]
    Group(group::Subcommands),
    /// Manage permissions
    #[command(subcommand)]
    Permission(permission::Subcommands),
    /// Issue tokens, and find out why one is refused
    #[command(subcommand)]
    Token(token::Subcommands),
    /// Manage the keys that sign access tokens
    #[command(subcommand)]
    Key(key::Subcommands),
}
