//! The factors of a user: to set one up, list, rename and remove them.

use super::authenticate::Authenticated;
use super::continue_login::{LoginTokens, tokens_of};
use super::finish::finish;
use super::links::{RedeemError, by_token};
use super::log_in::{LoggedIn, LoginError, finish_login};
use super::manage::UserError;
use super::open_session::must_have_factor;
use super::pending::{Pending, State, StoredNeed, WantedTokens, go_on};
use super::reauthenticate::is_recent;
use super::second_factor::{notice_mail, open};
use super::throttle::LimitError;
use crate::audit::{Actor, Effects, Origin};
use crate::authentication::{FactorProof, Need, PasswordProof, Proof};
use crate::challenge::{Challenge, ChallengeId};
use crate::context::Context;
use crate::error::{FieldError, FieldErrors, Input};
use crate::event::Event;
use crate::factor::recovery::{RecoveryCode, RecoveryKey};
use crate::factor::totp::{TotpSecret, qr_svg};
use crate::factor::{Factor, FactorId, FactorKind, Method, Totp};
use crate::mail::MailKind;
use crate::session::{ClientInfo, Session};
use crate::store::{AddFactorError, Change, Enrolment, FactorRemoval, NewRecoveryCodes, Removed, StoreError};
use crate::time::Timestamp;
use crate::user::{User, UserId};
use std::sync::Arc;
use std::time::Duration;

/// How long a TOTP waits for its first code.
pub const ENROLMENT_LIFETIME: Duration = Duration::from_mins(10);

/// Who sets up a factor.
#[derive(Debug)]
pub enum Enroller<'a> {
    /// The user of a session that was authenticated at most [`RECENT`](super::reauthenticate::RECENT) ago.
    User(&'a Authenticated),
    /// Somebody whose login waits for it, by the login token.
    Login(Input<String>),
    /// An operator or the application for this user.
    Managed(UserId, &'a Origin),
}

/// Why a factor was not set up, changed or removed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FactorError {
    /// A field is missing or too long.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// The session was authenticated too long ago.
    #[error("the user must be authenticated once more")]
    NotRecent,
    /// The login token is refused.
    #[error(transparent)]
    Redeem(#[from] RedeemError),
    /// The code is wrong.
    #[error("this code is wrong")]
    CodeInvalid,
    /// The code is right, but of another time: the clock of the device is wrong.
    #[error("the clock of the device is wrong by {0} seconds")]
    ClockSkew(i64),
    /// There is no such factor, or it has waited too long to be confirmed.
    #[error("there is no such factor")]
    NoSuchFactor,
    /// It is the last one, and the user must have one.
    #[error("the last factor cannot be removed: a factor is required")]
    LastFactorRequired,
    /// There are as many as there may be.
    #[error("there are too many factors; remove one first")]
    TooMany,
    /// The authenticator is registered already.
    #[error("this authenticator is registered already")]
    Taken,
    /// A passkey is refused.
    #[error(transparent)]
    Passkey(#[from] super::passkeys::PasskeyRefused),
    /// Something else must be done first: the address must be proved.
    #[error("the address must be proved first")]
    Pending(Box<Pending>),
    /// The login that the factor was set up for failed.
    #[error(transparent)]
    Login(Box<LoginError>),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AddFactorError> for FactorError {
    fn from(error: AddFactorError) -> Self {
        match error {
            AddFactorError::TooMany => Self::TooMany,
            AddFactorError::Taken => Self::Taken,
            AddFactorError::Store(StoreError::Spent) => RedeemError::LoginExpired.into(),
            AddFactorError::Store(error) => Self::Store(error),
        }
    }
}

impl From<LimitError> for FactorError {
    fn from(error: LimitError) -> Self {
        Self::Login(Box::new(error.into()))
    }
}

/// A TOTP that waits for its first code.
#[derive(Debug)]
pub struct NewTotp {
    /// The id of the factor.
    pub id: FactorId,
    /// The secret and how it is used.
    pub secret: TotpSecret,
    /// The URI for authenticator apps.
    pub uri: String,
    /// The URI as a QR code, an SVG.
    pub qr_svg: String,
    /// How long it waits.
    pub expires_in: Duration,
}

/// A factor that counts from now on.
#[derive(Debug)]
pub struct Enrolled {
    /// The factor.
    pub factor: Factor,
    /// The recovery codes, if it is the first one. They are not shown again.
    pub recovery_codes: Option<Vec<RecoveryCode>>,
    /// What became of the login that has waited for it.
    pub login: Option<EnrolledLogin>,
}

/// What became of a login that has waited for a factor.
#[derive(Debug)]
pub enum EnrolledLogin {
    /// It is done.
    Tokens(Box<LoginTokens>),
    /// Something else is needed.
    Pending(Box<Pending>),
}

/// Who sets up a factor, as it was found.
pub(super) struct Found {
    pub(super) user: User,
    session: Option<Session>,
    login: Option<(Challenge, State)>,
    pub(super) origin: Origin,
}

/// Finds who sets up a factor.
pub(super) async fn find(
    context: &Context,
    enroller: Enroller<'_>,
    client: ClientInfo,
) -> Result<Found, FactorError> {
    match enroller {
        Enroller::User(who) => {
            if !is_recent(context, who, super::reauthenticate::RECENT).await? {
                return Err(FactorError::NotRecent);
            }
            let user = context.store.user(who.id()).await?.ok_or(FactorError::NoSuchFactor)?;
            let session = match who.session() {
                Some(session) => context.store.session(session).await?,
                None => None,
            };
            let origin = Origin::new(Actor::User(user.id), client);
            let found = Found { user, session, login: None, origin };
            found.must_be_verified(context).await?;
            Ok(found)
        }
        Enroller::Login(token) => {
            let complain = |complaint| FactorError::Invalid(FieldErrors::one("login_token", complaint));
            let token = token.required().map_err(complain)?;
            let challenge = by_token(context, &token).await?.ok_or(RedeemError::LoginExpired)?;
            let state = State::read(&challenge);
            let user = match challenge.user.filter(|_| state.needs == Some(StoredNeed::EnrollFactor)) {
                Some(user) => {
                    context.store.user(user).await?.filter(|user| user.is_active && !user.has_factor)
                }
                None => None,
            };
            let user = user.ok_or(RedeemError::LoginExpired)?;
            let origin = Origin::new(Actor::User(user.id), client);
            Ok(Found { user, session: None, login: Some((challenge, state)), origin })
        }
        Enroller::Managed(user, origin) => {
            let user = context.store.user(user).await?.ok_or(FactorError::NoSuchFactor)?;
            Ok(Found { user, session: None, login: None, origin: origin.clone() })
        }
    }
}

impl Found {
    /// The first factor is set up by whoever has proved the address: otherwise somebody could register with
    /// the address of another person, who could never get the account.
    async fn must_be_verified(&self, context: &Context) -> Result<(), FactorError> {
        let user = &self.user;
        if user.has_factor || user.email_verified_at.is_some() || !context.outbox.is_open() {
            return Ok(());
        }
        // The session was authenticated a moment ago.
        let proof = Proof::Password(PasswordProof::of_new(user.password.clone()));
        let state = State::new(WantedTokens::Session, &[proof]);
        let pending = go_on(context, user, Need::VerifyEmail, state, None, &self.origin).await?;
        Err(FactorError::Pending(Box::new(pending)))
    }

    fn spends(&self) -> Option<ChallengeId> {
        self.login.as_ref().map(|(challenge, _)| challenge.id)
    }
}

/// The confirmed factors of a user, oldest first.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn factors(context: &Context, user: UserId) -> Result<Vec<Factor>, StoreError> {
    let mut factors = context.store.factors_of(user).await?;
    factors.retain(Factor::is_confirmed);
    Ok(factors)
}

/// Begins to set up an authenticator app. It counts once a code of it [was given](confirm_totp).
///
/// # Errors
/// [`FactorError`] if the user must be authenticated first, or the name is too long.
pub async fn begin_totp(
    context: &Context,
    enroller: Enroller<'_>,
    name: Input<String>,
    client: ClientInfo,
) -> Result<NewTotp, FactorError> {
    let found = find(context, enroller, client).await?;
    let name = factor_name(name, "Authenticator app")?;
    let (now, user) = (context.now(), &found.user);
    let id = FactorId::new(now, context.random.bytes());
    let secret = TotpSecret::new(context.random.as_ref());
    let uri = secret.uri(context.settings.service_name(), user.email.as_str());
    let sealed = context.factors.seal(context.random.bytes(), id, &secret);
    let factor = Factor {
        id,
        user: user.id,
        name,
        created_at: now,
        confirmed_at: None,
        last_used_at: None,
        method: Method::Totp(Totp { sealed, last_step: None, failures: 0, disabled_at: None }),
    };
    context.store.add_factor(factor, context.effects(&found.origin, [])).await?;
    let qr_svg = qr_svg(&uri).unwrap_or_default();
    Ok(NewTotp { id, secret, uri, qr_svg, expires_in: ENROLMENT_LIFETIME })
}

/// Confirms an authenticator app with a code of it.
///
/// # Errors
/// [`FactorError`] if the code is wrong or of another time, or there is no such app to be confirmed.
pub async fn confirm_totp(
    context: &Arc<Context>,
    enroller: Enroller<'_>,
    id: FactorId,
    code: Input<String>,
    client: ClientInfo,
) -> Result<Enrolled, FactorError> {
    let found = find(context, enroller, client).await?;
    let code =
        code.required().map_err(|complaint| FactorError::Invalid(FieldErrors::one("code", complaint)))?;
    let now = context.now();
    let since = now.before(ENROLMENT_LIFETIME);
    let factors = context.store.factors_of(found.user.id).await?;
    let waiting = |factor: &Factor| factor.id == id && !factor.is_confirmed() && factor.created_at >= since;
    let mut factor = factors.into_iter().find(waiting).ok_or(FactorError::NoSuchFactor)?;
    let Method::Totp(totp) = &factor.method else { return Err(FactorError::NoSuchFactor) };
    let secret = open(context, &factor, totp).ok_or(FactorError::NoSuchFactor)?;
    let Some(step) = secret.matching_step(&code, now) else {
        return Err(match secret.skew(&code, now) {
            Some(seconds) => FactorError::ClockSkew(seconds),
            None => FactorError::CodeInvalid,
        });
    };
    let totp = Totp { last_step: Some(step), ..totp.clone() };
    (factor.confirmed_at, factor.method) = (Some(now), Method::Totp(totp));
    enroll(context, found, factor, Some(since), FactorProof::Totp).await
}

/// Lets a factor that was shown to work count, and goes on with the login that has waited for it.
pub(super) async fn enroll(
    context: &Arc<Context>,
    found: Found,
    factor: Factor,
    since: Option<Timestamp>,
    proof: FactorProof,
) -> Result<Enrolled, FactorError> {
    let (codes, new_codes) = new_recovery_codes(context);
    let (user, spends) = (found.user.id, found.spends());
    let auth = found.session.as_ref().and_then(|session| session.auth.map(|auth| (session.id, auth)));
    let session = auth.map(|(session, auth)| (session, proof.beside(auth, context.now())));
    let event = Event::FactorAdded { user, kind: factor.kind() };
    let name = factor.name.clone();
    let mail = notice_mail(context, &found.user, MailKind::FactorAdded, &found.origin, |content| {
        content.factor = Some(name);
    });
    let effects = Effects { spends, ..context.effects(&found.origin, [event]).mailing_all(mail) };
    let enrolment = Enrolment { factor: factor.clone(), since, codes: new_codes, session };
    let enrolling = Arc::clone(context);
    let confirmed = finish(async move {
        let forgetting = enrolling.live.forgetting(Change::User(user));
        let confirmed = enrolling.store.confirm_factor(enrolment, effects.clone()).await;
        drop(forgetting);
        if let Ok(Some(_)) = confirmed {
            enrolling.notify(&effects).await;
        }
        confirmed
    });
    let confirmed = confirmed.await?.ok_or(FactorError::NoSuchFactor)?;
    let login = match found.login {
        Some((_, mut state)) => {
            state.factor = Some(proof);
            Some(log_in(context, state, &found.user, found.origin).await?)
        }
        None => None,
    };
    Ok(Enrolled { factor, recovery_codes: confirmed.is_first.then_some(codes), login })
}

async fn log_in(
    context: &Arc<Context>,
    state: State,
    user: &User,
    origin: Origin,
) -> Result<EnrolledLogin, FactorError> {
    let user = context.store.user(user.id).await?.ok_or(RedeemError::LoginExpired)?;
    let proofs = state.proofs();
    let failed = |error| FactorError::Login(Box::new(error));
    match finish_login(context, user, state.tokens, proofs, None, origin).await {
        Ok(LoggedIn { session, .. }) => {
            let tokens = tokens_of(context, &session).await;
            let tokens = tokens.map_err(|error| FactorError::Store(StoreError::failed(error)))?;
            Ok(EnrolledLogin::Tokens(Box::new(tokens)))
        }
        Err(LoginError::Pending(pending)) => Ok(EnrolledLogin::Pending(pending)),
        Err(error) => Err(failed(error)),
    }
}

/// New recovery codes, and how they are stored.
pub(super) fn new_recovery_codes(context: &Context) -> (Vec<RecoveryCode>, NewRecoveryCodes) {
    let codes = RecoveryCode::set(context.random.as_ref());
    let key = RecoveryKey::new(context.random.as_ref());
    let id = FactorId::new(context.now(), context.random.bytes());
    let sealed = context.factors.seal(context.random.bytes(), id, &key);
    let hashes = codes.iter().map(|code| key.hash(code)).collect();
    (codes, NewRecoveryCodes { id, sealed, hashes })
}

/// New recovery codes in the place of the old ones.
///
/// # Errors
/// [`FactorError::NotRecent`] if the user must be authenticated once more; [`FactorError::NoSuchFactor`] if
/// they have no factor.
pub async fn renew_recovery_codes(
    context: &Context,
    who: &Authenticated,
    client: ClientInfo,
) -> Result<Vec<RecoveryCode>, FactorError> {
    let found = find(context, Enroller::User(who), client).await?;
    let (codes, new_codes) = new_recovery_codes(context);
    let user = found.user.id;
    let mail = notice_mail(context, &found.user, MailKind::RecoveryCodesRenewed, &found.origin, |_| {});
    let effects = context.effects(&found.origin, [Event::RecoveryCodesRenewed { user }]).mailing_all(mail);
    if !context.store.replace_recovery_codes(user, new_codes, effects.clone()).await? {
        return Err(FactorError::NoSuchFactor);
    }
    context.notify(&effects).await;
    Ok(codes)
}

/// Gives a factor another name.
///
/// # Errors
/// [`FactorError`] if the name is missing or too long, or there is no such factor.
pub async fn rename_factor(
    context: &Context,
    who: &Authenticated,
    id: FactorId,
    name: Input<String>,
    client: ClientInfo,
) -> Result<Factor, FactorError> {
    let user = who.id();
    let name =
        name.required().map_err(|complaint| FactorError::Invalid(FieldErrors::one("name", complaint)))?;
    let name = factor_name(Input::Given(name), "")?;
    let origin = Origin::new(Actor::User(user), client);
    let effects = context.effects(&origin, [Event::FactorRenamed { user }]);
    if !context.store.rename_factor(id, user, &name, effects.clone()).await? {
        return Err(FactorError::NoSuchFactor);
    }
    context.notify(&effects).await;
    let factors = context.store.factors_of(user).await?;
    factors.into_iter().find(|factor| factor.id == id).ok_or(FactorError::NoSuchFactor)
}

/// Removes a factor, which ends the other sessions of the user.
///
/// # Errors
/// [`FactorError::NotRecent`] if the user must be authenticated once more,
/// [`FactorError::LastFactorRequired`] if the policy asks for a factor and this is the last one.
pub async fn remove_factor(
    context: &Arc<Context>,
    who: &Authenticated,
    id: FactorId,
    client: ClientInfo,
) -> Result<(), FactorError> {
    let found = find(context, Enroller::User(who), client).await?;
    let keeps_last = must_have_factor(context, &found.user).await?;
    let keep = found.session.as_ref().map(|session| session.id);
    remove(context, &found.user, id, keep, keeps_last, found.origin).await
}

/// Removes a factor of a user, which ends all sessions of the user; `false` if there is no such factor.
/// Whether the policy asks for one does not matter: whoever must have one sets it up at the next login.
///
/// # Errors
/// [`UserError`] if there is no such user, or the database operation failed.
pub async fn remove_factor_of(
    context: &Arc<Context>,
    user: UserId,
    id: FactorId,
    origin: &Origin,
) -> Result<bool, UserError> {
    let user = context.store.user(user).await?.ok_or(UserError::NoSuchUser)?;
    match remove(context, &user, id, None, false, origin.clone()).await {
        Ok(()) => Ok(true),
        Err(FactorError::Store(error)) => Err(error.into()),
        Err(_) => Ok(false),
    }
}

async fn remove(
    context: &Arc<Context>,
    user: &User,
    id: FactorId,
    keep: Option<crate::session::SessionId>,
    keeps_last: bool,
    origin: Origin,
) -> Result<(), FactorError> {
    let factors = context.store.factors_of(user.id).await?;
    let removable = |factor: &&Factor| factor.id == id && factor.kind() != FactorKind::RecoveryCodes;
    let factor = factors.iter().find(removable).ok_or(FactorError::NoSuchFactor)?;
    let event = Event::FactorRemoved { user: user.id, kind: factor.kind() };
    let name = factor.name.clone();
    let mail =
        notice_mail(context, user, MailKind::FactorRemoved, &origin, |content| content.factor = Some(name));
    let effects = context.effects(&origin, [event]).mailing_all(mail);
    let removal = FactorRemoval { id, user: user.id, keep, keeps_last };
    let removing = Arc::clone(context);
    let removed = finish(async move {
        let forgetting = removing.live.forgetting(Change::User(removal.user));
        let removed = removing.store.remove_factor(removal, effects.clone()).await;
        drop(forgetting);
        if let Ok(Removed::Done) = removed {
            removing.notify(&effects).await;
        }
        removed
    });
    match removed.await? {
        Removed::Done => Ok(()),
        Removed::NoSuchFactor => Err(FactorError::NoSuchFactor),
        Removed::IsLast => Err(FactorError::LastFactorRequired),
    }
}

/// Lets the authenticator apps of a user count again; whether they were disabled.
///
/// # Errors
/// [`UserError`] if there is no such user, or the database operation failed.
pub async fn unlock_factors(context: &Context, user: UserId, origin: &Origin) -> Result<bool, UserError> {
    let user = context.store.user(user).await?.ok_or(UserError::NoSuchUser)?;
    Ok(super::second_factor::enable_totps(context, &user, origin).await?)
}

/// Seals secrets of factors under the current secret key that were sealed under an older one; how many.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn reseal_factors(context: &Context) -> Result<u64, StoreError> {
    const PAGE: u32 = 500;
    let (mut after, mut resealed) = (None, 0);
    loop {
        let page = context.store.sealed_factors(after, PAGE).await?;
        for (id, sealed) in &page {
            if let Some(again) = context.factors.resealed(context.random.bytes(), *id, sealed) {
                resealed += u64::from(context.store.reseal_factor(*id, sealed, &again).await?);
            }
        }
        match page.last() {
            Some((id, _)) if page.len() == PAGE as usize => after = Some(*id),
            _ => return Ok(resealed),
        }
    }
}

/// The name of a factor.
pub(super) fn factor_name(typed: Input<String>, otherwise: &str) -> Result<String, FactorError> {
    let name = match typed {
        Input::Given(name) => name.trim().to_owned(),
        _ => String::new(),
    };
    let complain = |complaint| FactorError::Invalid(FieldErrors::one("name", complaint));
    if name.chars().count() > Factor::NAME_MAX_CHARS {
        return Err(complain(FieldError::max_length(Factor::NAME_MAX_CHARS)));
    }
    if name.chars().any(char::is_control) {
        return Err(complain(FieldError::new("invalid", "Control characters are not allowed.")));
    }
    Ok(if name.is_empty() { otherwise.to_owned() } else { name })
}
