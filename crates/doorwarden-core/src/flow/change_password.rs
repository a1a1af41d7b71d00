//! Users change their own password.

use super::finish::finish;
use super::open_session::{self, Opening};
use super::reauthenticate::{RECENT, is_recent};
use super::second_factor::notice_mail;
use super::throttle::throttled_as;
use super::verify_password::{confirm_password, confirmed_as, incorrect};
use super::{IssuedToken, rules};
use crate::audit::{Actor, Origin};
use crate::authentication::{PasswordProof, Proof, Purpose};
use crate::context::Context;
use crate::error::{FieldErrors, Input};
use crate::event::Event;
use crate::field::Raw;
use crate::flow::authenticate::Authenticated;
use crate::limit::Throttled;
use crate::mail::MailKind;
use crate::password::PoolError;
use crate::session::{ClientInfo, EndReason};
use crate::settings::PasswordChangeEnds;
use crate::store::{Change, PasswordChange, StoreError};
use crate::user::User;
use std::collections::HashMap;
use std::sync::Arc;

/// The contents of the request.
#[derive(Debug, Default)]
pub struct ChangePassword {
    /// The current password.
    pub current_password: Input<String>,
    /// The new password.
    pub new_password: Input<String>,
    /// Everything else that was sent: may contain a repetition of the new password.
    pub others: HashMap<String, Input<Raw>>,
    /// The client that sent the request.
    pub client: ClientInfo,
}

/// Why a password was not changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChangePasswordError {
    /// The current password is wrong, or the new one breaks rules.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// The account was deleted in the meantime.
    #[error("user not found")]
    NoSuchUser,
    /// The user has a second factor, which the session proved too long ago.
    #[error("the user must be authenticated once more")]
    NotRecent,
    /// Too many passwords came before this one.
    #[error(transparent)]
    Throttled(Box<Throttled>),
    /// The passwords were not hashed.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

throttled_as!(ChangePasswordError);
confirmed_as!(ChangePasswordError);

/// Stores the new password and ends the other sessions and every token without a session. Returns a token if
/// the caller's own session has ended too: the caller's token named no session, or
/// [`PasswordChangeEnds::AllSessions`] is set.
///
/// # Errors
/// [`ChangePasswordError`] if the input breaks rules, the account was deleted, or the password could not be
/// hashed or stored.
pub async fn change_password(
    context: &Arc<Context>,
    who: &Authenticated,
    request: ChangePassword,
) -> Result<Option<IssuedToken>, ChangePasswordError> {
    let id = who.id();
    let user = context.store.user(id).await?.ok_or(ChangePasswordError::NoSuchUser)?;
    if user.has_factor && !is_recent(context, who, RECENT).await? {
        return Err(ChangePasswordError::NotRecent);
    }
    let mut errors = FieldErrors::new();
    let current = rules::typed_password("current_password", request.current_password, &mut errors);
    let new = rules::typed_password("new_password", request.new_password, &mut errors);
    if let Some(new) = &new {
        let attributes = [("username", user.username.as_str()), ("email", user.email.as_str())];
        rules::strength("new_password", &context.settings.password_policy, new, &attributes, &mut errors);
    }
    rules::typed_twice("new_password", new.as_ref(), &request.others, &context.fields, &mut errors);
    if let Some(current) = &current {
        let by = (who.session(), &Origin::new(Actor::User(id), request.client.clone()));
        confirm_password(context, &user, "current_password", current, by, &mut errors).await?;
    }
    rules::not_used_before::<ChangePasswordError>(context, "new_password", &user, new.as_ref(), &mut errors)
        .await?;
    let (Some(new), true) = (new, errors.is_empty()) else {
        return Err(ChangePasswordError::Invalid(errors));
    };

    let keep = match context.settings.password_change_ends {
        PasswordChangeEnds::OtherSessions => who.session(),
        PasswordChangeEnds::AllSessions => None,
    };
    let change = PasswordChange {
        password: context.pool.hash(&new, context.random.bytes()).await?,
        expected: Some(user.password.clone()),
        at: context.now(),
        keep_session: keep,
        reason: EndReason::PasswordChanged,
        proves_email: false,
        keep_earlier: context.settings.password_history,
    };
    let context = Arc::clone(context);
    finish(async move { store(&context, &user, change, request.client).await }).await
}

/// What begins with the new password.
async fn store(
    context: &Context,
    user: &User,
    change: PasswordChange,
    client: ClientInfo,
) -> Result<Option<IssuedToken>, ChangePasswordError> {
    let id = user.id;
    let keep = change.keep_session;
    let chosen = Proof::Password(PasswordProof::of_new(change.password.clone()));
    let origin = Origin::new(Actor::User(id), client.clone());
    let told = notice_mail(context, user, MailKind::PasswordChanged, &origin, |_| {});
    let effects = context.effects(&origin, [Event::PasswordChanged { user: id }]).mailing_all(told);
    let forgetting = context.live.forgetting(Change::User(id));
    let changed = context.store.change_password(id, change, effects.clone()).await;
    drop(forgetting);
    if !changed? {
        return Err(wrong("current_password"));
    }
    context.notify(&effects).await;
    if keep.is_some() {
        return Ok(None);
    }
    let session = open_session::new_session(context, id, client, context.settings.session.lifetime);
    // Somebody else may have changed it again.
    let user = context.store.user(id).await?.ok_or(ChangePasswordError::NoSuchUser)?;
    let purpose = Purpose::NewPassword;
    match open_session::open(context, session, &user, purpose, vec![chosen], None, &origin).await? {
        Opening::Opened(session) => Ok(Some(open_session::session_token(context, &session))),
        Opening::Needs(_) => Ok(None),
        Opening::Gone => Err(wrong("current_password")),
    }
}

fn wrong(field: &'static str) -> ChangePasswordError {
    ChangePasswordError::Invalid(FieldErrors::one(field, incorrect()))
}
