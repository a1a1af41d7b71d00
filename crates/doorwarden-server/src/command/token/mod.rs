//! `doorwarden token`: issues and inspects tokens.

mod inspect;
mod reason;

use crate::failure::Failure;
use crate::output::{self, Output, line, tell};
use clap::Subcommand;
use doorwarden::core::flow::issue_tokens::IssueError;
use doorwarden::{Doorwarden, User};
use serde_json::json;

/// Subcommands of `token`.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// Open a session for a user and print its token, without a password
    Issue {
        /// The user's email or id
        user: String,
        /// Issue an access token and a refresh token, as `/token` does
        #[arg(long, conflicts_with = "raw")]
        pair: bool,
        /// Print only the token
        #[arg(long, conflicts_with = "json")]
        raw: bool,
    },
    /// Show what a token contains, and whether and why it is refused; exits with status 1 if it is
    Inspect {
        /// The token; if omitted or `-`, it is read from standard input, which keeps it out of the process
        /// list
        #[arg(allow_hyphen_values = true)]
        token: Option<String>,
    },
}

pub(super) async fn run(auth: &Doorwarden, command: Subcommands, out: Output) -> Result<(), Failure> {
    match command {
        Subcommands::Issue { user, pair: true, .. } => issue_pair(auth, &user, out).await,
        Subcommands::Issue { user, raw, .. } => issue(auth, &user, raw, out).await,
        Subcommands::Inspect { token } => inspect::run(auth, token, out).await,
    }
}

async fn issue(auth: &Doorwarden, named: &str, raw: bool, out: Output) -> Result<(), Failure> {
    let user = super::user(auth, named).await?;
    let issued = auth.tokens().issue(user.id).await.map_err(|error| refused(error, &user))?;
    if raw {
        return line(&issued.token);
    }
    if !out.is_json() {
        let email = output::clean_line(user.email.as_str());
        tell(&format!(
            "Created session `{}` for user `{email}`, valid until {}",
            issued.session, issued.expires_at
        ));
    }
    let value = json!({"token": issued.token, "expires_at": issued.expires_at, "session": issued.session});
    out.done(&issued.token, &value)
}

async fn issue_pair(auth: &Doorwarden, named: &str, out: Output) -> Result<(), Failure> {
    let user = super::user(auth, named).await?;
    let pair = auth.tokens().issue_pair(user.id).await.map_err(|error| refused(error, &user))?;
    if !out.is_json() {
        return out.facts(&[
            ("access", pair.access),
            ("refresh", pair.refresh),
            ("session", pair.session.to_string()),
        ]);
    }
    output::json(&json!({
        "access": pair.access,
        "refresh": pair.refresh,
        "expires_in": pair.expires_in,
        "refresh_expires_in": pair.refresh_expires_in,
        "session": pair.session,
    }))
}

/// The error of an issue that was refused.
fn refused(error: IssueError, user: &User) -> Failure {
    match error {
        IssueError::NoActiveUser if !user.is_active => {
            let email = output::clean_line(user.email.as_str());
            Failure::no(format!("user `{email}` is inactive"))
                .hint(format!("run `doorwarden user activate {}`", user.id))
        }
        IssueError::NoActiveUser => Failure::not_found("user not found"),
        IssueError::Sign(_) => Failure::unavailable(error.to_string()),
        IssueError::Store(error) => error.into(),
    }
}
