//! The one place where a session is opened and its token made: every login ends here.

use super::throttle;
use crate::audit::{Effects, Origin};
use crate::authentication::{Need, Next, Proof, Purpose, Standing, next};
use crate::challenge::ChallengeId;
use crate::context::Context;
use crate::event::Event;
use crate::session::{ClientInfo, Session, SessionId};
use crate::settings::EmailVerification;
use crate::store::{Change, OpenSession, Opened, StoreError};
use crate::time::Timestamp;
use crate::token::session::SessionClaims;
use crate::user::{User, UserId};
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
    /// The user of the session.
    pub user: UserId,
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
    Session { client: client.of_session(), ..Session::new(id, user, now, now.after(lifetime)) }
}

/// What became of a session that was to be opened.
pub(super) enum Opening {
    /// It is open.
    Opened(Box<Session>),
    /// Something is needed first.
    Needs(Need),
    /// The account was deleted, deactivated or given another password than the verified one.
    Gone,
}

/// Opens a session of `user` for `origin`, if nothing more is needed. Spends the challenge that allows it.
pub(super) async fn open(
    context: &Context,
    session: Session,
    user: &User,
    purpose: Purpose,
    proofs: Vec<Proof>,
    spends: Option<ChallengeId>,
    origin: &Origin,
) -> Result<Opening, StoreError> {
    let standing = standing(context, user).await?;
    let completed = match next(purpose, standing, proofs, session.created_at) {
        Next::Done(completed) => completed,
        Next::Needs(need) => return Ok(Opening::Needs(need)),
    };
    if purpose != Purpose::Issue {
        for hook in &context.hooks {
            if let Some(stage) = hook.stage(user).await {
                return Ok(Opening::Needs(Need::Stage(stage)));
            }
        }
    }
    let open = OpenSession::new(session, completed, context.settings.session.max_per_user);
    let session = open.session().clone();
    let event = match purpose {
        Purpose::LogIn => Event::LoggedIn { user: user.id, session: session.id },
        Purpose::NewPassword | Purpose::Issue | Purpose::Reauthenticate | Purpose::ResetPassword => {
            Event::SessionOpened { user: user.id, session: session.id }
        }
    };
    let mail = match purpose {
        Purpose::LogIn => throttle::new_device(context, user, origin).await?,
        _ => None,
    };
    let effects = Effects { spends, ..context.effects(origin, [event]) }.mailing_all(mail);
    let Some(opened) = context.store.open_session(open, effects.clone()).await? else {
        return Ok(Opening::Gone);
    };
    if opened.ended.len() >= Opened::MOST_ENDED as usize {
        context.duties.limit_sessions_of(user.id);
    }
    context.notify(&effects).await;
    forget_surplus(context, &effects, user.id, &opened.ended).await;
    Ok(Opening::Opened(Box::new(Session { generation: opened.generation, ..session })))
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
        user: session.user,
    }
}

/// What must be done by this user before there is a session.
pub(super) async fn standing(context: &Context, user: &User) -> Result<Standing, StoreError> {
    let must_have_factor = must_have_factor(context, user).await?;
    let is_required = context.settings.mail.verification == EmailVerification::Required;
    // Whoever sets up a factor has shown that the address is theirs, or its owner could be locked out.
    let proves_before = must_have_factor && !user.has_factor && context.outbox.is_open();
    Ok(Standing::of(user, is_required || proves_before, must_have_factor))
}

/// Whether the policy asks for a factor of this user.
pub(super) async fn must_have_factor(context: &Context, user: &User) -> Result<bool, StoreError> {
    let policy = &context.settings.factors;
    if policy.required.holds_for(user) {
        return Ok(true);
    }
    if policy.required_groups.is_empty() {
        return Ok(false);
    }
    let account = context.store.account(user.id).await?;
    Ok(account.is_some_and(|account| policy.are_required_of(&account)))
}
