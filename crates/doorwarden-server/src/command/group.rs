//! `doorwarden group`: who may do the same.

use super::permission::{Tally, granted, names};
use super::prompt;
use crate::failure::Failure;
use crate::output::{List, Output, count};
use clap::Subcommand;
use doorwarden::Doorwarden;
use doorwarden::core::permission::Group;
use serde_json::json;

/// What can be done with groups.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// List the groups with their permissions
    List,
    /// Create a group
    Create {
        /// Its name
        name: String,
    },
    /// Delete a group; its members lose what it gave them
    Delete {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Give a group permissions
    Grant {
        /// Its name
        name: String,
        /// `app_label.codename`
        #[arg(required = true, value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
    /// Take permissions from a group
    Revoke {
        /// Its name
        name: String,
        /// `app_label.codename`
        #[arg(required = true, value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
}

pub(super) async fn run(accounts: &Doorwarden, command: Subcommands, out: Output) -> Result<(), Failure> {
    let users = accounts.users();
    match command {
        Subcommands::List => {
            let mut list = List::new(out, &["GROUP", "MEMBERS", "PERMISSIONS"]);
            let row = |Group { name, permissions, members }: &Group| {
                let value = json!({"name": name, "members": members, "permissions": permissions});
                (value, vec![name.clone(), members.to_string(), permissions.join(", ")])
            };
            list.page(&users.groups().await?.iter().map(row).collect::<Vec<_>>())?;
            list.end("There are no groups.")
        }
        Subcommands::Create { name } => {
            if !users.create_group(&name).await? {
                return Err(Failure::no(format!("there is a group {name} already")));
            }
            out.done(&format!("There is a group {name}."), &json!({"name": name}))
        }
        Subcommands::Delete { name, yes } => {
            let groups = users.groups().await?;
            let group = groups.iter().find(|group| group.name == name);
            let members = group.ok_or_else(|| no_group(&name))?.members;
            prompt::confirm(yes, &format!("Delete the group {name} of {}?", count(members, "member")))?;
            if !users.delete_group(&name).await? {
                return Err(no_group(&name));
            }
            out.done(&format!("The group {name} was deleted."), &json!({"name": name, "deleted": true}))
        }
        Subcommands::Grant { name, permissions } => {
            let mut tally = Tally::default();
            for permission in names(&permissions)? {
                let changed = granted(users.grant_to_group(&name, &permission).await, &permission)?;
                let word = if changed { "now has" } else { "has already" };
                tally.note(&permission, changed, format!("The group {name} {word} {permission}."));
            }
            tally.say(out, json!({"name": name}))
        }
        Subcommands::Revoke { name, permissions } => {
            let mut tally = Tally::default();
            for permission in names(&permissions)? {
                let changed = users.revoke_from_group(&name, &permission).await?;
                let word = if changed { "no longer has" } else { "did not have" };
                tally.note(&permission, changed, format!("The group {name} {word} {permission}."));
            }
            tally.say(out, json!({"name": name}))
        }
    }
}

fn no_group(name: &str) -> Failure {
    Failure::not_found(format!("there is no group {name}"))
}
