//! Does this token count at this moment, and what does it say? (RFC 7662)

use super::authenticate::{AuthenticateError, Authenticated, authenticate};
use crate::context::Context;
use crate::live::LiveUser;
use crate::session::{Session, SessionId};
use crate::store::StoreError;
use crate::time::Timestamp;
use std::sync::Arc;

/// A token that counts.
#[derive(Debug, Clone)]
pub enum Introspected {
    /// A session token or an access token.
    Bearer(Authenticated),
    /// A refresh token: the newest of its session, or the one before.
    Refresh {
        /// The session.
        session: Box<Session>,
        /// Whose it is.
        user: Arc<LiveUser>,
    },
}

/// Looks at a token of any kind, and changes nothing. `None`: it does not count, for whatever reason.
///
/// # Errors
/// [`StoreError`].
pub async fn introspect(context: &Context, token: &str) -> Result<Option<Introspected>, StoreError> {
    if let Ok((id, counter)) = context.refresh_keys.parse(token) {
        return refresh_token(context, SessionId(id), counter).await;
    }
    match authenticate(context, token).await {
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
    let is_known = session.refresh_counter.is_some_and(|newest| (newest - 1..=newest).contains(&counter));
    if !is_known || !is_alive(&session, context.now()) || !user.account.user.is_active {
        return Ok(None);
    }
    Ok(Some(Introspected::Refresh { session: Box::new(session), user }))
}

/// As [`rotate_refresh`](crate::store::SessionStore::rotate_refresh) decides it.
fn is_alive(session: &Session, now: Timestamp) -> bool {
    let idle = now.as_micros().saturating_sub(session.last_seen_at.as_micros());
    let is_idle = session.idle_seconds.is_some_and(|limit| idle >= limit.saturating_mul(1_000_000));
    session.ended.is_none() && now < session.expires_at && !is_idle
}
