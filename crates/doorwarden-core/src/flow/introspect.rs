//! Token introspection (RFC 7662).

use super::authenticate::{AuthenticateError, Authenticated, ShownTo, authenticate};
use crate::context::Context;
use crate::live::LiveUser;
use crate::refresh::{self, Decision, Presented};
use crate::session::{Session, SessionId};
use crate::store::StoreError;
use std::sync::Arc;

/// A valid token.
#[derive(Debug, Clone)]
pub enum Introspected {
    /// A session token or an access token.
    Bearer(Authenticated),
    /// A refresh token that would be exchanged.
    Refresh {
        /// The session.
        session: Box<Session>,
        /// The user of the session.
        user: Arc<LiveUser>,
    },
}

/// Verifies a token of any kind without changing anything. `None`: the token is not valid, for any reason.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn introspect(context: &Context, token: &str) -> Result<Option<Introspected>, StoreError> {
    if let Ok((id, counter)) = context.refresh_keys.parse(token) {
        return refresh_token(context, SessionId(id), counter).await;
    }
    match authenticate(context, token, ShownTo::TokenEndpoint).await {
        Ok(who) => Ok(Some(Introspected::Bearer(who))),
        Err(AuthenticateError::Refused(_)) => Ok(None),
        Err(AuthenticateError::Store(error)) => Err(error),
    }
}

async fn refresh_token(
    context: &Context,
    id: SessionId,
    counter: i64,
) -> Result<Option<Introspected>, StoreError> {
    let Some(session) = context.store.session(id).await? else { return Ok(None) };
    let Some(user) = context.live.user(session.user).await? else { return Ok(None) };
    let shown =
        Presented { session: id, counter, at: context.now(), grace: context.settings.access.refresh_grace };
    match refresh::decide(&session, user.account.user.is_active, &shown) {
        Decision::Rotate(_) | Decision::Repeat(..) => {
            Ok(Some(Introspected::Refresh { session: Box::new(session), user }))
        }
        Decision::Reuse(_) | Decision::Refuse => Ok(None),
    }
}
