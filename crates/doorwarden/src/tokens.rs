use doorwarden_core::audit::Origin;
use doorwarden_core::context::Context;
use doorwarden_core::flow::authenticate::{AuthenticateError, Authenticated, ShownTo, authenticate};
use doorwarden_core::flow::issue_tokens::{IssueError, issue_pair, issue_token};
use doorwarden_core::flow::{IssuedToken, TokenPair};
use doorwarden_core::user::UserId;
use std::sync::Arc;

/// Issues and verifies tokens. From [`Doorwarden::tokens`](crate::Doorwarden::tokens).
///
/// ```no_run
/// # use doorwarden::{Doorwarden, UserId};
/// # async fn run(auth: Doorwarden, jane: UserId) -> Result<(), Box<dyn std::error::Error>> {
/// let tokens = auth.tokens();
/// let issued = tokens.issue(jane).await?;
/// let who = tokens.verify(&issued.token).await?;
/// assert_eq!(who.id(), jane);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Tokens {
    context: Arc<Context>,
    origin: Origin,
}

impl Tokens {
    pub(crate) fn new(context: Arc<Context>, origin: Origin) -> Self {
        Self { context, origin }
    }

    /// Opens a session for a user and issues its session token without asking for a password, for an
    /// application's own ways to log in.
    ///
    /// # Errors
    /// [`IssueError::NoActiveUser`] if the user does not exist or is inactive, [`IssueError::Store`] if the
    /// database operation failed.
    pub async fn issue(&self, user: UserId) -> Result<IssuedToken, IssueError> {
        issue_token(&self.context, user, &self.origin).await
    }

    /// Opens a session for a user and issues its token pair without asking for a password.
    ///
    /// # Errors
    /// [`IssueError::NoActiveUser`] if the user does not exist or is inactive, [`IssueError::Sign`] if the
    /// access token could not be signed, [`IssueError::Store`] if the database operation failed.
    pub async fn issue_pair(&self, user: UserId) -> Result<TokenPair, IssueError> {
        issue_pair(&self.context, user, &self.origin).await
    }

    /// Verifies a session token or access token and returns its user, as current as
    /// [`CurrentUser`](crate::CurrentUser). The audience of an access token must name the application.
    ///
    /// # Errors
    /// [`AuthenticateError::Refused`] with the reason if the token is not valid, [`AuthenticateError::Store`]
    /// if the database operation failed.
    pub async fn verify(&self, token: &str) -> Result<Authenticated, AuthenticateError> {
        authenticate(&self.context, token, ShownTo::Application).await
    }
}
