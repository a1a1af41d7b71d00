//! Logout.

use super::finish::finish;
use super::manage::{UserError, end_everything_of};
use super::sessions::end_one;
use crate::audit::{Actor, Origin};
use crate::context::Context;
use crate::event::{Event, Found};
use crate::flow::authenticate::Authenticated;
use crate::session::{ClientInfo, EndReason, SessionId};
use crate::store::{Change, StoreError};
use crate::user::UserId;
use std::sync::Arc;

/// Which sessions a logout ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogoutScope {
    /// The session whose token was sent.
    #[default]
    This,
    /// All sessions but that one.
    Others,
    /// All sessions.
    All,
}

/// Ends sessions of the caller. Repeating it is not an error.
///
/// A token without a session can only be ended together with all others: for such a token
/// [`LogoutScope::This`] and [`LogoutScope::All`] end every token of the user that has no session.
///
/// # Errors
/// The database operation failed.
pub async fn log_out(
    context: &Arc<Context>,
    who: &Authenticated,
    scope: LogoutScope,
    client: ClientInfo,
) -> Result<(), StoreError> {
    let (context, user, session) = (Arc::clone(context), who.id(), who.session());
    let origin = Origin::new(Actor::User(user), client);
    finish(async move { end_all(&context, user, session, scope, &origin).await }).await
}

async fn end_all(
    context: &Context,
    user: UserId,
    session: Option<SessionId>,
    scope: LogoutScope,
    origin: &Origin,
) -> Result<(), StoreError> {
    let reason = EndReason::LoggedOutEverywhere;
    match (scope, session) {
        (LogoutScope::This, Some(session)) => {
            end_one(context, user, session, EndReason::LoggedOut, origin).await?;
        }
        (LogoutScope::Others, except) => {
            let forgetting = (
                context.live.forgetting(Change::User(user)),
                except.map(|kept| context.live.forgetting(Change::Session(kept))),
            );
            let effects = context.effects(origin, [Event::SessionsEnded { user, count: 0, reason }]);
            let ended =
                context.store.end_sessions_of(user, except, reason, effects.at, effects.clone()).await;
            drop(forgetting);
            if let Some(count) = ended?.filter(|count| *count > 0) {
                context.notify(&effects.with(Found::Count(count))).await;
            }
        }
        (LogoutScope::All, _) | (LogoutScope::This, None) => {
            match end_everything_of(context, user, reason, origin).await {
                // A user who is gone has no sessions left to end.
                Ok(_) | Err(UserError::NoSuchUser) => {}
                Err(UserError::Store(error)) => return Err(error),
            }
        }
    }
    Ok(())
}
