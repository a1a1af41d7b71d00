//! Somebody ends sessions of his own, or looks at them.

use super::FlowError;
use super::finish::finish;
use crate::context::Context;
use crate::event::Event;
use crate::flow::authenticate::Authenticated;
use crate::session::{EndReason, Session, SessionId};
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
            let now = context.now();
            let ended = context.store.end_sessions_of(user, except, EndReason::LoggedOut, now).await;
            context.live.forget(Change::User(user));
            if let Some(except) = except {
                context.live.forget(Change::Session(except));
            }
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
    let ended = context.store.end_session(session, user, reason, context.now()).await;
    // Whatever the answer was: it may have been lost.
    context.live.forget(Change::Session(session));
    let ended = ended?;
    if ended {
        context.tell(Event::SessionEnded { user, session, reason }).await;
    }
    Ok(ended)
}

/// The sessions of the caller that live, newest first.
///
/// # Errors
/// [`FlowError::Store`].
pub async fn sessions(context: &Context, who: &Authenticated) -> Result<Vec<Session>, FlowError> {
    Ok(context.store.sessions_of(who.user.account.user.id, context.now()).await?)
}
