//! `doorwarden user`: manages users.

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

/// Subcommands of `user`. Users are identified by email address or id.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// List users, by id
    List(list::Arguments),
    /// Show a user with their groups, permissions and sessions
    Show {
        /// The user's email or id
        user: String,
    },
    /// Create a user; prompts for the password unless an option says otherwise
    Create(create::Arguments),
    /// Update a user's username, email, role or metadata
    Update(change::Update),
    /// Reactivate a user
    Activate {
        /// The user's email or id
        user: String,
    },
    /// Deactivate a user: no logins, and all sessions end
    Deactivate {
        /// The user's email or id
        user: String,
    },
    /// Let the password be tried again on new devices, where too many wrong ones were
    Unlock {
        /// The user's email or id
        user: String,
    },
    /// Delete a user permanently
    Delete {
        /// The user's email or id
        user: String,
        /// Skip the confirmation prompt
        #[arg(long, short)]
        yes: bool,
    },
    /// Grant permissions to a user
    Grant {
        /// The user's email or id
        user: String,
        /// Permissions, such as `blog.add_post`
        #[arg(required = true, value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
    /// Revoke a user's direct permissions
    Revoke {
        /// The user's email or id
        user: String,
        /// Permissions, such as `blog.add_post`
        #[arg(required = true, value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
    /// Add a user to a group
    AddToGroup {
        /// The user's email or id
        user: String,
        /// Group name
        group: String,
    },
    /// Remove a user from a group
    RemoveFromGroup {
        /// The user's email or id
        user: String,
        /// Group name
        group: String,
    },
    /// End all sessions and tokens of a user, or of all users
    SignOut {
        /// The user's email or id
        #[arg(required_unless_present = "all")]
        user: Option<String>,
        /// All users
        #[arg(long, conflicts_with = "user")]
        all: bool,
        /// Skip the confirmation prompt
        #[arg(long, short, requires = "all")]
        yes: bool,
    },
}

pub(super) async fn run(auth: &Doorwarden, command: Subcommands, out: Output) -> Result<(), Failure> {
    match command {
        Subcommands::List(arguments) => list::run(auth, arguments, out).await,
        Subcommands::Show { user } => show::run(auth, &user, out).await,
        Subcommands::Create(arguments) => create::run(auth, arguments, out).await,
        Subcommands::Update(update) => change::update(auth, update, out).await,
        Subcommands::Activate { user } => change::activate(auth, &user, true, out).await,
        Subcommands::Deactivate { user } => change::activate(auth, &user, false, out).await,
        Subcommands::Unlock { user } => change::unlock(auth, &user, out).await,
        Subcommands::Delete { user, yes } => change::delete(auth, &user, yes, out).await,
        Subcommands::SignOut { user: Some(user), .. } => change::sign_out(auth, &user, out).await,
        Subcommands::SignOut { user: None, yes, .. } => change::sign_out_everybody(auth, yes, out).await,
        Subcommands::Grant { user, permissions } => rights::grant(auth, &user, &permissions, out).await,
        Subcommands::Revoke { user, permissions } => rights::revoke(auth, &user, &permissions, out).await,
        Subcommands::AddToGroup { user, group } => rights::join(auth, &user, &group, out).await,
        Subcommands::RemoveFromGroup { user, group } => rights::leave(auth, &user, &group, out).await,
    }
}
