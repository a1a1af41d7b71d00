//! What an operator or the application does with accounts: Django's manager, `create_user` and
//! `create_superuser`, and related operations. Error messages are written for developers.

use super::rules;
use super::second_factor::notice_mail;
use crate::audit::Origin;
use crate::context::Context;
use crate::error::{FieldErrors, Input};
use crate::event::{Event, Found, UpdatedFields};
use crate::mail::MailKind;
use crate::password::{Password, PasswordHash, PoolError};
use crate::session::EndReason;
use crate::store::{Change, PasswordChange, SignedOut, StoreError, WriteUserError};
use crate::user::{NewUser, User, UserChange, UserId};
use serde_json::{Map, Value};

/// How many users are signed out in one step, when all are.
const PORTION: u32 = 500;

/// An account to be created, as given to Django's `create_user`.
#[derive(Debug, Clone, Default)]
pub struct NewAccount {
    /// The username.
    pub username: String,
    /// The email address.
    pub email: String,
    /// The password; `None`: the account gets an unusable one.
    pub password: Option<Password>,
    /// `None`: active.
    pub is_active: Option<bool>,
    /// `None`: false for a user, true for a superuser.
    pub is_staff: Option<bool>,
    /// `None`: false for a user, true for a superuser.
    pub is_superuser: Option<bool>,
    /// The application's own members.
    pub metadata: Map<String, Value>,
    /// Whether the email address counts as proved: whoever creates the account knows that it is the user's.
    pub is_email_verified: bool,
}

/// Why an account was not created.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CreateUserError {
    /// There is no username.
    #[error("The given username must be set")]
    UsernameNotSet,
    /// There is no email address.
    #[error("The given email must be set")]
    EmailNotSet,
    /// A superuser was to have `is_staff = false`.
    #[error("Superuser must have is_staff=True.")]
    SuperuserNotStaff,
    /// A superuser was to have `is_superuser = false`.
    #[error("Superuser must have is_superuser=True.")]
    SuperuserNotSuperuser,
    /// The input breaks rules, or another user has the email address or username.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// The password was not hashed.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WriteUserError> for CreateUserError {
    fn from(error: WriteUserError) -> Self {
        rules::complaint(error).map_or_else(Self::Store, Self::Invalid)
    }
}

/// Why an operation on a user failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UserError {
    /// There is no user with this id.
    #[error("user not found")]
    NoSuchUser,
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a user was not changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpdateUserError {
    /// There is no user with this id.
    #[error("user not found")]
    NoSuchUser,
    /// Another user has the new email address or username, or the metadata became too large.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WriteUserError> for UpdateUserError {
    fn from(error: WriteUserError) -> Self {
        rules::complaint(error).map_or_else(Self::Store, Self::Invalid)
    }
}

/// Why a user was not given a password.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SetPasswordError {
    /// There is no user with this id.
    #[error("user not found")]
    NoSuchUser,
    /// The password is nothing but whitespace, or has a NUL.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// The password was not hashed.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Creates an account. As in Django the strength of the password is not judged here: see
/// [`check_password_strength`].
///
/// # Errors
/// [`CreateUserError`] if the input breaks rules, the email address or username is taken, or the password
/// could not be hashed or stored.
pub async fn create_user(
    context: &Context,
    account: NewAccount,
    origin: &Origin,
) -> Result<User, CreateUserError> {
    if account.username.is_empty() {
        return Err(CreateUserError::UsernameNotSet);
    }
    if account.email.is_empty() {
        return Err(CreateUserError::EmailNotSet);
    }
    let mut errors = FieldErrors::new();
    let email = rules::new_email(Input::Given(account.email), &mut errors);
    let username = rules::new_username(Input::Given(account.username), &mut errors);
    if let Some(complaint) = account.password.as_ref().and_then(rules::unfit_password) {
        errors.add("password", [complaint]);
    }
    let (Some(email), Some(username), true) = (email, username, errors.is_empty()) else {
        return Err(CreateUserError::Invalid(errors));
    };
    let password = match &account.password {
        Some(password) => context.pool.hash(password, context.random.bytes()).await?,
        None => PasswordHash::unusable(context.random.bytes()),
    };
    let new = NewUser {
        username,
        email,
        password,
        is_active: account.is_active.unwrap_or(true),
        is_staff: account.is_staff.unwrap_or(false),
        is_superuser: account.is_superuser.unwrap_or(false),
        date_joined: context.now(),
        metadata: account.metadata,
        email_verified_at: account.is_email_verified.then(|| context.now()),
        locale: None,
    };
    let effects = context.effects(origin, [Event::UserCreated { user: UserId::NEW }]);
    let user = context.store.create_user(new, effects.clone()).await?;
    context.notify(&effects.with(Found::User(user.id))).await;
    Ok(user)
}

/// Creates an account that has every permission.
///
/// # Errors
/// [`CreateUserError`] if the input breaks rules, the email address or username is taken, or the password
/// could not be hashed or stored.
pub async fn create_superuser(
    context: &Context,
    mut account: NewAccount,
    origin: &Origin,
) -> Result<User, CreateUserError> {
    if !*account.is_staff.get_or_insert(true) {
        return Err(CreateUserError::SuperuserNotStaff);
    }
    if !*account.is_superuser.get_or_insert(true) {
        return Err(CreateUserError::SuperuserNotSuperuser);
    }
    create_user(context, account, origin).await
}

/// Judges a password for an account with this username and email address.
///
/// # Errors
/// Complaints about `password`, all of them.
pub fn check_password_strength(
    context: &Context,
    password: &Password,
    username: &str,
    email: &str,
) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::new();
    let attributes = [("username", username), ("email", email)];
    rules::strength("password", &context.settings.password_policy, password, &attributes, &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Gives a user a new password, or with `None` an unusable one, and ends all of the user's sessions and
/// tokens. Where mails are sent, the user is told.
///
/// # Errors
/// [`SetPasswordError`] if there is no such user, or the password is not valid, could not be hashed or could
/// not be stored.
pub async fn set_password(
    context: &Context,
    user: UserId,
    password: Option<&Password>,
    origin: &Origin,
) -> Result<(), SetPasswordError> {
    if let Some(complaint) = password.and_then(rules::unfit_password) {
        return Err(SetPasswordError::Invalid(FieldErrors::one("password", complaint)));
    }
    let password = match password {
        Some(password) => context.pool.hash(password, context.random.bytes()).await?,
        None => PasswordHash::unusable(context.random.bytes()),
    };
    let reason = EndReason::PasswordChanged;
    let at = context.now();
    let change = PasswordChange {
        password,
        expected: None,
        at,
        keep_session: None,
        reason,
        proves_email: false,
        keep_earlier: context.settings.password_history,
    };
    let found = match context.outbox.is_open() {
        true => context.store.user(user).await?,
        false => None,
    };
    let told = found.and_then(|user| notice_mail(context, &user, MailKind::PasswordChanged, origin, |_| {}));
    let effects = context.effects(origin, [Event::PasswordChanged { user }]).mailing_all(told);
    let forgetting = context.live.forgetting(Change::User(user));
    let changed = context.store.change_password(user, change, effects.clone()).await;
    drop(forgetting);
    if !changed? {
        return Err(SetPasswordError::NoSuchUser);
    }
    context.notify(&effects).await;
    Ok(())
}

/// Changes a user's fields; returns the updated user. Deactivating an account ends its sessions.
///
/// # Errors
/// [`UpdateUserError`] if there is no such user, the new email address or username is taken, the metadata is
/// too large, or the database operation failed.
pub async fn update_user(
    context: &Context,
    user: UserId,
    change: UserChange,
    origin: &Origin,
) -> Result<User, UpdateUserError> {
    let fields = UpdatedFields::of(&change);
    let event = (fields != UpdatedFields::default()).then_some(Event::UserUpdated { user, fields });
    let effects = context.effects(origin, event);
    let forgetting = context.live.forgetting(Change::User(user));
    let changed = context.store.update_user(user, change, effects.clone()).await;
    drop(forgetting);
    let changed = changed?.ok_or(UpdateUserError::NoSuchUser)?;
    context.notify(&effects).await;
    Ok(changed)
}

/// Ends all sessions of a user, and every token of the user without a session. Returns how many sessions were
/// ended, or only that there were more than 1,000.
///
/// # Errors
/// [`UserError`] if there is no such user, or the database operation failed.
pub async fn sign_out(context: &Context, user: UserId, origin: &Origin) -> Result<u64, UserError> {
    end_everything_of(context, user, origin.actor.signs_out_for(), origin).await
}

/// Ends all sessions of all users, and every token without a session. Returns how many; at most 1,000
/// sessions are counted for each user.
///
/// # Errors
/// [`StoreError`] if the database operation failed. Some users may have been signed out by then; the call may
/// be repeated.
pub async fn sign_out_everybody(context: &Context, origin: &Origin) -> Result<SignedOut, StoreError> {
    let forgetting = context.live.forgetting(Change::Everything);
    let reason = origin.actor.signs_out_for();
    let effects = context.effects(origin, [Event::EverybodySignedOut { users: 0, sessions: 0 }]);
    let mut all = SignedOut::default();
    let next = |after| context.store.sign_out_users(after, PORTION, reason, effects.at, effects.clone());
    while let Some(portion) = next(all.last).await? {
        let SignedOut { last, users, sessions } = portion;
        all = SignedOut { last, users: all.users + users, sessions: all.sessions + sessions };
    }
    drop(forgetting);
    let SignedOut { users, sessions, .. } = all;
    context.notify(&effects.with(Found::SignedOut { users, sessions })).await;
    Ok(all)
}

/// [`sign_out`] with this reason.
pub(super) async fn end_everything_of(
    context: &Context,
    user: UserId,
    reason: EndReason,
    origin: &Origin,
) -> Result<u64, UserError> {
    let effects = context.effects(origin, [Event::SessionsEnded { user, count: 0, reason }]);
    let forgetting = context.live.forgetting(Change::User(user));
    let count = context.store.sign_out_user(user, reason, effects.at, effects.clone()).await;
    drop(forgetting);
    let count = count?.ok_or(UserError::NoSuchUser)?;
    context.notify(&effects.with(Found::Count(count))).await;
    Ok(count)
}

/// Deletes a user and ends all of their sessions and tokens.
///
/// # Errors
/// [`UserError`] if there is no such user, or the database operation failed.
pub async fn delete_user(context: &Context, user: UserId, origin: &Origin) -> Result<(), UserError> {
    let effects = context.effects(origin, [Event::UserDeleted { user }]);
    let forgetting = context.live.forgetting(Change::User(user));
    let deleted = context.store.delete_user(user, effects.clone()).await;
    drop(forgetting);
    if !deleted? {
        return Err(UserError::NoSuchUser);
    }
    context.notify(&effects).await;
    Ok(())
}
