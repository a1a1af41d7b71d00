//! Somebody ends sessions of his own, or looks at them.

use super::FlowError;
use crate::context::Context;
use crate::event::Event;
use crate::flow::authenticate::Authenticated;
use crate::session::{EndReason, Session, SessionId};
use crate::store::Change;

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
pub async fn log_out(context: &Context, who: &Authenticated, scope: LogoutScope) -> Result<(), FlowError> {
    let user = who.user.account.user.id;
    match (scope, who.session) {
        (LogoutScope::This, Some(session)) => drop(end(context, who, session, EndReason::LoggedOut).await?),
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
    context: &Context,
    who: &Authenticated,
    session: SessionId,
    reason: EndReason,
) -> Result<bool, FlowError> {
    let user = who.user.account.user.id;
    let ended = context.store.end_session(session, user, reason, context.now()).await?;
    if ended {
        context.live.forget(Change::Session(session));
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
