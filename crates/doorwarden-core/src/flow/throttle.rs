//! Where the limits meet the flows: what is looked at before the work, and counted after it.

use super::manage::UserError;
use super::second_factor::notice_mail;
use crate::audit::Origin;
use crate::context::Context;
use crate::event::Event;
use crate::identity::EmailKey;
use crate::limit::device::{DeviceId, DeviceMark};
use crate::limit::proof_of_work::{WorkChallenge, WorkPurpose};
use crate::limit::{AccountKey, Guess, Guesser, Limit, OtherWay, Quota, Throttled, Turn, Whose};
use crate::mail::MailKind;
use crate::session::{ClientInfo, SessionId};
use crate::store::{Attempted, CreateChallengeError, NewMail, PasswordAttempt, StoreError};
use crate::user::{User, UserId};
use std::time::Duration;

/// After how many wrong passwords of strangers in a row the user is told.
const NOTEWORTHY: u32 = 20;
/// After how many more wrong passwords the work is twice as hard.
const HARDER_AFTER: u32 = 24;
/// Among how many sessions of a user one is searched that is like a new one.
const RECENT_SESSIONS: usize = 50;
/// The word of the header `RateLimit` for the attempts at one account.
const LOGIN_ACCOUNT: &str = "login-account";

/// A request was not admitted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LimitError {
    /// Too many came before it.
    #[error(transparent)]
    Throttled(#[from] Box<Throttled>),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CreateChallengeError> for LimitError {
    fn from(error: CreateChallengeError) -> Self {
        Self::Store(match error {
            CreateChallengeError::Store(error) => error,
            CreateChallengeError::UsernameTaken => StoreError::failed(error),
        })
    }
}

/// Implements the conversion into the error of a flow.
macro_rules! throttled_as {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$crate::flow::throttle::LimitError> for $error {
            fn from(error: $crate::flow::throttle::LimitError) -> Self {
                match error {
                    $crate::flow::throttle::LimitError::Throttled(throttled) => Self::Throttled(throttled),
                    $crate::flow::throttle::LimitError::Store(error) => error.into(),
                }
            }
        }
    )+};
}

pub(super) use throttled_as;

/// A refusal is no event: the audit log has their number.
fn refusal(context: &Context, throttled: impl Into<Box<Throttled>>) -> Box<Throttled> {
    let throttled = throttled.into();
    context.count_refusal(throttled.policy);
    throttled
}

/// A mark for the device on which this user has just logged in: the one that it has, made anew, or another.
/// `None` if there are no limits.
pub fn device_mark(context: &Context, user: UserId, client: &ClientInfo) -> Option<DeviceMark> {
    let now = context.now();
    let known = context.limits.devices.device(&client.marks, user, now);
    let device = known.unwrap_or_else(|| DeviceId(context.random.bytes()));
    context.settings.limits.enabled.then(|| context.limits.devices.mark(device, user, now))
}

/// A challenge of proof of work for what concerns no account; `None` if there are none.
pub fn work_challenge(context: &Context, purpose: WorkPurpose) -> Option<WorkChallenge> {
    let settings = &context.settings.limits;
    (settings.enabled && settings.proof_of_work).then(|| challenge(context, purpose, None, 0))
}

fn challenge(
    context: &Context,
    purpose: WorkPurpose,
    account: Option<&AccountKey>,
    failures: u32,
) -> WorkChallenge {
    let harder = failures.saturating_sub(context.settings.limits.free_attempts) / HARDER_AFTER;
    let random = context.random.as_ref();
    context.limits.work.challenge(purpose, account, 1 << harder.min(8), context.now(), random)
}

/// What guesses no password, and counts by the address of its client if it turns out to be wrong.
///
/// # Errors
/// [`LimitError::Throttled`] if too many came before it.
pub(super) async fn guess(context: &Context, client: &ClientInfo, limit: Limit) -> Result<Guess, LimitError> {
    let buckets = by_address(client, limit);
    let wanted = buckets.as_slice();
    let guess = context.limits.look(&context.settings.limits, wanted).await;
    Ok(guess.map_err(|throttled| refusal(context, throttled))?)
}

/// Counts what was refused: a wrong secret of a client, or a token that is not valid.
///
/// # Errors
/// [`Throttled`] if too many came before it.
pub async fn refused(
    context: &Context,
    client: &ClientInfo,
    limit: Limit,
    oauth_client: Option<&str>,
) -> Result<(), Box<Throttled>> {
    let bucket = match oauth_client {
        Some(id) => Some((limit, Whose::Client(context.limits.mac(b"client", id.as_bytes()).0))),
        None => by_address(client, limit),
    };
    let taken = context.limits.take(&context.settings.limits, bucket.as_slice()).await;
    taken.map_err(|throttled| refusal(context, throttled))
}

/// Counts a refresh of a session.
///
/// # Errors
/// [`Throttled`] if too many came before it.
pub(super) async fn refresh(context: &Context, session: SessionId) -> Result<(), Box<Throttled>> {
    let wanted = [(Limit::RefreshSession, Whose::Session(session))];
    let taken = context.limits.take(&context.settings.limits, &wanted).await;
    taken.map_err(|throttled| refusal(context, throttled))
}

/// The bucket of a client's address, if it has one that is not this machine's own.
fn by_address(client: &ClientInfo, limit: Limit) -> Option<(Limit, Whose)> {
    let address = client.address?;
    let is_counted = !(limit.counts_all() && address.is_loopback());
    is_counted.then_some((limit, Whose::Address(address)))
}

/// Counts a registration, and the mail to this address that it causes.
///
/// # Errors
/// [`LimitError::Throttled`] if too many came before it, and it comes without a proof of work.
pub(super) async fn registration(
    context: &Context,
    client: &ClientInfo,
    mailed: Option<&EmailKey>,
) -> Result<(), LimitError> {
    let mail = mailed.map(|email| (Limit::MailAccount, context.limits.account(email)));
    let wanted = volume(client, Limit::RegistrationAddress, Limit::Registration, mail);
    admit(context, client, WorkPurpose::Registration, None, &wanted).await
}

/// Counts a mail that is asked for to this address, which may be a user's.
///
/// # Errors
/// [`LimitError::Throttled`] if too many came before it, and it comes without a proof of work.
pub(super) async fn mail(
    context: &Context,
    client: &ClientInfo,
    email: &EmailKey,
    user: Option<&User>,
) -> Result<(), LimitError> {
    let account = context.limits.account(email);
    let marks = &context.limits.devices;
    let device = user.and_then(|user| marks.device(&client.marks, user.id, context.now()));
    let wanted = match device {
        Some(device) => vec![(Limit::MailAccount, Whose::Device(device))],
        None => volume(client, Limit::MailAddress, Limit::Mail, Some((Limit::MailAccount, account))),
    };
    admit(context, client, WorkPurpose::Mail, Some(&account), &wanted).await
}

/// Counts a mail that a user asks for who has proved to be it, to their address or another.
///
/// # Errors
/// [`LimitError::Throttled`] if too many came before it, and it comes without a proof of work.
pub(super) async fn mail_of(
    context: &Context,
    client: &ClientInfo,
    user: &User,
    email: &EmailKey,
) -> Result<(), LimitError> {
    let account = context.limits.account(email);
    let own = (Limit::MailAccount, Whose::Account(AccountKey::of(user.id)));
    let other = (*email != user.email.key()).then_some((Limit::MailAccount, Whose::Account(account)));
    let wanted: Vec<_> = other.into_iter().chain([own]).collect();
    admit(context, client, WorkPurpose::Mail, Some(&account), &wanted).await
}

fn volume(
    client: &ClientInfo,
    address: Limit,
    overall: Limit,
    account: Option<(Limit, AccountKey)>,
) -> Vec<(Limit, Whose)> {
    let address = by_address(client, address);
    // Where everybody comes from this machine, nothing is known of anybody.
    let overall = address.map(|_| (overall, Whose::Everybody));
    let account = account.map(|(limit, account)| (limit, Whose::Account(account)));
    account.into_iter().chain(address).chain(overall).collect()
}

async fn admit(
    context: &Context,
    client: &ClientInfo,
    purpose: WorkPurpose,
    account: Option<&AccountKey>,
    wanted: &[(Limit, Whose)],
) -> Result<(), LimitError> {
    let Err(throttled) = context.limits.take(&context.settings.limits, wanted).await else { return Ok(()) };
    let mut work = Work { context, client, purpose, account, found: None };
    match work.find().await? {
        Proof::Nothing => Err(refusal(context, with_work(context, *throttled, purpose, account, 0)).into()),
        Proof::General | Proof::OfAccount => {
            let of_account = |(limit, whose): &(Limit, Whose)| match whose {
                Whose::Account(key) => Some((*limit, Whose::Worked(*key))),
                _ => None,
            };
            let worked: Vec<_> = wanted.iter().filter_map(of_account).collect();
            let taken = context.limits.take(&context.settings.limits, &worked).await;
            Ok(taken.map_err(|throttled| refusal(context, throttled))?)
        }
    }
}

fn with_work(
    context: &Context,
    throttled: Throttled,
    purpose: WorkPurpose,
    account: Option<&AccountKey>,
    failures: u32,
) -> Throttled {
    let offered = context.settings.limits.proof_of_work;
    Throttled { proof_of_work: offered.then(|| challenge(context, purpose, account, failures)), ..throttled }
}

/// The proof of work of a request, which is looked at when it is needed, and then used up.
struct Work<'c> {
    context: &'c Context,
    client: &'c ClientInfo,
    purpose: WorkPurpose,
    account: Option<&'c AccountKey>,
    /// `None` before it was looked at.
    found: Option<Proof>,
}

/// What a proof of work is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Nothing: there is none, or it does not count.
    Nothing,
    /// What concerns no account.
    General,
    /// This account.
    OfAccount,
}

impl Work<'_> {
    async fn find(&mut self) -> Result<Proof, StoreError> {
        if let Some(found) = self.found {
            return Ok(found);
        }
        let found = self.check().await?;
        self.found = Some(found);
        Ok(found)
    }

    async fn check(&self) -> Result<Proof, StoreError> {
        let Self { context, client, purpose, account, .. } = self;
        let Some(payload) = client.proof_of_work.as_ref().filter(|_| context.settings.limits.proof_of_work)
        else {
            return Ok(Proof::Nothing);
        };
        let (key, payload) = (context.limits.work.clone(), payload.clone());
        let (purpose, account, now) = (*purpose, account.copied(), context.now());
        let checked = tokio::task::spawn_blocking(move || {
            let check = |account: Option<&AccountKey>| key.check(&payload, purpose, account, now).ok();
            let of_account = account.and_then(|account| Some((check(Some(&account))?, Proof::OfAccount)));
            of_account.or_else(|| Some((check(None)?, Proof::General)))
        });
        let Ok(Some((solved, proof))) = checked.await else { return Ok(Proof::Nothing) };
        Ok(if context.store.spend_work(solved).await? { proof } else { Proof::Nothing })
    }
}

/// An attempt at a password that was counted and is allowed.
#[derive(Debug)]
#[must_use]
pub(super) struct Attempt {
    /// `None`: there are no limits.
    guesser: Option<Guesser>,
    guess: Option<Guess>,
    failures: u32,
    _turn: Option<Turn>,
}

/// Counts an attempt at the password of an account, before it is compared. In a session, attempts count
/// apart: nobody else can use them up.
///
/// # Errors
/// [`LimitError::Throttled`] if the client must wait and comes without a proof of work, or strangers have
/// tried too many passwords of the account. An address without an account is answered alike.
pub(super) async fn attempt(
    context: &Context,
    client: &ClientInfo,
    email: &EmailKey,
    user: Option<&User>,
    session: Option<SessionId>,
) -> Result<Attempt, LimitError> {
    let settings = &context.settings.limits;
    if !settings.enabled {
        return Ok(Attempt { guesser: None, guess: None, failures: 0, _turn: None });
    }
    let (account, now) = (context.limits.account(email), context.now());
    let known = match (session, user) {
        (Some(session), _) => Some(DeviceId(session.0.into_bytes())),
        (None, Some(user)) => context.limits.devices.device(&client.marks, user.id, now),
        (None, None) => None,
    };
    let mut work =
        Work { context, client, purpose: WorkPurpose::Login, account: Some(&account), found: None };
    // A device that has used up its own attempts is a stranger.
    for device in [known, None].into_iter().skip(usize::from(known.is_none())) {
        let guesser = Guesser {
            account: user.map_or(account, |user| AccountKey::of(user.id)),
            user: user.map(|user| user.id),
            device,
        };
        let mut guess = None;
        if device.is_none() {
            let by_address = by_address(client, Limit::LoginAddress);
            let wanted: Vec<_> = by_address.into_iter().chain([(Limit::Login, Whose::Everybody)]).collect();
            guess = match context.limits.look(settings, &wanted).await {
                Ok(guess) => Some(guess),
                Err(_) if work.find().await? != Proof::Nothing => None,
                Err(throttled) => {
                    let throttled = with_work(context, *throttled, WorkPurpose::Login, Some(&account), 0);
                    return Err(refusal(context, throttled).into());
                }
            };
        }
        let turn = context.limits.turns.wait(guesser).await;
        let counted = count(context, guesser, &mut work).await;
        if !matches!(counted, Ok(Attempted::Allowed(_))) {
            // What is not compared guesses nothing.
            if let Some(guess) = guess.take() {
                guess.was_right();
            }
        }
        match counted {
            Ok(Attempted::Allowed(failures)) => {
                return Ok(Attempt { guesser: Some(guesser), guess, failures, _turn: Some(turn) });
            }
            Ok(Attempted::Locked) if device.is_some() => {}
            Ok(Attempted::Locked) => {
                let quota = Quota::new(settings.attempts, PasswordAttempt::MAX_WAIT);
                let locked = Throttled::new(LOGIN_ACCOUNT, quota, PasswordAttempt::MAX_WAIT);
                let locked = Throttled { other_ways: Some(other_ways(context)), ..locked };
                return Err(refusal(context, locked).into());
            }
            Ok(Attempted::Wait(wait, failures)) => {
                let quota = Quota::new(1, PasswordAttempt::wait(failures, settings.free_attempts));
                let throttled = Throttled::new(LOGIN_ACCOUNT, quota, wait);
                let purpose = WorkPurpose::Login;
                let throttled = with_work(context, throttled, purpose, Some(&account), failures);
                return Err(refusal(context, throttled).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::failed("no attempt was counted").into())
}

/// The ways in without a password, whoever asks.
fn other_ways(context: &Context) -> Vec<OtherWay> {
    let mail = context.outbox.is_open().then_some(OtherWay::Email);
    let passkeys = context.settings.factors.passkeys.is_some().then_some(OtherWay::Passkey);
    mail.into_iter().chain(passkeys).collect()
}

async fn count(context: &Context, guesser: Guesser, work: &mut Work<'_>) -> Result<Attempted, StoreError> {
    let settings = &context.settings.limits;
    let mut attempt = PasswordAttempt {
        guesser,
        at: context.now(),
        free: settings.free_attempts,
        most: settings.attempts,
        has_worked: false,
    };
    let counted = context.store.attempt_password(attempt).await?;
    if let Attempted::Wait(..) = counted
        && work.find().await? == Proof::OfAccount
    {
        attempt.has_worked = true;
        return context.store.attempt_password(attempt).await;
    }
    Ok(counted)
}

impl Attempt {
    /// The password was right, and a session was opened, which has begun the count anew.
    pub(super) fn logged_in(self) {
        if let Some(guess) = self.guess {
            guess.was_right();
        }
    }

    /// The password was right.
    ///
    /// # Errors
    /// [`StoreError`] if the database operation failed.
    pub(super) async fn was_right(self, context: &Context) -> Result<(), StoreError> {
        if let Some(guess) = self.guess {
            guess.was_right();
        }
        match self.guesser {
            Some(guesser) => context.store.settle_attempt(guesser, true).await,
            None => Ok(()),
        }
    }

    /// The password was not compared.
    pub(super) async fn was_not_made(self, context: &Context) {
        if let Some(guess) = self.guess {
            guess.was_right();
        }
        if let Some(guesser) = self.guesser
            && let Err(error) = context.store.settle_attempt(guesser, false).await
        {
            tracing::warn!(%error, "an attempt at a password that was not compared counts");
        }
    }

    /// The password was wrong. Tells the user of the attempts of strangers, at most once a day.
    pub(super) async fn was_wrong(self, context: &Context, user: Option<&User>, origin: &Origin) {
        if let Some(guess) = self.guess {
            guess.count().await;
        }
        let (Some(Guesser { device: None, .. }), Some(user)) = (self.guesser, user) else { return };
        let is_last = self.failures == context.settings.limits.attempts;
        if is_last {
            let effects = context.effects(origin, [Event::PasswordLocked { user: user.id }]);
            let mail = notice_mail(context, user, MailKind::PasswordLocked, origin, |_| {});
            context.record(effects.mailing_all(mail)).await;
        } else if self.failures == NOTEWORTHY {
            let mail = notice_mail(context, user, MailKind::TooManyFailures, origin, |_| {});
            let effects = context.effects(origin, []).mailing_all(mail);
            match context.store.notice_failures(user.id, effects.clone()).await {
                Ok(true) => context.notify(&effects).await,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "a user could not be told of wrong passwords"),
            }
        }
    }
}

/// The mail that tells a user of a login on a new device: one without a mark, from where and with which
/// program no session of theirs was opened. `None` if it is not new, or their first login, or of an unknown
/// address.
pub(super) async fn new_device(
    context: &Context,
    user: &User,
    origin: &Origin,
) -> Result<Option<NewMail>, StoreError> {
    let (settings, now) = (&context.settings.limits, context.now());
    let known = || context.limits.devices.device(&origin.client.marks, user.id, now);
    let is_somewhere = origin.client.address.is_some();
    if !is_somewhere
        || !settings.enabled
        || !context.outbox.is_open()
        || user.last_login.is_none()
        || known().is_some()
    {
        return Ok(None);
    }
    let sessions = context.store.sessions_of(user.id, now, None, RECENT_SESSIONS).await?;
    let is_like = |kept: &ClientInfo| kept.address.is_some() && origin.client.is_like(kept);
    if sessions.iter().any(|session| is_like(&session.client)) {
        return Ok(None);
    }
    Ok(notice_mail(context, user, MailKind::NewDevice, origin, |_| {}))
}

/// Whether strangers have tried so many passwords of this user that theirs is refused to strangers.
pub(super) async fn is_locked(context: &Context, user: UserId) -> Result<bool, StoreError> {
    let settings = &context.settings.limits;
    match settings.enabled {
        true => Ok(context.store.failures(user).await? >= settings.attempts),
        false => Ok(false),
    }
}

/// Tells a user that strangers' passwords are compared again, since they have logged in.
pub(super) async fn unlocked(context: &Context, user: &User, origin: &Origin) {
    let effects = context.effects(origin, [Event::PasswordUnlocked { user: user.id }]);
    let mail = notice_mail(context, user, MailKind::PasswordUnlocked, origin, |_| {});
    context.record(effects.mailing_all(mail)).await;
}

/// Lets strangers' passwords be compared again, however many were wrong; whether any were.
///
/// # Errors
/// [`UserError`] if there is no such user, or the database operation failed.
pub async fn unlock_password(context: &Context, user: UserId, origin: &Origin) -> Result<bool, UserError> {
    context.store.user(user).await?.ok_or(UserError::NoSuchUser)?;
    let effects = context.effects(origin, [Event::PasswordUnlocked { user }]);
    let unlocked = context.store.forget_failures(user, effects.clone()).await?;
    if unlocked {
        context.notify(&effects).await;
    }
    Ok(unlocked)
}

/// How long attempts at an address without an account are remembered after the last one. Those at an account
/// are until its user logs in: whoever waits for longer can tell them apart.
pub(crate) const KEEP_NOBODYS: Duration = Duration::from_hours(365 * 24);
/// How many of these addresses are.
pub(crate) const MOST_NOBODYS: u64 = 1_000_000;
