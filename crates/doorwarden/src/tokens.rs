use doorwarden_core::audit::Origin;
use doorwarden_core::context::Context;
use doorwarden_core::flow::authenticate::{AuthenticateError, Authenticated, ShownTo, authenticate};
use doorwarden_core::flow::issue_tokens::{IssueError, issue_pair, issue_token};
use doorwarden_core::flow::{IssuedToken, TokenPair};
use doorwarden_core::user::UserId;
use std::sync::Arc;

/// Makes and checks tokens. From [`Doorwarden::tokens`](crate::Doorwarden::tokens).
///
/// ```no_run
/// # async fn run(auth: doorwarden::Doorwarden, jane: doorwarden::UserId) -> Result<(), Box<dyn std::error::Error>> {
/// let tokens = auth.tokens();
/// let issued = tokens.issue(jane).await?;
/// let who = tokens.verify(&issued.token).await?;
/// assert_eq!(who.user.account.user.id, jane);
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

    /// Opens a session for a user and makes its token, without asking for a password: for an application's own ways in.
    ///
    /// # Errors
    /// [`IssueError`].
    pub async fn issue(&self, user: UserId) -> Result<IssuedToken, IssueError> {
        issue_token(&self.context, user, &self.origin).await
    }

    /// Opens a session for a user and makes its access token and refresh token, without asking for a password.
    ///
    /// # Errors
    /// [`IssueError`].
    pub async fn issue_pair(&self, user: UserId) -> Result<TokenPair, IssueError> {
        issue_pair(&self.context, user, &self.origin).await
    }

    /// Whose session token or access token this is, as fresh as [`CurrentUser`](crate::CurrentUser). An access token must be for the application.
    ///
    /// # Errors
    /// [`AuthenticateError::Refused`] with the reason.
    pub async fn verify(&self, token: &str) -> Result<Authenticated, AuthenticateError> {
        authenticate(&self.context, token, ShownTo::Application).await
    }
}
