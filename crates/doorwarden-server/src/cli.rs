//! The command line. What a command takes stands beside its code in [`crate::command`].

use crate::command::{
    backup, doctor, group, import, key, password, permission, secret, superuser, token, user,
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

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The configuration file [default: doorwarden.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set one key of the configuration; wins over the environment and the file
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The database: sqlite://PATH or postgres://USER:PASSWORD@HOST/NAME
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Print JSON, also on a terminal
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the service
    Serve {
        /// Where to listen
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<String>,
    },
    /// Bring the database's schema up to date, and declare the configured permissions
    Migrate {
        /// Change nothing; end with 1 if there is something to do
        #[arg(long)]
        check: bool,
    },
    /// Create a user who has every permission
    Createsuperuser(superuser::Arguments),
    /// Give a user a new password, and end all of the user's sessions
    Changepassword(password::Arguments),
    /// Look after users
    #[command(subcommand)]
    User(user::Subcommands),
    /// Look after groups
    #[command(subcommand)]
    Group(group::Subcommands),
    /// Look after permissions
    #[command(subcommand)]
    Permission(permission::Subcommands),
    /// Make tokens, and find out why one is refused
    #[command(subcommand)]
    Token(token::Subcommands),
    /// Look after the keys that sign access tokens
    #[command(subcommand)]
    Key(key::Subcommands),
    /// What to do when the secret key has leaked, or is lost
    #[command(subcommand)]
    Secret(secret::Subcommands),
    /// Take over the accounts of another system
    #[command(subcommand)]
    Import(import::From),
    /// Copy a SQLite database into a file, also while the service runs
    Backup(backup::Backup),
    /// Put a copy in the place of a SQLite database, with the service stopped; revoke keys, skip ids, end sessions
    Restore(backup::Restore),
    /// After a restore by other means, such as pg_restore: revoke keys, skip ids, end sessions
    Restored(backup::AfterRestore),
    /// Check configuration, database, keys and files; say what to do
    Doctor(doctor::Arguments),
    /// Show each value of the configuration and where it came from
    Config {
        /// Print the reference of all keys instead, as Markdown
        #[arg(long)]
        reference: bool,
        /// Print the JSON Schema of the file instead, for editors
        #[arg(long, conflicts_with = "reference")]
        schema: bool,
    },
    /// Print a script that completes this command line in a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}
