//! Registration.

use super::alike::on_grid;
use super::finish::finish;
use super::manage::{UserError, delete_user};
use super::open_session::{self, Opening};
use super::pending::{Ask, Pending, PendingStep, State, WantedTokens, ask, go_on, mask};
use super::throttle::{self, throttled_as};
use super::{IssuedToken, rules};
use crate::audit::{Actor, Effects, Origin};
use crate::authentication::{Need, PasswordProof, Proof, Purpose};
use crate::challenge::{Challenge, ChallengeId, ChallengePurpose};
use crate::context::Context;
use crate::error::{FieldError, FieldErrors, Input};
use crate::event::{Event, Found};
use crate::field::Raw;
use crate::identity::{EmailAddress, Username};
use crate::limit::Throttled;
use crate::mail::{Locale, MailKind};
use crate::password::{Password, PasswordHash, PoolError};
use crate::session::ClientInfo;
use crate::settings::{EmailVerification, RegistrationMode};
use crate::store::{CreateChallengeError, StoreError, WriteUserError};
use crate::time::Timestamp;
use crate::user::{NewUser, User, UserId};
use serde::{Deserialize, Serialize};
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
    /// The language of the account's mails.
    pub locale: Option<Locale>,
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
    /// The account was created, and its first session could not be opened: the user logs in instead. Whoever
    /// registers again is told that the address is taken.
    #[error("the account was created, and no session could be opened: {0}")]
    NoSession(#[source] StoreError),
    /// The email address must be proved first. Until then there is no session, and in the mode
    /// [`Verified`](crate::settings::RegistrationMode::Verified) no account.
    #[error("the email address must be proved first")]
    Pending(Box<Pending>),
    /// Nobody can register, or only who was invited.
    #[error("registration is closed")]
    Closed,
    /// Too many registrations came before this one.
    #[error(transparent)]
    Throttled(Box<Throttled>),
    /// The password was not hashed.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

throttled_as!(RegisterError);

impl From<CreateChallengeError> for RegisterError {
    fn from(error: CreateChallengeError) -> Self {
        match error {
            CreateChallengeError::Store(error) => Self::Store(error),
            CreateChallengeError::UsernameTaken => {
                Self::Invalid(FieldErrors::one("username", FieldError::taken("username")))
            }
        }
    }
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
    let mode = context.settings.registration.mode;
    let is_verified = match mode {
        RegistrationMode::Open => false,
        RegistrationMode::Verified => true,
        RegistrationMode::Invitation | RegistrationMode::Closed => return Err(RegisterError::Closed),
    };
    let typed = request.email.clone();
    let email = rules::chosen_email(typed, &context.settings.registration, &mut FieldErrors::new());
    let mailed = email.filter(|_| is_verified).map(|email| email.key());
    throttle::registration(context, &request.client, mailed.as_ref()).await?;
    let client = request.client.clone();
    if is_verified {
        let new = prepare(context, request, Way::Verified).await?;
        return Err(RegisterError::Pending(Box::new(on_grid(reserve(context, new, client)).await?)));
    }
    let new = prepare(context, request, Way::Open).await?;
    let context = Arc::clone(context);
    finish(async move { create(&context, new, None, client).await }).await
}

/// How somebody comes to register.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Open,
    /// Whether the address has an account is not told.
    Verified,
    /// Whoever invites decides about the address.
    Invited,
}

impl Way {
    /// Whether a factor may take the place of the password: whoever proves the address sets it up.
    fn may_lack_password(self, context: &Context) -> bool {
        self != Self::Open && context.settings.factors.passkeys.is_some()
    }
}

/// The account of a valid registration that the hooks allow.
pub(super) async fn prepare(
    context: &Context,
    request: Registration,
    way: Way,
) -> Result<NewUser, RegisterError> {
    let (client, locale) = (request.client.clone(), request.locale);
    let (mut new, password) = validate(context, request, way).await?;
    for hook in &context.hooks {
        hook.before_registration(&mut new, &client).await.map_err(RegisterError::Invalid)?;
    }
    new.locale = locale;
    if let Some(password) = password {
        new.password = context.pool.hash(&password, context.random.bytes()).await?;
    }
    Ok(new)
}

/// Keeps a registration until its address is proved. An address that has an account is answered alike, after
/// the same work; its owner gets a mail that says so.
async fn reserve(context: &Context, new: NewUser, client: ClientInfo) -> Result<Pending, RegisterError> {
    let origin = Origin::new(Actor::Anonymous, client);
    let owner = context.store.user_by_email(&new.email.key()).await?;
    let mail = if owner.is_some() { MailKind::AccountExists } else { MailKind::VerifyEmail };
    let asked = Ask {
        purpose: ChallengePurpose::Register,
        user: None,
        email: new.email.clone(),
        lifetime: context.settings.mail.verify_lifetime,
        data: Waiting::of(&new, owner.is_some()).write(),
        username_key: Some(new.username.key().as_str().to_owned()),
        mail: Some(mail),
        is_decoy: false,
        locale: new.locale,
        spends: None,
    };
    let step = PendingStep::VerifyEmail { email: mask(new.email.as_str()) };
    let (login_token, expires_at) = ask(context, asked, &origin, None).await?;
    Ok(Pending { step, login_token, expires_in: expires_at.since(context.now()) })
}

/// A registration whose address is not proved yet.
#[derive(Serialize, Deserialize)]
pub(super) struct Waiting {
    username: String,
    password: String,
    metadata: Map<String, Value>,
    locale: Option<Locale>,
    /// The address has an account: nothing makes this one.
    pub(super) is_decoy: bool,
}

impl Waiting {
    fn of(new: &NewUser, is_decoy: bool) -> Self {
        Self {
            username: new.username.as_str().to_owned(),
            password: new.password.as_str().to_owned(),
            metadata: new.metadata.clone(),
            locale: new.locale,
            is_decoy,
        }
    }

    fn write(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        }
    }

    pub(super) fn read(challenge: &Challenge) -> Option<Self> {
        serde_json::from_value(Value::Object(challenge.data.clone())).ok()
    }

    /// The account, whose address is proved at `now`.
    pub(super) fn account(self, email: EmailAddress, now: Timestamp) -> NewUser {
        NewUser {
            username: Username::from_stored(self.username),
            email,
            password: PasswordHash::from_stored(self.password),
            is_active: true,
            is_staff: false,
            is_superuser: false,
            date_joined: now,
            metadata: self.metadata,
            email_verified_at: Some(now),
            locale: self.locale,
        }
    }
}

/// Completed once the account exists: disconnecting does not bypass a hook.
pub(super) async fn create(
    context: &Context,
    new: NewUser,
    spends: Option<ChallengeId>,
    client: ClientInfo,
) -> Result<Registered, RegisterError> {
    let origin = Origin::new(Actor::Anonymous, client.clone());
    let created = context.effects(&origin, [Event::UserCreated { user: UserId::NEW }]);
    let effects = Effects { spends, ..created };
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

    first_session(context, user, client, &origin).await.map_err(|error| match error {
        RegisterError::Store(error) => RegisterError::NoSession(error),
        error => error,
    })
}

/// Opens the first session of an account that was just created.
async fn first_session(
    context: &Context,
    user: User,
    client: ClientInfo,
    origin: &Origin,
) -> Result<Registered, RegisterError> {
    if !user.password.is_usable() {
        let state = State::new(WantedTokens::Session, &[Proof::Email]);
        let pending = go_on(context, &user, Need::EnrollFactor, state, None, origin).await?;
        return Err(RegisterError::Pending(Box::new(pending)));
    }
    let session = open_session::new_session(context, user.id, client, context.settings.session.lifetime);
    let proofs = vec![Proof::Password(PasswordProof::of_new(user.password.clone()))];
    let state = State::new(WantedTokens::Session, &proofs);
    match open_session::open(context, session, &user, Purpose::NewPassword, proofs, None, origin).await? {
        Opening::Opened(session) => {
            if context.settings.mail.verification == EmailVerification::Asked {
                ask_for_proof(context, &user, origin).await;
            }
            Ok(Registered { token: open_session::session_token(context, &session), user })
        }
        Opening::Needs(need) => {
            let pending = go_on(context, &user, need, state, None, origin).await?;
            Err(RegisterError::Pending(Box::new(pending)))
        }
        Opening::Gone => Err(RegisterError::Changed),
    }
}

/// Mails a link that proves the address of a new account. The account exists without it, so a failure is only
/// logged.
async fn ask_for_proof(context: &Context, user: &User, origin: &Origin) {
    if !context.outbox.is_open() || user.email_verified_at.is_some() {
        return;
    }
    let state = State::new(WantedTokens::Session, &[]);
    if let Err(error) = go_on(context, user, Need::VerifyEmail, state, None, origin).await {
        tracing::warn!(user.id = user.id.0, %error, "a new user could not be asked to prove the address");
    }
}

/// The account to be created, without its password hash, and the password, unless a factor takes its place.
async fn validate(
    context: &Context,
    request: Registration,
    way: Way,
) -> Result<(NewUser, Option<Password>), RegisterError> {
    let mut errors = FieldErrors::new();
    let typed = |input: &Input<String>| match input {
        Input::Given(text) => text.clone(),
        _ => String::new(),
    };
    let attributes = [("username", typed(&request.username)), ("email", typed(&request.email))];
    let attributes = attributes.each_ref().map(|(name, value)| (*name, value.as_str()));

    let email = match way {
        Way::Open | Way::Verified => {
            rules::chosen_email(request.email, &context.settings.registration, &mut errors)
        }
        Way::Invited => rules::new_email(request.email, &mut errors),
    };
    let username = rules::new_username(request.username, &mut errors);
    let tellable = email.as_ref().filter(|_| way != Way::Verified);
    complain_about_taken(context, tellable, username.as_ref(), &mut errors).await?;
    let lacks_password = matches!(request.password, Input::Missing) && way.may_lack_password(context);
    let password = match lacks_password {
        true => None,
        false => rules::typed_password("password", request.password, &mut errors),
    };
    if let Some(password) = &password {
        rules::strength("password", &context.settings.password_policy, password, &attributes, &mut errors);
    }
    let mut others = request.others;
    rules::typed_twice("password", password.as_ref(), &others, &context.fields, &mut errors);
    let metadata = context.fields.read(|name| others.remove(name).unwrap_or_default(), true, &mut errors);
    rules::metadata_fits(&metadata, &mut errors);

    match (email, username) {
        (Some(email), Some(username)) if errors.is_empty() => {
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
        password: PasswordHash::unusable(context.random.bytes()),
        is_active: true,
        is_staff: false,
        is_superuser: false,
        date_joined: context.now(),
        metadata,
        email_verified_at: None,
        locale: None,
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
