//! Users delete their own account.

use super::finish::finish;
use super::manage::{UserError, delete_user, end_everything_of};
use super::pending::notice;
use super::reauthenticate::{RECENT, is_recent};
use super::rules;
use super::throttle::throttled_as;
use super::verify_password::{confirm_password, confirmed_as};
use crate::audit::{Actor, Origin};
use crate::context::Context;
use crate::error::{FieldErrors, Input};
use crate::event::{Event, UpdatedFields};
use crate::flow::authenticate::Authenticated;
use crate::limit::Throttled;
use crate::mail::MailKind;
use crate::outbox::Letter;
use crate::password::PoolError;
use crate::session::{ClientInfo, EndReason};
use crate::store::{Change, StoreError, WriteUserError};
use crate::time::Timestamp;
use crate::user::{User, UserChange};
use std::sync::Arc;

/// Why an account was not deleted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeleteAccountError {
    /// The password is missing or wrong.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// The account was deleted before.
    #[error("user not found")]
    NoSuchUser,
    /// The user has a second factor, which the session proved too long ago.
    #[error("the user must be authenticated once more")]
    NotRecent,
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

throttled_as!(DeleteAccountError);
confirmed_as!(DeleteAccountError);

/// What became of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Done,
    /// It will be deleted then, unless its user logs in before and keeps it.
    Planned(Timestamp),
}

/// Deletes the caller's account after they have confirmed with their password, at once or after
/// [`deletion_grace`](crate::settings::Settings::deletion_grace). Every token of the account is refused from
/// then on, and the id is never used again.
///
/// # Errors
/// [`DeleteAccountError`] if the password is missing, wrong or could not be checked, the account was deleted
/// before, or the database operation failed.
pub async fn delete_account(
    context: &Arc<Context>,
    who: &Authenticated,
    password: Input<String>,
    client: ClientInfo,
) -> Result<Deletion, DeleteAccountError> {
    let mut errors = FieldErrors::new();
    let password = rules::typed_password("password", password, &mut errors);
    let user = context.store.user(who.id()).await?.ok_or(DeleteAccountError::NoSuchUser)?;
    if user.has_factor && !is_recent(context, who, RECENT).await? {
        return Err(DeleteAccountError::NotRecent);
    }
    if let Some(password) = &password {
        let by = (who.session(), &Origin::new(Actor::User(user.id), client.clone()));
        confirm_password(context, &user, "password", password, by, &mut errors).await?;
    }
    if !errors.is_empty() {
        return Err(DeleteAccountError::Invalid(errors));
    }
    let context = Arc::clone(context);
    let origin = Origin::new(Actor::User(user.id), client);
    let deleted = finish(async move {
        match context.settings.deletion_grace {
            Some(grace) => plan(&context, &user, context.now().after(grace), &origin).await,
            None => delete_user(&context, user.id, &origin).await.map(|()| Deletion::Done),
        }
    });
    deleted.await.map_err(|error| match error {
        UserError::NoSuchUser => DeleteAccountError::NoSuchUser,
        UserError::Store(error) => error.into(),
    })
}

/// Ends the sessions of an account that will be deleted, and tells its user how to keep it.
async fn plan(context: &Context, user: &User, at: Timestamp, origin: &Origin) -> Result<Deletion, UserError> {
    let change = UserChange { deletion_at: Some(Some(at)), ..UserChange::default() };
    let event = Event::UserUpdated { user: user.id, fields: UpdatedFields::of(&change) };
    let mut content = notice(Some(user), context.now(), origin);
    content.expires_at = Some(at);
    let mail = context.write_mail(Letter {
        kind: MailKind::DeletionPlanned,
        to: user.email.as_str().to_owned(),
        user: Some(user.id),
        locale: user.locale.unwrap_or(context.settings.mail.locale),
        content,
        worth: at.since(context.now()),
        is_decoy: false,
    });
    let mut effects = context.effects(origin, [event]);
    if context.outbox.is_open() {
        effects = effects.mailing_all(mail);
    }
    let forgetting = context.live.forgetting(Change::User(user.id));
    let updated = context.store.update_user(user.id, change, effects.clone()).await;
    drop(forgetting);
    let updated = updated.map_err(|error| match error {
        WriteUserError::Store(error) => UserError::Store(error),
        error => UserError::Store(StoreError::failed(error)),
    })?;
    updated.ok_or(UserError::NoSuchUser)?;
    context.notify(&effects).await;
    end_everything_of(context, user.id, EndReason::UserDeleted, origin).await?;
    Ok(Deletion::Planned(at))
}

/// Deletes a batch of the accounts whose time has come; returns whether there may be more.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub(crate) async fn delete_due(context: &Context, batch: u32) -> Result<bool, StoreError> {
    let now = context.now();
    let due = context.store.users_to_delete(now, batch).await?;
    for user in &due {
        let effects = context.effects(&Actor::System.into(), [Event::UserDeleted { user: *user }]);
        let forgetting = context.live.forgetting(Change::User(*user));
        let deleted = context.store.delete_user_due(*user, now, effects.clone()).await;
        drop(forgetting);
        if deleted? {
            context.notify(&effects).await;
        }
    }
    Ok(due.len() >= batch as usize)
}
