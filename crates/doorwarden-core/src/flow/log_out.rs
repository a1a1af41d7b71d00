//! Somebody ends sessions of his own, or looks at them.

use super::FlowError;
use super::finish::finish;
use crate::context::Context;
use crate::event::Event;
use crate::flow::authenticate::Authenticated;
use crate::session::{EndReason, Session, SessionCursor, SessionId};
use crate::store::{Change, StoreError};
use crate::user::UserId;
use std::sync::Arc;

/// Which sessions a logout ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogoutScope {
    /// The one whose token was sent.
    #[default]
    This,
    /// All but that one.
    Others,
    /// All.
    All,
}

/// Ends sessions of the caller. Doing it twice is no error.
///
/// A token that names no session can only be ended with all others: [`LogoutScope::This`] and [`LogoutScope::All`] end
/// every such token of the user then.
///
/// # Errors
/// [`FlowError::Store`].
pub async fn log_out(
    context: &Arc<Context>,
    who: &Authenticated,
    scope: LogoutScope,
) -> Result<(), FlowError> {
    let (context, user, session) = (Arc::clone(context), who.user.account.user.id, who.session);
    finish(async move { end_all(&context, user, session, scope).await }).await
}

async fn end_all(
    context: &Context,
    user: UserId,
    session: Option<SessionId>,
    scope: LogoutScope,
) -> Result<(), FlowError> {
    match (scope, session) {
        (LogoutScope::This, Some(session)) => {
            end_one(context, user, session, EndReason::LoggedOut).await?;
        }
        (LogoutScope::Others, except) => {
            let forgetting = (
                context.live.forgetting(Change::User(user)),
                except.map(|kept| context.live.forgetting(Change::Session(kept))),
            );
            let now = context.now();
            let ended = context.store.end_sessions_of(user, except, EndReason::LoggedOut, now).await;
            drop(forgetting);
            if let Some(count) = ended? {
                context.tell(Event::SessionsEnded { user, count, reason: EndReason::LoggedOut }).await;
            }
        }
        (LogoutScope::All, _) | (LogoutScope::This, None) => {
            super::manage::end_everything_of(context, user, EndReason::LoggedOut).await?;
        }
    }
    Ok(())
}

/// Ends one session of the caller; `false` if there is none that lives.
///
/// # Errors
/// [`FlowError::Store`].
pub async fn end(
    context: &Arc<Context>,
    who: &Authenticated,
    session: SessionId,
    reason: EndReason,
) -> Result<bool, FlowError> {
    let (context, user) = (Arc::clone(context), who.user.account.user.id);
    Ok(finish(async move { end_one(&context, user, session, reason).await }).await?)
}

/// Ends one session of a user, forgets it here and tells; `false` if there is none that lives.
pub(super) async fn end_one(
    context: &Context,
    user: UserId,
    session: SessionId,
    reason: EndReason,
) -> Result<bool, StoreError> {
    let forgetting = context.live.forgetting(Change::Session(session));
    let ended = context.store.end_session(session, user, reason, context.now()).await;
    drop(forgetting);
    let ended = ended?;
    if ended {
        context.tell(Event::SessionEnded { user, session, reason }).await;
    }
    Ok(ended)
}

/// How many sessions a page has at most.
pub const PAGE: usize = 100;

/// A part of the list of a user's sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPage {
    /// Sessions that live, newest first; at most [`PAGE`].
    pub sessions: Vec<Session>,
    /// Where the next page begins, if there is one.
    pub next: Option<SessionCursor>,
}

/// The sessions of the caller that live, newest first, from a place in their list on.
///
/// # Errors
/// [`FlowError::Store`].
pub async fn sessions(
    context: &Context,
    who: &Authenticated,
    after: Option<SessionCursor>,
) -> Result<SessionPage, FlowError> {
    sessions_of(context, who.user.account.user.id, after).await
}

/// The sessions of a user that live, newest first, from a place in their list on.
///
/// # Errors
/// [`FlowError::Store`].
pub async fn sessions_of(
    context: &Context,
    user: UserId,
    after: Option<SessionCursor>,
) -> Result<SessionPage, FlowError> {
    let mut sessions = context.store.sessions_of(user, context.now(), after, PAGE + 1).await?;
    let has_next = sessions.len() > PAGE;
    sessions.truncate(PAGE);
    let next = sessions.last().filter(|_| has_next).map(SessionCursor::after);
    Ok(SessionPage { sessions, next })
}
