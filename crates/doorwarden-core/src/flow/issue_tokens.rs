//! Tokens without a password, for the application's own logins and for operators. The session says that
//! nobody was authenticated.

use super::open_session::{self, Opening};
use super::token_pair;
use super::token_pair::PairError;
use super::{IssuedToken, TokenPair};
use crate::audit::Origin;
use crate::authentication::Purpose;
use crate::context::Context;
use crate::keys::SignError;
use crate::session::Session;
use crate::store::StoreError;
use crate::user::UserId;

/// Why no token was issued.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IssueError {
    /// The user is gone or inactive.
    #[error("the user does not exist or is inactive")]
    NoActiveUser,
    /// No access token can be signed. The reason is logged.
    #[error("the access token could not be signed: {0}")]
    Sign(#[from] SignError),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Opens a session for a user and makes its token, without a password.
///
/// # Errors
/// [`IssueError::NoActiveUser`] if the user is gone or inactive, [`IssueError::Store`] if the database
/// operation failed.
pub async fn issue_token(
    context: &Context,
    user: UserId,
    origin: &Origin,
) -> Result<IssuedToken, IssueError> {
    let session =
        open_session::new_session(context, user, origin.client.clone(), context.settings.session.lifetime);
    Ok(open_session::session_token(context, &open(context, session, origin).await?))
}

/// Opens a session for a user and makes its token pair, without a password. The access tokens have no `amr`
/// and no `auth_time`, and `acr` is `0`.
///
/// # Errors
/// [`IssueError`] if there is no such active user, no access token can be signed, or the database operation
/// failed.
pub async fn issue_pair(context: &Context, user: UserId, origin: &Origin) -> Result<TokenPair, IssueError> {
    let session =
        open(context, token_pair::new_pair_session(context, user, origin.client.clone(), None), origin)
            .await?;
    token_pair::token_pair(context, &session).await.map_err(|error| match error {
        PairError::Gone | PairError::BelowPolicy => IssueError::NoActiveUser,
        PairError::Sign(error) => error.into(),
        PairError::Store(error) => error.into(),
    })
}

async fn open(context: &Context, session: Session, origin: &Origin) -> Result<Session, IssueError> {
    let user = context.store.user(session.user).await?.ok_or(IssueError::NoActiveUser)?;
    match open_session::open(context, session, &user, Purpose::Issue, Vec::new(), None, origin).await? {
        Opening::Opened(session) => Ok(*session),
        Opening::Needs(_) | Opening::Gone => Err(IssueError::NoActiveUser),
    }
}
