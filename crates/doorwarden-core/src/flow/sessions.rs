//! The sessions of a user: listed, and ended one by one.

use super::finish::finish;
use crate::audit::{Actor, Origin};
use crate::context::Context;
use crate::event::Event;
use crate::flow::authenticate::Authenticated;
use crate::session::{ClientInfo, EndReason, Session, SessionCursor, SessionId};
use crate::store::{Change, StoreError};
use crate::user::UserId;
use std::sync::Arc;

/// Ends one session of the caller; `false` if there is no such live session.
///
/// # Errors
/// The database operation failed.
pub async fn end_session(
    context: &Arc<Context>,
    who: &Authenticated,
    session: SessionId,
    reason: EndReason,
    client: ClientInfo,
) -> Result<bool, StoreError> {
    let (context, user) = (Arc::clone(context), who.id());
    let origin = Origin::new(Actor::User(user), client);
    finish(async move { end_one(&context, user, session, reason, &origin).await }).await
}

/// Ends one session of a user, drops it from the cache and emits the event; `false` if there is no such live
/// session.
pub(super) async fn end_one(
    context: &Context,
    user: UserId,
    session: SessionId,
    reason: EndReason,
    origin: &Origin,
) -> Result<bool, StoreError> {
    let effects = context.effects(origin, [Event::SessionEnded { user, session, reason }]);
    let forgetting = context.live.forgetting(Change::Session(session));
    let ended = context.store.end_session(session, user, reason, effects.at, effects.clone()).await;
    drop(forgetting);
    let ended = ended?;
    if ended {
        context.notify(&effects).await;
    }
    Ok(ended)
}

/// Maximum number of sessions of a page.
pub const PAGE: usize = 100;

/// A part of the list of a user's sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPage {
    /// Live sessions, newest first; at most [`PAGE`].
    pub sessions: Vec<Session>,
    /// Where the next page begins, if there is one.
    pub next: Option<SessionCursor>,
}

/// The live sessions of the caller, newest first, from a place in the list on.
///
/// # Errors
/// The database operation failed.
pub async fn sessions(
    context: &Context,
    who: &Authenticated,
    after: Option<SessionCursor>,
) -> Result<SessionPage, StoreError> {
    sessions_of(context, who.id(), after).await
}

/// The live sessions of a user, newest first, from a place in the list on.
///
/// # Errors
/// The database operation failed.
pub async fn sessions_of(
    context: &Context,
    user: UserId,
    after: Option<SessionCursor>,
) -> Result<SessionPage, StoreError> {
    let mut sessions = context.store.sessions_of(user, context.now(), after, PAGE + 1).await?;
    let has_next = sessions.len() > PAGE;
    sessions.truncate(PAGE);
    let next = sessions.last().filter(|_| has_next).map(SessionCursor::after);
    Ok(SessionPage { sessions, next })
}
