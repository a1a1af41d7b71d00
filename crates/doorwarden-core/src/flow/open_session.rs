//! The one place where a session is opened and its token made: every login ends here.

use crate::audit::{Effects, Origin};
use crate::authentication::{Next, Proof, Purpose, next};
use crate::context::Context;
use crate::event::Event;
use crate::session::{ClientInfo, Session, SessionId};
use crate::store::{Change, OpenSession, Opened, StoreError};
use crate::time::Timestamp;
use crate::token::session::SessionClaims;
use crate::user::UserId;
use std::time::Duration;

/// A newly issued session token. `Debug` does not show it.
#[derive(Clone)]
pub struct IssuedToken {
    /// The compact JWT.
    pub token: String,
    /// When the token expires.
    pub expires_at: Timestamp,
    /// The session of the token.
    pub session: SessionId,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("session", &self.session).finish_non_exhaustive()
    }
}

/// A session that is not opened yet.
pub(super) fn new_session(
    context: &Context,
    user: UserId,
    client: ClientInfo,
    lifetime: Duration,
) -> Session {
    let now = context.now();
    let id = SessionId::new(now, context.random.bytes());
    Session { client: client.shortened(), ..Session::new(id, user, now, now.after(lifetime)) }
}

/// Opens a session for `origin`. `None` if something that `purpose` needs was not verified, or the account
/// was deleted, deactivated or given another password than the verified one.
pub(super) async fn open(
    context: &Context,
    session: Session,
    purpose: Purpose,
    proofs: Vec<Proof>,
    origin: &Origin,
) -> Result<Option<Session>, StoreError> {
    let Next::Done(completed) = next(purpose, proofs, session.created_at) else { return Ok(None) };
    let open = OpenSession::new(session, completed, context.settings.session.max_per_user);
    let session = open.session().clone();
    let user = session.user;
    let event = match purpose {
        Purpose::LogIn => Event::LoggedIn { user, session: session.id },
        Purpose::NewPassword | Purpose::Issue => Event::SessionOpened { user, session: session.id },
    };
    let effects = context.effects(origin, [event]);
    let Some(opened) = context.store.open_session(open, effects.clone()).await? else { return Ok(None) };
    if opened.ended.len() >= Opened::MOST_ENDED as usize {
        context.duties.limit_sessions_of(user);
    }
    context.notify(&effects).await;
    forget_surplus(context, &effects, user, &opened.ended).await;
    Ok(Some(Session { generation: opened.generation, ..session }))
}

/// Drops sessions from the cache that ended because a user had too many.
pub(crate) async fn forget_surplus(context: &Context, cause: &Effects, user: UserId, ended: &[SessionId]) {
    for session in ended {
        context.live.forget(Change::Session(*session));
    }
    context.notify(&cause.causing(Event::surplus(user, ended))).await;
}

/// The session token of a session.
pub(super) fn session_token(context: &Context, session: &Session) -> IssuedToken {
    let claims = SessionClaims {
        id: session.user.0,
        exp: session.expires_at.as_seconds(),
        iat: Some(context.now().as_seconds()),
        jti: Some(context.random.bytes()),
        sid: Some(session.id.0),
    };
    IssuedToken {
        token: context.session_keys.sign(&claims),
        expires_at: Timestamp::from_seconds(claims.exp),
        session: session.id,
    }
}
