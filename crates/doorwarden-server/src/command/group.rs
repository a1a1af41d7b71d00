//! `doorwarden group`: groups of users and their permissions.

use super::permission::{Tally, granted, names};
use super::prompt;
use crate::failure::Failure;
use crate::output::{List, Output, count};
use clap::Subcommand;
use doorwarden::Doorwarden;
use doorwarden::core::permission::Group;
use serde_json::json;

/// Subcommands of `group`.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// List the groups with their permissions
    List,
    /// Create a group
    Create {
        /// Group name
        name: String,
    },
    /// Delete a group; its members lose its permissions
    Delete {
        /// Group name
        name: String,
        /// Skip the confirmation prompt
        #[arg(long, short)]
        yes: bool,
    },
    /// Grant permissions to a group
    Grant {
        /// Group name
        name: String,
        /// Permissions, such as `blog.add_post`
        #[arg(required = true, value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
    /// Revoke permissions from a group
    Revoke {
        /// Group name
        name: String,
        /// Permissions, such as `blog.add_post`
        #[arg(required = true, value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
}

pub(super) async fn run(auth: &Doorwarden, command: Subcommands, out: Output) -> Result<(), Failure> {
    let users = auth.users();
    match command {
        Subcommands::List => {
            let mut list = List::new(out, &["GROUP", "MEMBERS", "PERMISSIONS"]);
            let row = |Group { name, permissions, members }: &Group| {
                let value = json!({"name": name, "members": members, "permissions": permissions});
                (value, vec![name.clone(), members.to_string(), permissions.join(", ")])
            };
            list.page(&users.groups().await?.iter().map(row).collect::<Vec<_>>())?;
            list.end("No groups found")
        }
        Subcommands::Create { name } => {
            if !users.create_group(&name).await? {
                return Err(Failure::no(format!("group `{name}` already exists")));
            }
            out.done(&format!("Created group `{name}`"), &json!({"name": name}))
        }
        Subcommands::Delete { name, yes } => {
            let groups = users.groups().await?;
            let group = groups.iter().find(|group| group.name == name);
            let members = group.ok_or_else(|| no_group(&name))?.members;
            prompt::confirm(yes, &format!("Delete group `{name}` with {}?", count(members, "member")))?;
            if !users.delete_group(&name).await? {
                return Err(no_group(&name));
            }
            out.done(&format!("Deleted group `{name}`"), &json!({"name": name, "deleted": true}))
        }
        Subcommands::Grant { name, permissions } => {
            let mut tally = Tally::default();
            for permission in names(&permissions)? {
                let changed = granted(users.grant_to_group(&name, &permission).await, &permission)?;
                let sentence = match changed {
                    true => format!("Granted `{permission}` to group `{name}`"),
                    false => format!("Group `{name}` already has `{permission}`"),
                };
                tally.note(&permission, changed, sentence);
            }
            tally.say(out, json!({"name": name}))
        }
        Subcommands::Revoke { name, permissions } => {
            let mut tally = Tally::default();
            for permission in names(&permissions)? {
                let changed = users.revoke_from_group(&name, &permission).await?;
                let sentence = match changed {
                    true => format!("Revoked `{permission}` from group `{name}`"),
                    false => format!("Group `{name}` did not have `{permission}`"),
                };
                tally.note(&permission, changed, sentence);
            }
            tally.say(out, json!({"name": name}))
        }
    }
}

fn no_group(name: &str) -> Failure {
    Failure::not_found(format!("group `{name}` not found"))
}
