//! Password login.

use super::alike::next_tick;
use super::finish::finish;
use super::open_session::{self, Opening};
use super::pending::{Pending, State, WantedTokens, go_on};
use super::sessions::end_one;
use super::throttle::{self, throttled_as};
use super::verify_password::{PasswordError, verify_for_nobody, verify_password};
use super::{IssuedToken, rules};
use crate::audit::{Actor, Origin};
use crate::authentication::{PasswordProof, Proof, Purpose};
use crate::challenge::ChallengeId;
use crate::context::Context;
use crate::error::{FieldError, FieldErrors, Input};
use crate::event::{Event, LoginFailure};
use crate::identity::{EmailAddress, EmailKey, text};
use crate::limit::Throttled;
use crate::password::{Password, PoolError};
use crate::session::{ClientInfo, EndReason, Session};
use crate::store::{Change, StoreError};
use crate::user::{User, UserId};
use std::sync::Arc;
use tokio::time::Instant;

/// Maximum characters of a password at login, unless the policy's maximum is higher: a user may have chosen a
/// password under an older policy.
const LONGEST: usize = 128;

/// The contents of the request.
#[derive(Debug, Default)]
pub struct Login {
    /// The email address.
    pub email: Input<String>,
    /// The password, exactly as typed.
    pub password: Input<String>,
    /// The client that sent the request.
    pub client: ClientInfo,
}

/// The user who logged in, and the new session.
#[derive(Debug)]
pub struct LoggedIn {
    /// The user.
    pub user: User,
    /// The session.
    pub session: Session,
}

/// Why nobody was logged in.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoginError {
    /// A field is missing, the email address is not valid, or a hook refuses.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// The email address or the password is wrong, or the account cannot log in. Deliberately not more
    /// specific.
    #[error("A user with this email and password was not found.")]
    WrongCredentials,
    /// Too many attempts came before this one.
    #[error(transparent)]
    Throttled(Box<Throttled>),
    /// Something else must be done before there is a token.
    #[error("the login needs another step")]
    Pending(Box<Pending>),
    /// The password was not checked.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

throttled_as!(LoginError);
super::verify_password::confirmed_as!(LoginError);

/// Logs in and returns a session token.
///
/// # Errors
/// [`LoginError`] if the input is not valid, the credentials are wrong, the password could not be checked, or
/// the database operation failed.
pub async fn log_in(context: &Arc<Context>, request: Login) -> Result<(User, IssuedToken), LoginError> {
    let LoggedIn { user, session } = open_session(context, request, WantedTokens::Session).await?;
    let token = open_session::session_token(context, &session);
    Ok((user, token))
}

/// Checks the email address and the password and opens a session for `tokens`. Every login with a password
/// ends here.
///
/// An unknown email address, a wrong password, an inactive account and an unusable password have the same
/// result after the same work.
///
/// # Errors
/// [`LoginError`] if the input is not valid, the credentials are wrong, the password could not be checked, or
/// the database operation failed.
pub(super) async fn open_session(
    context: &Arc<Context>,
    request: Login,
    tokens: WantedTokens,
) -> Result<LoggedIn, LoginError> {
    let mut errors = FieldErrors::new();
    let email = match request.email {
        Input::NotText => Err(FieldError::new("invalid", "Enter a valid email address.")),
        other => other.required(),
    };
    let email = match email.map(|typed| text::python_strip(&typed).to_owned()) {
        Ok(email) if email.is_empty() => Err(FieldError::blank()),
        Ok(email) if email.contains('\0') => Err(FieldError::new("invalid", "Enter a valid email address.")),
        other => other,
    };
    let email = email.map_err(|complaint| errors.add("email", [complaint])).ok();
    let password = rules::typed_password("password", request.password, &mut errors);
    let longest = LONGEST.max(context.settings.password_policy.max_length);
    if password.as_ref().is_some_and(|p| p.expose().chars().count() > longest) {
        errors.add("password", [FieldError::max_length(longest)]);
    }
    let (Some(email), Some(password), true) = (email, password, errors.is_empty()) else {
        return Err(LoginError::Invalid(errors));
    };
    // An imported account may have an email address that older rules allowed, so the rules only choose the
    // message of a failure.
    let failure = match EmailAddress::check(&email) {
        Ok(_) => LoginError::WrongCredentials,
        Err(complaints) => {
            errors.add("email", complaints.into_iter().map(FieldError::from));
            LoginError::Invalid(errors)
        }
    };

    let begin = Instant::now();
    let stranger = Origin::new(Actor::Anonymous, request.client.clone());
    let key = EmailKey::of(&email);
    let found = context.store.user_by_email(&key).await?;
    let attempt = match throttle::attempt(context, &request.client, &key, found.as_ref(), None).await {
        Ok(attempt) => attempt,
        Err(error) => {
            next_tick(begin).await;
            return Err(error.into());
        }
    };
    let (user, proof) = match verify(context, found.clone(), &password).await {
        Ok(verified) => verified,
        Err(Rejected::Login(user, reason)) => {
            attempt.was_wrong(context, found.as_ref(), &stranger).await;
            context.refused(context.effects(&stranger, [Event::LoginFailed { user, reason }])).await;
            next_tick(begin).await;
            return Err(failure);
        }
        Err(Rejected::Pool(error)) => {
            attempt.was_not_made(context).await;
            return Err(error.into());
        }
    };
    let origin = Origin { actor: Actor::User(user.id), ..stranger };
    match finish_login(context, user, tokens, vec![proof], None, origin).await {
        Ok(logged_in) => {
            attempt.logged_in();
            Ok(logged_in)
        }
        Err(error) => {
            attempt.was_right(context).await?;
            Err(if matches!(error, LoginError::WrongCredentials) { failure } else { error })
        }
    }
}

/// The last step of a login with these proofs, whichever they are: asks the hooks, and opens the session or
/// says what is still needed. Spends the challenge that led here.
pub(super) async fn finish_login(
    context: &Arc<Context>,
    user: User,
    tokens: WantedTokens,
    proofs: Vec<Proof>,
    spends: Option<ChallengeId>,
    origin: Origin,
) -> Result<LoggedIn, LoginError> {
    for hook in &context.hooks {
        if let Err(refused) = hook.before_login(&user, &origin.client).await {
            let event = Event::LoginFailed { user: Some(user.id), reason: LoginFailure::Refused };
            let stranger = Origin { actor: Actor::Anonymous, ..origin };
            context.record(context.effects(&stranger, [event])).await;
            return Err(LoginError::Invalid(refused));
        }
    }
    let context = Arc::clone(context);
    finish(async move { open(&context, user, &tokens, proofs, spends, &origin).await }).await
}

/// What begins with the session.
async fn open(
    context: &Context,
    user: User,
    tokens: &WantedTokens,
    proofs: Vec<Proof>,
    spends: Option<ChallengeId>,
    origin: &Origin,
) -> Result<LoggedIn, LoginError> {
    let session = tokens.session(context, user.id, origin.client.clone());
    let state = State::new(tokens.clone(), &proofs);
    let was_locked = throttle::is_locked(context, user.id).await?;
    let session =
        match open_session::open(context, session, &user, Purpose::LogIn, proofs, spends, origin).await? {
            Opening::Opened(session) => *session,
            Opening::Needs(need) => {
                let pending = go_on(context, &user, need, state, spends, origin).await?;
                return Err(LoginError::Pending(Box::new(pending)));
            }
            Opening::Gone => {
                let event = Event::LoginFailed { user: Some(user.id), reason: LoginFailure::Raced };
                context.record(context.effects(origin, [event])).await;
                return Err(LoginError::WrongCredentials);
            }
        };
    context.live.forget(Change::User(user.id));
    if was_locked {
        throttle::unlocked(context, &user, origin).await;
    }
    for hook in &context.hooks {
        if let Err(refused) = hook.after_login(&user, &session).await {
            let application = Actor::Application.into();
            end_one(context, user.id, session.id, EndReason::Refused, &application).await?;
            let event = Event::LoginFailed { user: Some(user.id), reason: LoginFailure::Refused };
            context.record(context.effects(origin, [event])).await;
            return Err(LoginError::Invalid(refused));
        }
    }
    Ok(LoggedIn { user, session })
}

/// Why nobody was verified.
enum Rejected {
    /// The email address and the password are not those of an active account.
    Login(Option<UserId>, LoginFailure),
    /// The password was not compared, or not hashed.
    Pool(PoolError),
}

impl From<PoolError> for Rejected {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

/// The user, if this is their password, with what was verified and, if the hash's cost is not the current
/// one, a new hash.
async fn verify(
    context: &Context,
    user: Option<User>,
    password: &Password,
) -> Result<(User, Proof), Rejected> {
    let Some(user) = user else {
        verify_for_nobody(context, password).await?;
        return Err(Rejected::Login(None, LoginFailure::UnknownEmail));
    };
    let matched = verify_password(context, &user, password).await.map_err(|error| match error {
        PasswordError::Mismatch(reason) => Rejected::Login(Some(user.id), reason),
        PasswordError::Pool(error) => Rejected::Pool(error),
    })?;
    if !user.is_active {
        return Err(Rejected::Login(Some(user.id), LoginFailure::Inactive));
    }
    let rehashed = if matched.needs_rehash {
        Some(context.pool.hash(&matched.password, context.random.bytes()).await?)
    } else {
        None
    };
    let verified = user.password.clone();
    let is_leaked = rules::is_leaked_at_login(context, &matched.password);
    let proof = PasswordProof { verified, rehashed, is_untrimmed: matched.is_untrimmed, is_leaked };
    Ok((user, Proof::Password(proof)))
}
