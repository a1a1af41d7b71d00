//! Verification of a typed password.

use super::throttle::{self, LimitError};
use crate::audit::{Actor, Origin};
use crate::context::Context;
use crate::error::{FieldError, FieldErrors};
use crate::event::{Event, LoginFailure};
use crate::identity::text;
use crate::password::{Password, PasswordHash, PoolError, Verdict};
use crate::session::SessionId;
use crate::user::User;

/// The password in the form that matched.
pub(super) struct Matched {
    pub(super) password: Password,
    pub(super) needs_rehash: bool,
    /// The password has surrounding whitespace, so the stored one was not trimmed before it was hashed.
    pub(super) is_untrimmed: bool,
}

/// Why a password was not verified.
pub(super) enum PasswordError {
    /// The password is not the stored one.
    Mismatch(LoginFailure),
    /// The password was not compared.
    Pool(PoolError),
}

impl From<PoolError> for PasswordError {
    fn from(error: PoolError) -> Self {
        Self::Pool(error)
    }
}

/// Compares a password with a user's stored one. A password with surrounding whitespace is hashed twice, with
/// and without it, for every user: an account whose password may have been trimmed cannot be told from
/// others.
pub(super) async fn verify_password(
    context: &Context,
    user: &User,
    password: &Password,
) -> Result<Matched, PasswordError> {
    let stored: &PasswordHash = &user.password;
    let as_typed = context.pool.verify(password, stored).await?;
    if let Some(trimmed) = trimmed(password) {
        // Django REST framework trimmed passwords before it hashed them; Django's admin did not.
        let verdict = context.pool.verify(&trimmed, stored).await?;
        if let (Verdict::Match { needs_rehash }, true) = (verdict, user.password_trimmed) {
            return Ok(Matched { password: trimmed, needs_rehash, is_untrimmed: false });
        }
        if let Verdict::Match { needs_rehash } = as_typed {
            return Ok(Matched { password: password.clone(), needs_rehash, is_untrimmed: true });
        }
    }
    Err(PasswordError::Mismatch(match as_typed {
        Verdict::Match { needs_rehash } => {
            return Ok(Matched { password: password.clone(), needs_rehash, is_untrimmed: false });
        }
        Verdict::NoMatch => LoginFailure::WrongPassword,
        Verdict::Unusable => LoginFailure::UnusablePassword,
        Verdict::Unreadable => LoginFailure::UnreadableHash,
        Verdict::TooExpensive => LoginFailure::ExpensiveHash,
    }))
}

/// Does the work of [`verify_password`] for an unknown user (dummy hash).
pub(super) async fn verify_for_nobody(context: &Context, password: &Password) -> Result<(), PoolError> {
    context.pool.verify_dummy(password).await?;
    match trimmed(password) {
        Some(trimmed) => context.pool.verify_dummy(&trimmed).await,
        None => Ok(()),
    }
}

/// Why it is not known whether a password is the right one.
pub(super) enum ConfirmError {
    /// Too many were tried.
    Limit(LimitError),
    /// The password was not compared.
    Pool(PoolError),
}

/// Implements the conversion into the error of a flow that has both causes.
macro_rules! confirmed_as {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$crate::flow::verify_password::ConfirmError> for $error {
            fn from(error: $crate::flow::verify_password::ConfirmError) -> Self {
                match error {
                    $crate::flow::verify_password::ConfirmError::Limit(error) => error.into(),
                    $crate::flow::verify_password::ConfirmError::Pool(error) => Self::Pool(error),
                }
            }
        }
    )+};
}

pub(super) use confirmed_as;

/// Checks the password with which a user confirms an operation, in their session if they have one; complains
/// about `field` if the password is wrong.
pub(super) async fn confirm_password(
    context: &Context,
    user: &User,
    field: &'static str,
    password: &Password,
    (session, origin): (Option<SessionId>, &Origin),
    errors: &mut FieldErrors,
) -> Result<(), ConfirmError> {
    let email = user.email.key();
    let attempt = throttle::attempt(context, &origin.client, &email, Some(user), session).await;
    let attempt = attempt.map_err(ConfirmError::Limit)?;
    match verify_password(context, user, password).await {
        Ok(_) => attempt.was_right(context).await.map_err(|error| ConfirmError::Limit(error.into()))?,
        Err(PasswordError::Mismatch(_)) => {
            attempt.was_wrong(context, Some(user), origin).await;
            let origin = Origin::new(Actor::Anonymous, origin.client.clone());
            context.refused(context.effects(&origin, [Event::PasswordRefused { user: user.id }])).await;
            errors.add(field, [incorrect()]);
        }
        Err(PasswordError::Pool(error)) => {
            attempt.was_not_made(context).await;
            return Err(ConfirmError::Pool(error));
        }
    }
    Ok(())
}

/// The complaint about a wrong password.
pub(super) fn incorrect() -> FieldError {
    FieldError::new("password_incorrect", "The password was entered incorrectly. Please enter it again.")
}

/// The trimmed password, if there is whitespace to trim.
fn trimmed(password: &Password) -> Option<Password> {
    let trimmed = text::python_strip(password.expose());
    (trimmed.len() != password.expose().len()).then(|| Password::new(trimmed))
}
