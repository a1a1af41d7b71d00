//! `doorwarden key`: the keys that sign access tokens. They rotate automatically.

use super::prompt;
use crate::failure::Failure;
use crate::output::{List, Output};
use clap::Subcommand;
use doorwarden::Doorwarden;
use serde_json::json;

/// Subcommands of `key`.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// List the keys and their states
    List,
    /// Rotate early: the announced key of each algorithm signs once every verifier has had time to fetch it
    Rotate,
    /// Revoke a key that may have leaked: all tokens it signed are refused at once, and the announced key
    /// takes over
    Revoke {
        /// Key id (`kid`)
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// Skip the confirmation prompt
        #[arg(long, short)]
        yes: bool,
    },
}

pub(super) async fn run(auth: &Doorwarden, command: Subcommands, out: Output) -> Result<(), Failure> {
    let keys = auth.keys();
    match command {
        Subcommands::List => {
            let mut list = List::new(out, &["KID", "ALGORITHM", "STATE", "SIGNS FROM"]);
            let listed = keys.list().await?;
            let rows = listed.iter().map(|(key, state)| {
                let value = json!({
                    "kid": key.kid,
                    "algorithm": key.algorithm,
                    "state": state.as_str(),
                    "created_at": key.created_at,
                    "signs_from": key.signs_from,
                    "revoked_at": key.revoked_at,
                });
                let cells = [&key.kid, &key.algorithm, state.as_str(), &key.signs_from.to_string()];
                (value, cells.map(str::to_owned).to_vec())
            });
            list.page(&rows.collect::<Vec<_>>())?;
            list.end("No keys found")
        }
        Subcommands::Rotate => {
            let kids = keys.rotate().await?;
            let keys = if kids.len() == 1 { "key" } else { "keys" };
            out.done(&format!("Rotated to {keys} `{}`", kids.join("`, `")), &json!({ "kids": kids }))
        }
        Subcommands::Revoke { kid, yes } => {
            prompt::confirm(yes, &format!("Revoke key `{kid}`, and refuse every token that it signed?"))?;
            if !keys.revoke(&kid).await? {
                return Err(Failure::not_found(format!("no unrevoked key `{kid}` found")));
            }
            out.done(&format!("Revoked key `{kid}`"), &json!({"kid": kid, "revoked": true}))
        }
    }
}
