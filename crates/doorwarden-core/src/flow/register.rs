//! Registration.

use super::finish::finish;
use super::manage::{UserError, delete_user};
use super::open_session;
use super::{IssuedToken, rules};
use crate::audit::{Actor, Origin};
use crate::authentication::{PasswordProof, Proof, Purpose};
use crate::context::Context;
use crate::error::{FieldError, FieldErrors, Input};
use crate::event::{Event, Found};
use crate::field::Raw;
use crate::identity::{EmailAddress, Username};
use crate::password::{Password, PoolError};
use crate::session::ClientInfo;
use crate::store::{StoreError, WriteUserError};
use crate::user::{NewUser, User, UserId};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The contents of the request.
#[derive(Debug, Default)]
pub struct Registration {
    /// The email address.
    pub email: Input<String>,
    /// The username.
    pub username: Input<String>,
    /// The password, exactly as typed.
    pub password: Input<String>,
    /// Everything else that was sent: may contain declared fields.
    pub others: std::collections::HashMap<String, Input<Raw>>,
    /// The client that sent the request.
    pub client: ClientInfo,
}

/// The account and its first session.
#[derive(Debug)]
pub struct Registered {
    /// The new user.
    pub user: User,
    /// The session token of the new session.
    pub token: IssuedToken,
}

/// Why a registration failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegisterError {
    /// The input breaks rules, another user has the email address or username, or a hook refuses.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// The account was created, and deleted, deactivated or given another password before its first session
    /// was opened.
    #[error("the account was changed before its first session was opened")]
    Changed,
    /// The password was not hashed.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<WriteUserError> for RegisterError {
    fn from(error: WriteUserError) -> Self {
        rules::complaint(error).map_or_else(Self::Store, Self::Invalid)
    }
}

/// Creates the account and opens its first session. Not a login: `last_login` stays empty.
///
/// # Errors
/// [`RegisterError::Invalid`] with every complaint at once; of many simultaneous registrations of one email
/// address or username exactly one succeeds.
pub async fn register(context: &Arc<Context>, request: Registration) -> Result<Registered, RegisterError> {
    let client = request.client.clone();
    let (valid, password) = validate(context, request).await?;
    let mut new = valid;
    for hook in &context.hooks {
        hook.before_registration(&mut new, &client).await.map_err(RegisterError::Invalid)?;
    }
    new.password = context.pool.hash(&password, context.random.bytes()).await?;
    let context = Arc::clone(context);
    finish(async move { create(&context, new, client).await }).await
}

/// Completed once the account exists: disconnecting does not bypass a hook.
async fn create(context: &Context, new: NewUser, client: ClientInfo) -> Result<Registered, RegisterError> {
    let origin = Origin::new(Actor::Anonymous, client.clone());
    let effects = context.effects(&origin, [Event::UserCreated { user: UserId::NEW }]);
    let user = context.store.create_user(new, effects.clone()).await?;
    context.notify(&effects.with(Found::User(user.id))).await;
    let origin = Origin { actor: Actor::User(user.id), ..origin };
    for hook in &context.hooks {
        if let Err(refused) = hook.after_registration(&user).await {
            match delete_user(context, user.id, &Actor::Application.into()).await {
                // Somebody else was faster.
                Ok(()) | Err(UserError::NoSuchUser) => {}
                Err(UserError::Store(error)) => return Err(error.into()),
            }
            return Err(RegisterError::Invalid(refused));
        }
    }

    let session = open_session::new_session(context, user.id, client, context.settings.session.lifetime);
    let chosen = Proof::Password(PasswordProof::of_new(user.password.clone()));
    let session = open_session::open(context, session, Purpose::NewPassword, vec![chosen], &origin).await?;
    let session = session.ok_or(RegisterError::Changed)?;
    let token = open_session::session_token(context, &session);
    Ok(Registered { user, token })
}

/// The account to be created, without its password hash.
async fn validate(context: &Context, request: Registration) -> Result<(NewUser, Password), RegisterError> {
    let mut errors = FieldErrors::new();
    let typed = |input: &Input<String>| match input {
        Input::Given(text) => text.clone(),
        _ => String::new(),
    };
    let attributes = [("username", typed(&request.username)), ("email", typed(&request.email))];
    let attributes = attributes.each_ref().map(|(name, value)| (*name, value.as_str()));

    let email = rules::new_email(request.email, &mut errors);
    let username = rules::new_username(request.username, &mut errors);
    complain_about_taken(context, email.as_ref(), username.as_ref(), &mut errors).await?;
    let password = rules::typed_password("password", request.password, &mut errors);
    if let Some(password) = &password {
        rules::strength("password", &context.settings.password_policy, password, &attributes, &mut errors);
    }
    let mut others = request.others;
    rules::typed_twice("password", password.as_ref(), &others, &context.fields, &mut errors);
    let metadata = context.fields.read(|name| others.remove(name).unwrap_or_default(), true, &mut errors);
    rules::metadata_fits(&metadata, &mut errors);

    match (email, username, password) {
        (Some(email), Some(username), Some(password)) if errors.is_empty() => {
            Ok((new_user(context, email, username, metadata), password))
        }
        _ => Err(RegisterError::Invalid(errors)),
    }
}

fn new_user(
    context: &Context,
    email: EmailAddress,
    username: Username,
    metadata: Map<String, Value>,
) -> NewUser {
    NewUser {
        username,
        email,
        password: crate::password::PasswordHash::unusable(context.random.bytes()),
        is_active: true,
        is_staff: false,
        is_superuser: false,
        date_joined: context.now(),
        metadata,
    }
}

/// So that one response has all complaints; the constraint in the database decides.
async fn complain_about_taken(
    context: &Context,
    email: Option<&EmailAddress>,
    username: Option<&Username>,
    errors: &mut FieldErrors,
) -> Result<(), StoreError> {
    let (email, username) = (email.map(EmailAddress::key), username.map(Username::key));
    if email.is_none() && username.is_none() {
        return Ok(());
    }
    let taken = context.store.taken(email.as_ref(), username.as_ref(), None).await?;
    for (field, taken) in [("email", taken.email), ("username", taken.username)] {
        if taken {
            errors.add(field, [FieldError::taken(field)]);
        }
    }
    Ok(())
}
