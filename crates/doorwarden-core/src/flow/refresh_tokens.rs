//! A client shows a refresh token and wants a new pair.

use super::{FlowError, TokenPair};
use crate::context::Context;
use crate::event::Event;
use crate::session::SessionId;
use crate::store::{Change, Rotation, StoreError};
use crate::token::Refusal;

/// Why there is no new pair.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RefreshError {
    /// It is none of our refresh tokens.
    #[error("{0}")]
    Token(#[from] Refusal),
    /// Its session has ended, expired or was idle too long, or its user is inactive or gone.
    #[error("the session of the refresh token has ended")]
    Ended,
    /// It is older than the one before the newest: somebody else has a copy. The session has ended because of it.
    #[error("the refresh token was used before; its session has ended")]
    Reused,
    /// No pair could be made.
    #[error(transparent)]
    Flow(#[from] FlowError),
}

impl From<StoreError> for RefreshError {
    fn from(error: StoreError) -> Self {
        Self::Flow(error.into())
    }
}

/// Exchanges a refresh token for a new pair (RFC 9700, section 4.14.2).
///
/// The newest token rotates. The one before it gives the newest again, so that a lost answer or two tabs log nobody out: of any number of
/// requests at once with the same token all get the same successor. Anything older was copied: the session ends.
///
/// # Errors
/// [`RefreshError`].
pub async fn refresh_tokens(context: &Context, token: &str) -> Result<TokenPair, RefreshError> {
    let (id, counter) = context.refresh_keys.parse(token)?;
    let id = SessionId(id);
    let session = match context.store.rotate_refresh(id, counter, context.now()).await? {
        Rotation::Rotated(session) | Rotation::Repeated(session) => session,
        Rotation::Reused(session) => {
            context.live.forget(Change::Session(id));
            context.tell(Event::RefreshReused { user: session.user, session: id }).await;
            return Err(RefreshError::Reused);
        }
        Rotation::Refused | Rotation::Unknown => return Err(RefreshError::Ended),
    };
    match context.token_pair(&session).await {
        Err(FlowError::NotFound) => Err(RefreshError::Ended),
        pair => Ok(pair?),
    }
}
