//! Revocation of a token together with its session.

use super::authenticate::{AuthenticateError, ShownTo, TokenRefused, authenticate};
use super::finish::finish;
use super::sessions::end_one;
use crate::audit::{Actor, Origin};
use crate::context::Context;
use crate::session::{ClientInfo, EndReason, SessionId};
use crate::store::StoreError;
use std::sync::Arc;

/// Why nothing was revoked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RevokeError {
    /// The token is not valid.
    #[error(transparent)]
    Token(#[from] TokenRefused),
    /// The token names no session, so that it cannot be revoked by itself.
    #[error("the token has no session and cannot be revoked individually")]
    WithoutSession,
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who revokes a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoker {
    /// The holder of the token: the user.
    Holder,
    /// An OAuth client, by client id.
    Client(String),
}

/// Ends the session of a token, of whatever kind: an access token, a session token, or any refresh token that
/// was issued for the session. Ending a session twice is not an error.
///
/// # Errors
/// [`RevokeError`] if the token is not valid or belongs to no session, or the database operation failed.
pub async fn revoke_token(
    context: &Arc<Context>,
    token: &str,
    by: Revoker,
    client: ClientInfo,
) -> Result<(), RevokeError> {
    let (id, user) = match context.refresh_keys.parse(token) {
        Ok((id, _)) => match context.store.session(SessionId(id)).await? {
            Some(session) => (session.id, session.user),
            None => return Ok(()),
        },
        Err(_) => match authenticate(context, token, ShownTo::TokenEndpoint).await {
            Ok(who) => (who.session().ok_or(RevokeError::WithoutSession)?, who.id()),
            Err(AuthenticateError::Refused(TokenRefused::SessionEnded)) => return Ok(()),
            Err(AuthenticateError::Refused(refused)) => return Err(refused.into()),
            Err(AuthenticateError::Store(error)) => return Err(error.into()),
        },
    };
    let (actor, reason) = match by {
        Revoker::Holder => (Actor::User(user), EndReason::LoggedOut),
        Revoker::Client(id) => (Actor::Client(id), EndReason::RevokedByClient),
    };
    let (context, origin) = (Arc::clone(context), Origin::new(actor, client));
    finish(async move { end_one(&context, user, id, reason, &origin).await }).await?;
    Ok(())
}
