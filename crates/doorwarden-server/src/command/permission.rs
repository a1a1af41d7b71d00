//! `doorwarden permission`: the permissions that can be granted.

use super::prompt;
use crate::failure::Failure;
use crate::output::{List, Output};
use clap::Subcommand;
use doorwarden::Doorwarden;
use doorwarden::core::permission::{Permission, PermissionName};
use doorwarden::core::store::GrantError;
use serde_json::{Value, json};

/// Subcommands of `permission`.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// List the permissions
    List,
    /// Create a permission, or change its label
    Add {
        /// Permission name, `app_label.codename`, such as `blog.add_post`
        name: String,
        /// Label for people [default: from the codename, such as "Can add post"]
        label: Option<String>,
    },
    /// Delete a permission, and revoke it from all users and groups
    Delete {
        /// Permission name, such as `blog.add_post`
        name: String,
        /// Skip the confirmation prompt
        #[arg(long, short)]
        yes: bool,
    },
}

pub(super) async fn run(auth: &Doorwarden, command: Subcommands, out: Output) -> Result<(), Failure> {
    let users = auth.users();
    match command {
        Subcommands::List => {
            let mut list = List::new(out, &["PERMISSION", "LABEL"]);
            let permissions = users.permissions().await?;
            let row = |Permission { name, label }: &Permission| {
                (json!({"name": name.as_str(), "label": label}), vec![name.to_string(), label.clone()])
            };
            list.page(&permissions.iter().map(row).collect::<Vec<_>>())?;
            list.end("No permissions found")
        }
        Subcommands::Add { name, label } => {
            let name = self::name(&name)?;
            let label = label.unwrap_or_else(|| format!("Can {}", name.codename().replace(['_', '-'], " ")));
            let added = json!({"name": name.as_str(), "label": label});
            users.declare_permission(Permission { name: name.clone(), label }).await?;
            out.done(&format!("Created permission `{name}`"), &added)
        }
        Subcommands::Delete { name, yes } => {
            let name = self::name(&name)?;
            prompt::confirm(
                yes,
                &format!("Delete permission `{name}`, and revoke it from all users and groups?"),
            )?;
            if !users.delete_permission(&name).await? {
                return Err(Failure::not_found(format!("permission `{name}` not found")));
            }
            out.done(
                &format!("Deleted permission `{name}`"),
                &json!({"name": name.as_str(), "deleted": true}),
            )
        }
    }
}

/// Parses the names of permissions.
pub(super) fn names(texts: &[String]) -> Result<Vec<PermissionName>, Failure> {
    texts.iter().map(|text| name(text)).collect()
}

fn name(text: &str) -> Result<PermissionName, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("`{text}`: {error}")))
}

/// The results of granting or revoking several permissions.
#[derive(Default)]
pub(super) struct Tally {
    sentences: Vec<String>,
    changed: Vec<String>,
    unchanged: Vec<String>,
}

impl Tally {
    /// Records a result and its message.
    pub(super) fn note(&mut self, permission: &PermissionName, changed: bool, sentence: String) {
        let list = if changed { &mut self.changed } else { &mut self.unchanged };
        list.push(permission.to_string());
        self.sentences.push(sentence);
    }

    /// Prints the results; `about` describes whose permissions they are.
    pub(super) fn say(self, out: Output, mut about: Value) -> Result<(), Failure> {
        about["changed"] = json!(self.changed);
        about["unchanged"] = json!(self.unchanged);
        out.done_each(&self.sentences, &about)
    }
}

/// Whether a grant changed anything. An unknown permission is an error with a hint.
pub(super) fn granted(
    result: Result<bool, GrantError>,
    permission: &PermissionName,
) -> Result<bool, Failure> {
    result.map_err(|error| match error {
        GrantError::NoSuchPermission => Failure::not_found(format!("permission `{permission}` not found"))
            .hint(format!("run `doorwarden permission add {permission}`")),
        other => other.into(),
    })
}
