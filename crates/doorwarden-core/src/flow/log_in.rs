//! Password login.

use super::finish::finish;
use super::open_session;
use super::sessions::end_one;
use super::verify_password::{PasswordError, verify_for_nobody, verify_password};
use super::{IssuedToken, rules};
use crate::audit::{Actor, Origin};
use crate::authentication::{PasswordProof, Proof, Purpose};
use crate::context::Context;
use crate::error::{FieldError, FieldErrors, Input};
use crate::event::{Event, LoginFailure};
use crate::identity::{EmailAddress, EmailKey, text};
use crate::password::{Password, PoolError};
use crate::session::{ClientInfo, EndReason, Session};
use crate::store::{Change, StoreError};
use crate::user::{User, UserId};
use std::sync::Arc;

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
    /// The password was not checked.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Logs in and returns a session token.
///
/// # Errors
/// [`LoginError`] if the input is not valid, the credentials are wrong, the password could not be checked, or
/// the database operation failed.
pub async fn log_in(context: &Arc<Context>, request: Login) -> Result<(User, IssuedToken), LoginError> {
    let lifetime = context.settings.session.lifetime;
    let LoggedIn { user, session } = open_session(context, request, |c, user, client| {
        open_session::new_session(c, user.id, client, lifetime)
    })
    .await?;
    let token = open_session::session_token(context, &session);
    Ok((user, token))
}

/// Checks the email address and the password and opens the session that `session` makes. Every login with a
/// password ends here.
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
    session: impl FnOnce(&Context, &User, ClientInfo) -> Session,
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

    let stranger = Origin::new(Actor::Anonymous, request.client.clone());
    let (user, proof) = match verify(context, &EmailKey::of(&email), &password).await {
        Ok(verified) => verified,
        Err(Rejected::Login(user, reason)) => {
            // Not recorded in the audit log: anybody could make the log grow.
            context.notify(&context.effects(&stranger, [Event::LoginFailed { user, reason }])).await;
            return Err(failure);
        }
        Err(Rejected::Pool(error)) => return Err(error.into()),
        Err(Rejected::Store(error)) => return Err(error.into()),
    };
    for hook in &context.hooks {
        if let Err(refused) = hook.before_login(&user, &request.client).await {
            let event = Event::LoginFailed { user: Some(user.id), reason: LoginFailure::Refused };
            context.record(context.effects(&stranger, [event])).await;
            return Err(LoginError::Invalid(refused));
        }
    }

    let session = session(context, &user, request.client);
    let context = Arc::clone(context);
    let origin = Origin { actor: Actor::User(user.id), ..stranger };
    let opened = finish(async move { open(&context, user, session, proof, &origin).await }).await?;
    opened.ok_or(failure)
}

/// What begins with the session. `None`: the account was changed while its password was being checked.
async fn open(
    context: &Context,
    user: User,
    session: Session,
    proof: Proof,
    origin: &Origin,
) -> Result<Option<LoggedIn>, LoginError> {
    let Some(session) = open_session::open(context, session, Purpose::LogIn, vec![proof], origin).await?
    else {
        let event = Event::LoginFailed { user: Some(user.id), reason: LoginFailure::Raced };
        context.record(context.effects(origin, [event])).await;
        return Ok(None);
    };
    context.live.forget(Change::User(user.id));
    for hook in &context.hooks {
        if let Err(refused) = hook.after_login(&user, &session).await {
            let application = Actor::Application.into();
            end_one(context, user.id, session.id, EndReason::Refused, &application).await?;
            let event = Event::LoginFailed { user: Some(user.id), reason: LoginFailure::Refused };
            context.record(context.effects(origin, [event])).await;
            return Err(LoginError::Invalid(refused));
        }
    }
    Ok(Some(LoggedIn { user, session }))
}

/// Why nobody was verified.
enum Rejected {
    /// The email address and the password are not those of an active account.
    Login(Option<UserId>, LoginFailure),
    /// The password was not compared, or not hashed.
    Pool(PoolError),
    /// The database operation failed.
    Store(StoreError),
}

impl From<PoolError> for Rejected {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

/// The user with this email address and password, with what was verified and, if the hash's cost is not the
/// current one, a new hash.
async fn verify(context: &Context, email: &EmailKey, password: &Password) -> Result<(User, Proof), Rejected> {
    let Some(user) = context.store.user_by_email(email).await.map_err(Rejected::Store)? else {
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
    let proof = PasswordProof { verified, rehashed, is_untrimmed: matched.is_untrimmed };
    Ok((user, Proof::Password(proof)))
}
