//! Somebody logs in with an address and a password.

use super::finish::finish;
use super::{FlowError, IssuedToken, rules};
use crate::audit::{Actor, Origin};
use crate::authentication::{PasswordProof, Proof, Purpose};
use crate::context::Context;
use crate::error::{FieldError, FieldErrors, Input};
use crate::event::{Event, LoginFailure};
use crate::identity::{EmailAddress, EmailKey, text};
use crate::password::{Password, PasswordHash, Verdict};
use crate::session::{ClientInfo, EndReason, Session};
use crate::store::Change;
use crate::user::User;
use std::sync::Arc;

/// The most characters of a password at login, or the policy's most if that is more: somebody may have chosen his under an older
/// policy.
const LONGEST: usize = 128;

/// What the request says.
#[derive(Debug, Default)]
pub struct Login {
    /// The address.
    pub email: Input<String>,
    /// The password, exactly as typed.
    pub password: Input<String>,
    /// Where it came from.
    pub client: ClientInfo,
}

/// Who logged in, and the session that it opened.
#[derive(Debug)]
pub struct LoggedIn {
    /// The user.
    pub user: User,
    /// The session.
    pub session: Session,
}

/// Logs in and answers with the article's token.
///
/// # Errors
/// [`FlowError::WrongCredentials`]; [`FlowError::Invalid`] if a field is missing, the address is none, or a hook refuses.
pub async fn log_in(context: &Arc<Context>, request: Login) -> Result<(User, IssuedToken), FlowError> {
    let lifetime = context.settings.session.lifetime;
    let LoggedIn { user, session } =
        open_session(context, request, |c, user, client| c.new_session(user.id, client, lifetime)).await?;
    let token = context.session_token(&session);
    Ok((user, token))
}

/// Checks the address and the password and opens the session that `session` makes. Every login with a password ends here.
///
/// An unknown address, a wrong password, an inactive account and an unusable password get the same answer after the same work.
///
/// # Errors
/// [`FlowError::WrongCredentials`]; [`FlowError::Invalid`] if a field is missing, the address is none, or a hook refuses.
pub(super) async fn open_session(
    context: &Arc<Context>,
    request: Login,
    session: impl FnOnce(&Context, &User, ClientInfo) -> Session,
) -> Result<LoggedIn, FlowError> {
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
        return Err(errors.into());
    };
    // An imported account may have an address of older rules, so the rules only choose the words of a failure.
    let failure = match EmailAddress::check(&email) {
        Ok(_) => FlowError::WrongCredentials,
        Err(complaints) => {
            errors.add("email", complaints.into_iter().map(FieldError::from));
            FlowError::Invalid(errors)
        }
    };

    let stranger = Origin::new(Actor::Anonymous, request.client.clone());
    let (user, proof) = match verify(context, &EmailKey::of(&email), &password).await? {
        Ok(verified) => verified,
        Err((user, reason)) => {
            context.record(context.effects(&stranger, [Event::LoginFailed { user, reason }])).await;
            return Err(failure);
        }
    };
    for hook in &context.hooks {
        if let Err(refused) = hook.before_login(&user, &request.client).await {
            let event = Event::LoginFailed { user: Some(user.id), reason: LoginFailure::Refused };
            context.record(context.effects(&stranger, [event])).await;
            return Err(refused.into());
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
) -> Result<Option<LoggedIn>, FlowError> {
    let Some(session) = context.open(session, Purpose::LogIn, vec![proof], origin).await? else {
        let event = Event::LoginFailed { user: Some(user.id), reason: LoginFailure::Raced };
        context.record(context.effects(origin, [event])).await;
        return Ok(None);
    };
    context.live.forget(Change::User(user.id));
    for hook in &context.hooks {
        if let Err(refused) = hook.after_login(&user, &session).await {
            context.store.end_session(session.id, user.id, EndReason::Revoked, context.now()).await?;
            context.tell(Event::LoginFailed { user: Some(user.id), reason: LoginFailure::Refused }).await;
            return Err(refused.into());
        }
    }
    Ok(Some(LoggedIn { user, session }))
}

type Failure = (Option<crate::user::UserId>, LoginFailure);

/// The user whose address and password these are, with what was verified and, if its cost is not the current one, a new
/// hash.
async fn verify(
    context: &Context,
    email: &EmailKey,
    password: &Password,
) -> Result<Result<(User, Proof), Failure>, FlowError> {
    let Some(user) = context.store.user_by_email(email).await? else {
        context.pool.decoy(password).await?;
        if let Some(trimmed) = trimmed(password) {
            context.pool.decoy(&trimmed).await?;
        }
        return Ok(Err((None, LoginFailure::UnknownEmail)));
    };
    let matched = match matching(context, &user, password).await? {
        Ok(matched) => matched,
        Err(reason) => return Ok(Err((Some(user.id), reason))),
    };
    if !user.is_active {
        return Ok(Err((Some(user.id), LoginFailure::Inactive)));
    }
    let rehashed = if matched.needs_rehash {
        Some(context.pool.hash(&matched.password, context.salt()).await?)
    } else {
        None
    };
    let verified = user.password.clone();
    let proof = PasswordProof { verified, rehashed, is_untrimmed: matched.is_untrimmed };
    Ok(Ok((user, Proof::Password(proof))))
}

/// The password in the form that matched.
pub(super) struct Matched {
    pub(super) password: Password,
    pub(super) needs_rehash: bool,
    /// It has outer blanks, so the stored one was not trimmed before it was hashed.
    pub(super) is_untrimmed: bool,
}

/// What is left of a password without its outer blanks, if it has some.
fn trimmed(password: &Password) -> Option<Password> {
    let trimmed = text::python_strip(password.expose());
    (trimmed.len() != password.expose().len()).then(|| Password::new(trimmed))
}

/// Compares a password with a user's stored one. One with outer blanks is computed twice, with them and without, whoever it is for: an
/// account whose password may have been trimmed cannot be told from others.
pub(super) async fn matching(
    context: &Context,
    user: &User,
    password: &Password,
) -> Result<Result<Matched, LoginFailure>, FlowError> {
    let stored: &PasswordHash = &user.password;
    let as_typed = context.pool.verify(password, stored).await?;
    if let Some(trimmed) = trimmed(password) {
        // Django REST framework cut off the outer blanks before it hashed; Django's admin did not.
        let verdict = context.pool.verify(&trimmed, stored).await?;
        if let (Verdict::Match { needs_rehash }, true) = (verdict, user.password_trimmed) {
            return Ok(Ok(Matched { password: trimmed, needs_rehash, is_untrimmed: false }));
        }
        if let Verdict::Match { needs_rehash } = as_typed {
            return Ok(Ok(Matched { password: password.clone(), needs_rehash, is_untrimmed: true }));
        }
    }
    Ok(match as_typed {
        Verdict::Match { needs_rehash } => {
            Ok(Matched { password: password.clone(), needs_rehash, is_untrimmed: false })
        }
        Verdict::NoMatch => Err(LoginFailure::WrongPassword),
        Verdict::Unusable => Err(LoginFailure::UnusablePassword),
        Verdict::Unreadable => Err(LoginFailure::UnreadableHash),
        Verdict::TooExpensive => Err(LoginFailure::ExpensiveHash),
    })
}
