//! `doorwarden factor`: the second factors and passkeys of a user, for an operator who knows who is asking.

use super::prompt;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{List, Output, count};
use clap::{Args, Subcommand};
use doorwarden::core::factor::{Factor, FactorId, FactorKind};
use doorwarden::core::view::FactorView;
use doorwarden::{Doorwarden, User};
use serde_json::json;

/// Subcommands of `factor`.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// List a user's second factors, passkeys and recovery codes
    List {
        /// The user's email or id
        user: String,
    },
    /// Remove a factor whose device is lost, and end all sessions of its user. Without any, the password
    /// suffices
    Remove(Remove),
    /// Let authenticator apps count again that too many wrong codes have disabled
    Unlock {
        /// The user's email or id
        user: String,
    },
}

/// Arguments of `factor remove`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The user's email or id
    user: String,
    /// The id of the factor
    #[arg(required_unless_present = "all")]
    id: Option<FactorId>,
    /// Remove all of the user's factors, with the recovery codes
    #[arg(long, conflicts_with = "id")]
    all: bool,
    /// Skip the confirmation prompt
    #[arg(long, short)]
    yes: bool,
}

pub(super) async fn run(config: &Config, command: Subcommands, out: Output) -> Result<(), Failure> {
    let auth = match command {
        Subcommands::Remove(_) => super::open_to_tell(config).await?,
        _ => super::open(config).await?,
    };
    let result = match command {
        Subcommands::List { user } => list(&auth, &super::user(&auth, &user).await?, out).await,
        Subcommands::Remove(arguments) => remove(&auth, arguments, out).await,
        Subcommands::Unlock { user } => unlock(&auth, &super::user(&auth, &user).await?, out).await,
    };
    auth.close().await;
    result
}

async fn list(auth: &Doorwarden, user: &User, out: Output) -> Result<(), Failure> {
    let mut list = List::new(out, &["ID", "TYPE", "NAME", "ADDED", "LAST USED", "STATE"]);
    let rows = auth.users().factors(user.id).await?;
    let row = |factor: &Factor| {
        let view = FactorView::from(factor);
        let state = match (view.disabled, view.unused) {
            (Some(true), _) => "disabled".to_owned(),
            (_, Some(unused)) => format!("{unused} unused"),
            _ => "-".to_owned(),
        };
        let cells = vec![
            factor.id.to_string(),
            factor.kind().as_str().to_owned(),
            factor.name.clone(),
            factor.created_at.to_string(),
            factor.last_used_at.map_or("never".to_owned(), |at| at.to_string()),
            state,
        ];
        (json!(view), cells)
    };
    list.page(&rows.iter().map(row).collect::<Vec<_>>())?;
    list.end("No factors found")
}

async fn remove(auth: &Doorwarden, arguments: Remove, out: Output) -> Result<(), Failure> {
    let user = super::user(auth, &arguments.user).await?;
    let mut factors = auth.users().factors(user.id).await?;
    // Recovery codes go with the last factor.
    factors.retain(|factor| {
        factor.kind() != FactorKind::RecoveryCodes && arguments.id.is_none_or(|id| factor.id == id)
    });
    let none = || Failure::not_found(format!("no such factor of `{}`", user.email));
    if factors.is_empty() {
        return Err(none());
    }
    let them = match &*factors {
        [factor] => format!("`{}` ({})", factor.name, factor.kind().as_str()),
        factors => count(factors.len() as u64, "factor"),
    };
    prompt::confirm(arguments.yes, &format!("Remove {them} of `{}`, and end all sessions?", user.email))?;
    let mut removed = Vec::new();
    for factor in &factors {
        if auth.users().remove_factor(user.id, factor.id).await? {
            removed.push(factor.id);
        }
    }
    if removed.is_empty() {
        return Err(none());
    }
    out.done(
        &format!("Removed {them} of `{}`, and ended all sessions", user.email),
        &json!({"id": user.id, "email": user.email.as_str(), "removed": removed}),
    )
}

async fn unlock(auth: &Doorwarden, user: &User, out: Output) -> Result<(), Failure> {
    let unlocked = auth.users().unlock_factors(user.id).await?;
    let sentence = match unlocked {
        true => format!("The authenticator apps of `{}` count again", user.email),
        false => format!("No authenticator app of `{}` was disabled", user.email),
    };
    out.done(&sentence, &json!({"id": user.id, "email": user.email.as_str(), "unlocked": unlocked}))
}
