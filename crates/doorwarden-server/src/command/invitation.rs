//! `doorwarden invitation`: who may register although nobody else may.

use crate::config::Config;
use crate::failure::Failure;
use crate::output::{List, Output};
use clap::Subcommand;
use doorwarden::{Invitation, InviteError, Users};
use serde_json::json;

/// The number of invitations per page.
const PAGE: u32 = 500;

/// Subcommands of `invitation`.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// List the invitations that can be accepted, oldest first
    List,
    /// Mail an invitation, or mail it again: the link of an earlier mail is no longer valid
    Send {
        /// Email address of whoever may register
        email: String,
    },
    /// End an invitation: its link is no longer valid
    Revoke {
        /// Email address of whoever was invited
        email: String,
    },
}

pub(super) async fn run(config: &Config, command: Subcommands, out: Output) -> Result<(), Failure> {
    let auth = match command {
        Subcommands::Send { .. } => super::open_to_mail(config).await?,
        _ => super::open(config).await?,
    };
    let users = auth.users();
    let result = match command {
        Subcommands::List => list(&users, out).await,
        Subcommands::Send { email } => send(&users, &email, out).await,
        Subcommands::Revoke { email } => revoke(&users, &email, out).await,
    };
    auth.close().await;
    result
}

async fn send(users: &Users, email: &str, out: Output) -> Result<(), Failure> {
    let expires_at = users.invite(email).await?.expires_at;
    let sentence = format!("Queued an invitation for `{email}`, valid until {expires_at}");
    out.done(&sentence, &json!({"email": email, "expires_at": expires_at}))
}

async fn revoke(users: &Users, email: &str, out: Output) -> Result<(), Failure> {
    if !users.revoke_invitation(email).await? {
        return Err(Failure::not_found(format!("no invitation of `{email}` that can be accepted")));
    }
    out.done(&format!("Revoked the invitation of `{email}`"), &json!({"email": email}))
}

async fn list(users: &Users, out: Output) -> Result<(), Failure> {
    let mut list = List::new(out, &["EMAIL", "SENT", "EXPIRES"]);
    let mut after = None;
    loop {
        let page = users.invitations(after, PAGE).await?;
        let row = |invitation: &Invitation| {
            let Invitation { email, sent_at, expires_at, .. } = invitation;
            let value = json!({"email": email.as_str(), "sent_at": sent_at, "expires_at": expires_at});
            (value, vec![email.as_str().to_owned(), sent_at.to_string(), expires_at.to_string()])
        };
        list.page(&page.iter().map(row).collect::<Vec<_>>())?;
        match page.last() {
            Some(last) if page.len() == PAGE as usize => after = Some(last.id),
            _ => return list.end("No invitations found"),
        }
    }
}

impl From<InviteError> for Failure {
    fn from(error: InviteError) -> Self {
        match error {
            InviteError::Invalid(errors) => errors.into(),
            InviteError::NoMail => Self::config(error.to_string()).hint("set `mail.url`"),
            InviteError::Store(error) => error.into(),
        }
    }
}
