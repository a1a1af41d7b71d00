//! `doorwarden user`: everything about one user, and the list of all.

mod change;
mod create;
mod list;
mod rights;
mod show;

pub(super) use show::{session_value, value};

use crate::failure::Failure;
use crate::output::Output;
use clap::Subcommand;
use doorwarden::Doorwarden;

/// What can be done with users. A user is named by e-mail address, or by id.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// List users, by id
    List(list::Arguments),
    /// Show a user with groups, permissions and sessions
    Show {
        /// E-mail address, or id
        user: String,
    },
    /// Create a user; asks for the password unless an option says otherwise
    Create(create::Arguments),
    /// Change a user's name, address, rank or metadata
    Update(change::Update),
    /// Let a user log in again
    Activate {
        /// E-mail address, or id
        user: String,
    },
    /// Switch an account off: no login, and every session ends
    Deactivate {
        /// E-mail address, or id
        user: String,
    },
    /// Delete a user for good
    Delete {
        /// E-mail address, or id
        user: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Give a user permissions
    Grant {
        /// E-mail address, or id
        user: String,
        /// `app_label.codename`
        #[arg(required = true, value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
    /// Take direct permissions from a user
    Revoke {
        /// E-mail address, or id
        user: String,
        /// `app_label.codename`
        #[arg(required = true, value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
    /// Put a user into a group
    AddToGroup {
        /// E-mail address, or id
        user: String,
        /// The group's name
        group: String,
    },
    /// Take a user out of a group
    RemoveFromGroup {
        /// E-mail address, or id
        user: String,
        /// The group's name
        group: String,
    },
    /// End all sessions and tokens of a user, or of everybody
    SignOut {
        /// E-mail address, or id
        #[arg(required_unless_present = "all")]
        user: Option<String>,
        /// Everybody
        #[arg(long, conflicts_with = "user")]
        all: bool,
        /// Do not ask
        #[arg(long, short, requires = "all")]
        yes: bool,
    },
}

pub(super) async fn run(accounts: &Doorwarden, command: Subcommands, out: Output) -> Result<(), Failure> {
    match command {
        Subcommands::List(arguments) => list::run(accounts, arguments, out).await,
        Subcommands::Show { user } => show::run(accounts, &user, out).await,
        Subcommands::Create(arguments) => create::run(accounts, arguments, out).await,
        Subcommands::Update(update) => change::update(accounts, update, out).await,
        Subcommands::Activate { user } => change::activate(accounts, &user, true, out).await,
        Subcommands::Deactivate { user } => change::activate(accounts, &user, false, out).await,
        Subcommands::Delete { user, yes } => change::delete(accounts, &user, yes, out).await,
        Subcommands::SignOut { user: Some(user), .. } => change::sign_out(accounts, &user, out).await,
        Subcommands::SignOut { user: None, yes, .. } => change::sign_out_everybody(accounts, yes, out).await,
        Subcommands::Grant { user, permissions } => rights::grant(accounts, &user, &permissions, out).await,
        Subcommands::Revoke { user, permissions } => rights::revoke(accounts, &user, &permissions, out).await,
        Subcommands::AddToGroup { user, group } => rights::join(accounts, &user, &group, out).await,
        Subcommands::RemoveFromGroup { user, group } => rights::leave(accounts, &user, &group, out).await,
    }
}
