//! `doorwarden key`: the keys that sign access tokens. They rotate by themselves.

use super::prompt;
use crate::failure::Failure;
use crate::output::{List, Output};
use clap::Subcommand;
use doorwarden::Doorwarden;
use serde_json::json;

/// What can be done with signing keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// List the keys and what each may do at this moment
    List,
    /// Let the announced key of each algorithm sign before its time, once every verifier has had the time to learn of it
    Rotate,
    /// Revoke a key that may have leaked: every token that it signed is refused at once, and the announced key takes its place
    Revoke {
        /// The key's `kid`
        kid: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

pub(super) async fn run(accounts: &Doorwarden, command: Subcommands, out: Output) -> Result<(), Failure> {
    let keys = accounts.keys();
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
            list.end("There are no keys.")
        }
        Subcommands::Rotate => {
            let kids = keys.rotate().await?;
            let are = if kids.len() == 1 { "key is" } else { "keys are" };
            out.done(&format!("The next {are} {}.", kids.join(" and ")), &json!({ "kids": kids }))
        }
        Subcommands::Revoke { kid, yes } => {
            prompt::confirm(yes, &format!("Revoke the key {kid}, and refuse every token that it signed?"))?;
            if !keys.revoke(&kid).await? {
                return Err(Failure::not_found(format!("there is no key {kid} that is not revoked")));
            }
            out.done(&format!("The key {kid} is revoked."), &json!({"kid": kid, "revoked": true}))
        }
    }
}
