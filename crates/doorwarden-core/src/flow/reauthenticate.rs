//! "Confirm that it is you": some operations need an authentication of a few minutes ago. A refresh does not
//! move its time; this does.

use super::authenticate::Authenticated;
use super::links::{Answer, RedeemError, answered};
use super::open_session;
use super::pending::{Ask, Goal, Pending, PendingStep, State, WantedTokens, ask, go_on};
use super::rules;
use super::throttle::{self, LimitError, throttled_as};
use super::verify_password::{confirm_password, confirmed_as};
use crate::audit::{Actor, Effects, Origin};
use crate::authentication::{AuthContext, Need, Next, PasswordProof, Proof, Purpose, next};
use crate::challenge::{Challenge, ChallengePurpose};
use crate::context::Context;
use crate::error::{FieldErrors, Input};
use crate::event::Event;
use crate::limit::Throttled;
use crate::mail::MailKind;
use crate::password::{PasswordHash, PoolError};
use crate::session::{ClientInfo, SessionId};
use crate::store::StoreError;
use crate::user::User;
use serde_json::{Map, Value};
use std::time::Duration;

/// How long ago an authentication may be that counts as recent (RFC 9470; NIST SP 800-63B).
pub const RECENT: Duration = Duration::from_mins(5);

/// Why a user was not authenticated once more.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReauthenticateError {
    /// The password is wrong.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// A mail was sent that must be answered.
    #[error("a mail must be answered")]
    Pending(Box<Pending>),
    /// The token names no session, or its session has ended.
    #[error("the token has no session that could be authenticated again")]
    NoSession,
    /// The user has no factor.
    #[error("the user has no second factor")]
    NoFactor,
    /// No password was sent, and this service sends no mail.
    #[error("this service sends no mail")]
    NoMail,
    /// Too many passwords came before this one.
    #[error(transparent)]
    Throttled(Box<Throttled>),
    /// The password was not checked.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

throttled_as!(ReauthenticateError);
confirmed_as!(ReauthenticateError);

/// Whether the session of a token was authenticated at most `age` ago.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn is_recent(context: &Context, who: &Authenticated, age: Duration) -> Result<bool, StoreError> {
    let auth = auth_of(context, who).await?;
    Ok(auth.is_some_and(|auth| context.now().before(age) <= auth.auth_time))
}

/// Whether the session of a token has at least this [assurance level](AuthContext::assurance_level), whatever
/// the token says, which may be older than a step-up of its session.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn has_level(context: &Context, who: &Authenticated, level: u8) -> Result<bool, StoreError> {
    let auth = auth_of(context, who).await?;
    Ok(auth.map_or(AuthContext::UNAUTHENTICATED, |auth| auth.assurance_level) >= level)
}

/// How the user of a live session was authenticated.
async fn auth_of(context: &Context, who: &Authenticated) -> Result<Option<AuthContext>, StoreError> {
    let Some(session) = who.session() else { return Ok(None) };
    let session = context.store.session(session).await?;
    Ok(session.filter(|session| session.ended.is_none()).and_then(|session| session.auth))
}

/// Authenticates the user of a session once more: by the password, or without one by a mail.
///
/// # Errors
/// [`ReauthenticateError`], among them [`Pending`](ReauthenticateError::Pending) with the next step, where no
/// password was sent.
pub async fn reauthenticate(
    context: &Context,
    who: &Authenticated,
    password: Input<String>,
    client: ClientInfo,
) -> Result<AuthContext, ReauthenticateError> {
    let session = who.session().ok_or(ReauthenticateError::NoSession)?;
    let user = context.store.user(who.id()).await?.ok_or(ReauthenticateError::NoSession)?;
    let origin = Origin::new(Actor::User(user.id), client);
    if matches!(password, Input::Missing) {
        return Err(by_mail(context, &user, session, &origin).await?);
    }
    let mut errors = FieldErrors::new();
    let password = rules::typed_password("password", password, &mut errors);
    if let Some(password) = &password {
        let by = (Some(session), &origin);
        confirm_password(context, &user, "password", password, by, &mut errors).await?;
    }
    if !errors.is_empty() {
        return Err(ReauthenticateError::Invalid(errors));
    }
    let proof = Proof::Password(PasswordProof::of_new(user.password.clone()));
    let standing = open_session::standing(context, &user).await?;
    match next(Purpose::Reauthenticate, standing, vec![proof.clone()], context.now()) {
        Next::Done(completed) => {
            let auth = completed.auth().ok_or(ReauthenticateError::NoSession)?;
            authenticate(context, &user, session, auth, Some(&user.password), context.effects(&origin, []))
                .await
        }
        Next::Needs(need) => Err(wait_for(context, &user, session, need, &[proof], &origin).await?),
    }
}

/// Authenticates the user of a session once more by a factor of theirs: a passkey that verifies its user is
/// enough, beside any other the password is asked for, too.
///
/// # Errors
/// [`ReauthenticateError`], never success at once: [`Pending`](ReauthenticateError::Pending) with the next
/// step, or [`NoFactor`](ReauthenticateError::NoFactor).
pub async fn reauthenticate_by_factor(
    context: &Context,
    who: &Authenticated,
    client: ClientInfo,
) -> Result<AuthContext, ReauthenticateError> {
    let session = who.session().ok_or(ReauthenticateError::NoSession)?;
    let user = context.store.user(who.id()).await?.ok_or(ReauthenticateError::NoSession)?;
    if !user.has_factor {
        return Err(ReauthenticateError::NoFactor);
    }
    let origin = Origin::new(Actor::User(user.id), client);
    Err(wait_for(context, &user, session, Need::SecondFactor, &[], &origin).await?)
}

/// The next step, after which the session is authenticated.
async fn wait_for(
    context: &Context,
    user: &User,
    session: SessionId,
    need: Need,
    proofs: &[Proof],
    origin: &Origin,
) -> Result<ReauthenticateError, LimitError> {
    let mut state = State::new(WantedTokens::Session, proofs);
    state.goal = Goal::Reauthenticate(session);
    let pending = go_on(context, user, need, state, None, origin).await?;
    Ok(ReauthenticateError::Pending(Box::new(pending)))
}

/// Stores that the user of a session was authenticated once more.
pub(super) async fn authenticate(
    context: &Context,
    user: &User,
    session: SessionId,
    auth: AuthContext,
    verified: Option<&PasswordHash>,
    cause: Effects,
) -> Result<AuthContext, ReauthenticateError> {
    let event = Event::Reauthenticated { user: user.id, session };
    let effects = Effects { events: vec![event], ..cause };
    let stored =
        context.store.authenticate_session(session, user.id, auth, verified, effects.clone()).await?;
    if !stored {
        return Err(ReauthenticateError::NoSession);
    }
    context.notify(&effects).await;
    Ok(auth)
}

async fn by_mail(
    context: &Context,
    user: &User,
    session: SessionId,
    origin: &Origin,
) -> Result<ReauthenticateError, LimitError> {
    // A mail to an address that was never proved proves nothing of the user.
    if !context.outbox.is_open() || user.email_verified_at.is_none() {
        return Ok(ReauthenticateError::NoMail);
    }
    throttle::mail_of(context, &origin.client, user, &user.email.key()).await?;
    let asked = Ask {
        purpose: ChallengePurpose::Reauthenticate,
        user: Some(user),
        email: user.email.clone(),
        lifetime: context.settings.mail.login_lifetime,
        data: Map::from_iter([(SESSION.to_owned(), Value::from(session.to_string()))]),
        username_key: None,
        mail: Some(MailKind::Reauthenticate),
        is_decoy: false,
        locale: None,
        spends: None,
    };
    let (login_token, expires_at) = ask(context, asked, origin, None).await?;
    let expires_in = expires_at.since(context.now());
    Ok(ReauthenticateError::Pending(Box::new(Pending {
        step: PendingStep::EmailCode,
        login_token,
        expires_in,
    })))
}

/// The session of a challenge, in its data.
const SESSION: &str = "session";

/// What the code of a mail proves for the session for which it was sent. The link is good for nothing else
/// than to be answered where it was asked for.
pub(super) async fn answer_mail(
    context: &Context,
    answer: Answer,
    client: ClientInfo,
) -> Result<(User, State, Challenge, Origin), RedeemError> {
    let answered = answered(context, answer, &client).await?;
    let challenge: Challenge = answered.challenge;
    let session = challenge.data.get(SESSION).and_then(|id| id.as_str()?.parse().ok());
    let user = match challenge.user.filter(|_| challenge.purpose == ChallengePurpose::Reauthenticate) {
        Some(user) if answered.is_asker => context.store.user(user).await?,
        _ => None,
    };
    let (Some(session), Some(user)) = (session, user) else { return Err(RedeemError::LinkInvalid) };
    let mut state = State::new(WantedTokens::Session, &[Proof::Email]);
    state.goal = Goal::Reauthenticate(SessionId(session));
    let origin = Origin::new(Actor::User(user.id), client);
    Ok((user, state, challenge, origin))
}
