//! The command line.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// User accounts and JSON Web Tokens for any application.
#[derive(Debug, Parser)]
#[command(name = "doorwarden", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
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
    /// Bring the database's schema up to date
    Migrate {
        /// Change nothing; end with 1 if there is something to do
        #[arg(long)]
        check: bool,
    },
    /// Give a user a new password, and end his sessions
    Changepassword {
        /// The user's e-mail address
        email: String,
        /// Read the password from standard input: one line
        #[arg(long)]
        password_stdin: bool,
    },
    /// Take over the accounts of another system
    #[command(subcommand)]
    Import(crate::command::import::From),
    /// Show each value of the configuration and where it came from
    Config {
        /// Print the reference of all keys instead, as Markdown
        #[arg(long)]
        reference: bool,
    },
}
