//! The further steps of a login.

use super::alike::on_grid;
use super::finish::finish;
use super::links::{Answer, RedeemError, answered, by_key, by_token};
use super::log_in::{LoggedIn, LoginError, finish_login};
use super::open_session;
use super::pending::{
    Goal, LoginToken, Pending, PendingStep, State, StoredNeed, WantedTokens, go_on, mail, mask, second_factor,
};
use super::reauthenticate::{ReauthenticateError, answer_mail, authenticate};
use super::reset_password::{ResetPasswordError, store_reset};
use super::rules;
use super::second_factor::{Judged, judge_recovery_code, judge_totp, notice_mail, wrong};
use super::throttle::{self, LimitError};
use super::token_pair::{self, PairError};
use super::verify_password::confirm_password;
use super::{IssuedToken, TokenPair};
use crate::audit::{Actor, Effects, Origin};
use crate::authentication::{AuthContext, Need, Next, PasswordProof, Proof, Purpose, next};
use crate::challenge::{Challenge, ChallengeId, ChallengePurpose, Code, Secret, SecretHash};
use crate::context::Context;
use crate::error::{FieldErrors, Input};
use crate::event::{Event, UpdatedFields};
use crate::factor::FactorKind;
use crate::keys::SignError;
use crate::limit::{Guess, Limit};
use crate::mail::MailKind;
use crate::password::PasswordHash;
use crate::password::{Password, PoolError};
use crate::session::{ClientInfo, EndReason, Session};
use crate::store::{Change, PasswordChange, StoreError, WriteUserError};
use crate::user::{User, UserChange, UserId};
use std::sync::Arc;

/// The tokens of a login.
#[derive(Debug, Clone)]
pub enum LoginTokens {
    /// A session token.
    Session(IssuedToken),
    /// A token pair.
    Pair(TokenPair),
    /// None: the session of before was authenticated once more.
    Reauthenticated(AuthContext),
    /// None: the new password was stored.
    PasswordReset,
}

/// A step of a login.
#[derive(Debug)]
pub enum Step {
    /// A mail is answered.
    Mail(Answer),
    /// A new password is chosen, where that is asked for.
    NewPassword {
        /// The login token.
        login_token: Input<String>,
        /// The new password.
        new_password: Input<String>,
    },
    /// The password is given, where that is asked for.
    Password {
        /// The login token.
        login_token: Input<String>,
        /// The password.
        password: Input<String>,
    },
    /// A code of an authenticator app is given, where a second factor is asked for.
    Totp {
        /// The login token.
        login_token: Input<String>,
        /// The code.
        code: Input<String>,
    },
    /// A recovery code is given, where a second factor is asked for.
    RecoveryCode {
        /// The login token.
        login_token: Input<String>,
        /// The code.
        code: Input<String>,
    },
    /// What the application asks for [was done](crate::hook::Hooks::stage).
    Continue {
        /// The login token.
        login_token: Input<String>,
    },
    /// The account stays, where that is asked for.
    CancelDeletion {
        /// The login token.
        login_token: Input<String>,
    },
}

/// Why a step yielded no tokens.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ContinueError {
    /// The link, the login token or the code is refused.
    #[error(transparent)]
    Redeem(#[from] RedeemError),
    /// Something else must be done, a field is wrong, or the account cannot log in.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// No access token can be signed. The reason is logged.
    #[error("the access token could not be signed: {0}")]
    Sign(#[from] SignError),
}

impl From<LimitError> for ContinueError {
    fn from(error: LimitError) -> Self {
        LoginError::from(error).into()
    }
}

impl From<StoreError> for ContinueError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Spent => RedeemError::LinkInvalid.into(),
            other => LoginError::Store(other).into(),
        }
    }
}

/// Takes the next step of a login; returns the tokens after the last one.
///
/// # Errors
/// [`ContinueError`], among them [`LoginError::Pending`] with the step after this one.
pub async fn continue_login(
    context: &Arc<Context>,
    step: Step,
    client: ClientInfo,
) -> Result<LoginTokens, ContinueError> {
    match step {
        Step::Mail(answer) if is_reauthentication(context, &answer).await? => {
            let (user, state, challenge, origin) = answer_mail(context, answer, client).await?;
            proceed(context, user, state, &challenge, origin).await
        }
        Step::Mail(mut answer) => {
            let password = std::mem::take(&mut answer.password);
            let answered = answered(context, answer, &client).await?;
            let challenge = answered.challenge;
            if !matches!(challenge.purpose, ChallengePurpose::LogIn | ChallengePurpose::VerifyEmail) {
                return Err(RedeemError::LinkInvalid.into());
            }
            let (user, origin) = owner(context, &challenge, client).await?;
            let mut state = State::read(&challenge);
            if challenge.key.is_none() || state.needs.is_some() {
                return Err(RedeemError::LoginExpired.into());
            }
            // Whoever opens the link elsewhere may be another person than the one who typed the password.
            let mut proofs = if answered.is_asker { state.proofs() } else { Vec::new() };
            if !answered.is_asker && !matches!(password, Input::Missing) {
                proofs.push(confirmed(context, &user, password, &origin).await?);
            }
            proofs.push(Proof::Email);
            state.has_email = true;
            log_in(context, user, state.tokens, proofs, Some(challenge.id), origin).await
        }
        Step::NewPassword { login_token, new_password } => {
            let (challenge, state) = awaiting(context, login_token, StoredNeed::ChangePassword).await?;
            let (user, origin) = owner(context, &challenge, client).await?;
            choose_password(context, user, state, new_password, &challenge, origin).await
        }
        Step::Password { login_token, password } => {
            let token = required("login_token", login_token)?;
            let (challenge, mut state) = attempt(context, &token, StoredNeed::Password).await?;
            let (user, origin) = owner(context, &challenge, client).await?;
            let Proof::Password(proof) = confirmed(context, &user, password, &origin).await? else {
                return Err(RedeemError::LoginExpired.into());
            };
            state.add(&Proof::Password(proof));
            proceed(context, user, state, &challenge, origin).await
        }
        Step::Continue { login_token } => {
            let (challenge, state) = awaiting(context, login_token, StoredNeed::Stage).await?;
            let (user, origin) = owner(context, &challenge, client).await?;
            proceed(context, user, state, &challenge, origin).await
        }
        Step::Totp { login_token, code } => {
            let (token, code) = (required("login_token", login_token)?, required("code", code)?);
            let guess = throttle::guess(context, &client, Limit::FactorAddress).await?;
            let (challenge, state) = attempt(context, &token, StoredNeed::SecondFactor).await?;
            let (user, origin) = owner(context, &challenge, client).await?;
            let judged = judge_totp(context, &user, &state, &code, &origin).await?;
            judge(context, user, state, &challenge, (judged, FactorKind::Totp, guess), origin).await
        }
        Step::RecoveryCode { login_token, code } => {
            let (token, code) = (required("login_token", login_token)?, required("code", code)?);
            let guess = throttle::guess(context, &client, Limit::FactorAddress).await?;
            let (challenge, state) = attempt(context, &token, StoredNeed::SecondFactor).await?;
            let (user, origin) = owner(context, &challenge, client).await?;
            let judged = judge_recovery_code(context, &user, &code, &origin).await?;
            judge(context, user, state, &challenge, (judged, FactorKind::RecoveryCodes, guess), origin).await
        }
        Step::CancelDeletion { login_token } => {
            let (challenge, state) = awaiting(context, login_token, StoredNeed::CancelDeletion).await?;
            let (user, origin) = owner(context, &challenge, client).await?;
            keep_account(context, &user, state, &challenge, origin).await
        }
    }
}

/// The password of whoever opened a link.
async fn confirmed(
    context: &Context,
    user: &User,
    password: Input<String>,
    origin: &Origin,
) -> Result<Proof, ContinueError> {
    let mut errors = FieldErrors::new();
    let password = rules::typed_password("password", password, &mut errors);
    if let Some(password) = &password {
        let checked =
            confirm_password(context, user, "password", password, (None, origin), &mut errors).await;
        checked.map_err(LoginError::from)?;
    }
    match password.filter(|_| errors.is_empty()) {
        Some(password) => {
            let is_leaked = rules::is_leaked_at_login(context, &password);
            let verified = PasswordProof::of_new(user.password.clone());
            Ok(Proof::Password(PasswordProof { is_leaked, ..verified }))
        }
        None => Err(LoginError::Invalid(errors).into()),
    }
}

async fn is_reauthentication(context: &Context, answer: &Answer) -> Result<bool, StoreError> {
    let challenge = match (&answer.key, &answer.login_token) {
        (Input::Given(key), _) => by_key(context, key).await?,
        (_, Input::Given(token)) => by_token(context, token).await?,
        _ => None,
    };
    Ok(challenge.is_some_and(|challenge| challenge.purpose == ChallengePurpose::Reauthenticate))
}

/// The account of a challenge, and who asks.
pub(super) async fn owner(
    context: &Context,
    challenge: &Challenge,
    client: ClientInfo,
) -> Result<(User, Origin), ContinueError> {
    let user = match challenge.user {
        Some(user) => context.store.user(user).await?.filter(|user| user.is_active),
        None => None,
    };
    let user = user.ok_or(RedeemError::LinkInvalid)?;
    let origin = Origin::new(Actor::User(user.id), client);
    Ok((user, origin))
}

fn required(field: &'static str, input: Input<String>) -> Result<String, ContinueError> {
    input.required().map_err(|complaint| LoginError::Invalid(FieldErrors::one(field, complaint)).into())
}

/// The challenge of a login that waits for this secret, which may still be tried. The attempt counts.
async fn attempt(
    context: &Context,
    login_token: &str,
    need: StoredNeed,
) -> Result<(Challenge, State), ContinueError> {
    let waiting = by_token(context, login_token).await?.ok_or(RedeemError::LoginExpired)?;
    let state = State::read(&waiting);
    if state.needs != Some(need) {
        return Err(RedeemError::LoginExpired.into());
    }
    let token = waiting.token.ok_or(RedeemError::LoginExpired)?;
    match context.store.attempt_challenge(token, context.now()).await? {
        Some(challenge) => Ok((challenge, state)),
        None => Err(RedeemError::CodeInvalid { attempts_left: 0 }.into()),
    }
}

/// What follows from a code.
async fn judge(
    context: &Arc<Context>,
    user: User,
    mut state: State,
    challenge: &Challenge,
    (judged, kind, guess): (Judged, FactorKind, Guess),
    origin: Origin,
) -> Result<LoginTokens, ContinueError> {
    match judged {
        Judged::Wrong => guess.count().await,
        _ => guess.was_right(),
    }
    match judged {
        Judged::Wrong => {
            let stranger = Origin { actor: Actor::Anonymous, ..origin };
            let event = Event::FactorRefused { user: Some(user.id), kind };
            context.refused(context.effects(&stranger, [event])).await;
            Err(wrong(challenge.attempts).into())
        }
        Judged::Counts => {
            state.right_codes += 1;
            let going_on =
                go_on(context, &user, Need::SecondFactor, state, Some(challenge.id), &origin).await;
            Err(LoginError::Pending(Box::new(going_on.map_err(LoginError::from)?)).into())
        }
        Judged::Proves(proof) => {
            state.add(&Proof::Factor(proof));
            proceed(context, user, state, challenge, origin).await
        }
    }
}

/// Goes on with what was proved so far, towards what it is for.
pub(super) async fn proceed(
    context: &Arc<Context>,
    user: User,
    state: State,
    challenge: &Challenge,
    origin: Origin,
) -> Result<LoginTokens, ContinueError> {
    let (proofs, spends) = (state.proofs(), Some(challenge.id));
    let purpose = match &state.goal {
        Goal::LogIn => return log_in(context, user, state.tokens, proofs, spends, origin).await,
        Goal::ResetPassword(_) => Purpose::ResetPassword,
        Goal::Reauthenticate(_) => Purpose::Reauthenticate,
    };
    let standing = open_session::standing(context, &user).await?;
    let completed = match next(purpose, standing, proofs, context.now()) {
        Next::Done(completed) => completed,
        Next::Needs(need) => {
            let pending =
                go_on(context, &user, need, state, spends, &origin).await.map_err(LoginError::from)?;
            return Err(LoginError::Pending(Box::new(pending)).into());
        }
    };
    match state.goal {
        Goal::Reauthenticate(session) => {
            let auth = completed.auth().ok_or(RedeemError::LoginExpired)?;
            let verified = completed.password().map(|proof| &proof.verified);
            let effects = Effects { spends, ..context.effects(&origin, []) };
            match authenticate(context, &user, session, auth, verified, effects).await {
                Ok(auth) => Ok(LoginTokens::Reauthenticated(auth)),
                Err(ReauthenticateError::Store(error)) => Err(error.into()),
                Err(_) => Err(RedeemError::LoginExpired.into()),
            }
        }
        Goal::ResetPassword(hash) => {
            let password = PasswordHash::from_stored(hash);
            match store_reset(context, &user, password, challenge.id, origin).await {
                Ok(()) => Ok(LoginTokens::PasswordReset),
                Err(ResetPasswordError::Redeem(error)) => Err(error.into()),
                Err(error) => Err(LoginError::Store(StoreError::failed(error)).into()),
            }
        }
        Goal::LogIn => Err(RedeemError::LoginExpired.into()),
    }
}

/// The challenge of a login that waits for this step.
async fn awaiting(
    context: &Context,
    login_token: Input<String>,
    need: StoredNeed,
) -> Result<(Challenge, State), ContinueError> {
    let token = required("login_token", login_token)?;
    let challenge = by_token(context, &token).await?.ok_or(RedeemError::LoginExpired)?;
    let state = State::read(&challenge);
    if state.needs != Some(need) {
        return Err(RedeemError::LoginExpired.into());
    }
    Ok((challenge, state))
}

async fn log_in(
    context: &Arc<Context>,
    user: User,
    tokens: WantedTokens,
    proofs: Vec<Proof>,
    spends: Option<ChallengeId>,
    origin: Origin,
) -> Result<LoginTokens, ContinueError> {
    let logged_in = finish_login(context, user, tokens, proofs, spends, origin).await;
    let LoggedIn { session, .. } = match logged_in {
        Err(LoginError::Store(StoreError::Spent) | LoginError::WrongCredentials) => {
            return Err(RedeemError::LinkInvalid.into());
        }
        result => result?,
    };
    tokens_of(context, &session).await
}

/// The tokens of a session that was just opened.
pub(super) async fn tokens_of(context: &Context, session: &Session) -> Result<LoginTokens, ContinueError> {
    if session.refresh_counter.is_none() {
        return Ok(LoginTokens::Session(open_session::session_token(context, session)));
    }
    match token_pair::token_pair(context, session).await {
        Ok(pair) => Ok(LoginTokens::Pair(pair)),
        Err(PairError::Gone | PairError::BelowPolicy) => Err(RedeemError::LoginExpired.into()),
        Err(PairError::Sign(error)) => Err(error.into()),
        Err(PairError::Store(error)) => Err(error.into()),
    }
}

/// Stores the password, which ends every session and everything else that was set before, and logs in with
/// it.
async fn choose_password(
    context: &Arc<Context>,
    user: User,
    state: State,
    new_password: Input<String>,
    challenge: &Challenge,
    origin: Origin,
) -> Result<LoginTokens, ContinueError> {
    let new =
        new_password_for::<LoginError>(context, &user, new_password).await?.map_err(LoginError::Invalid)?;
    let password = context.pool.hash(&new, context.random.bytes()).await.map_err(LoginError::Pool)?;
    let proof = Proof::Password(PasswordProof::of_new(password.clone()));
    let change = PasswordChange {
        password,
        expected: Some(user.password.clone()),
        at: context.now(),
        keep_session: None,
        reason: EndReason::PasswordChanged,
        proves_email: state.has_email,
        keep_earlier: context.settings.password_history,
    };
    let told = notice_mail(context, &user, MailKind::PasswordChanged, &origin, |_| {});
    let effects = context.effects(&origin, [Event::PasswordChanged { user: user.id }]).mailing_all(told);
    let effects = Effects { spends: Some(challenge.id), ..effects };
    let (changing, id) = (Arc::clone(context), user.id);
    let changed = finish(async move {
        let forgetting = changing.live.forgetting(Change::User(id));
        let changed = changing.store.change_password(id, change, effects.clone()).await;
        drop(forgetting);
        if let Ok(true) = changed {
            changing.notify(&effects).await;
        }
        changed
    });
    if !changed.await? {
        return Err(RedeemError::LoginExpired.into());
    }
    let user = context.store.user(id).await?.ok_or(RedeemError::LoginExpired)?;
    let mut state = state;
    state.add(&proof);
    let proofs = state.proofs();
    let LoggedIn { session, .. } = finish_login(context, user, state.tokens, proofs, None, origin).await?;
    tokens_of(context, &session).await
}

/// Takes the deletion back, which uses up the step, and logs in.
async fn keep_account(
    context: &Arc<Context>,
    user: &User,
    state: State,
    challenge: &Challenge,
    origin: Origin,
) -> Result<LoginTokens, ContinueError> {
    let change = UserChange { deletion_at: Some(None), ..UserChange::default() };
    let event = Event::UserUpdated { user: user.id, fields: UpdatedFields::of(&change) };
    let effects = context.effects(&origin, [event]).spending(challenge.id);
    let (keeping, id) = (Arc::clone(context), user.id);
    let kept = finish(async move {
        let forgetting = keeping.live.forgetting(Change::User(id));
        let kept = keeping.store.update_user(id, change, effects.clone()).await;
        drop(forgetting);
        if let Ok(Some(_)) = kept {
            keeping.notify(&effects).await;
        }
        kept
    });
    let user = match kept.await {
        Ok(Some(user)) => user,
        Ok(None) | Err(WriteUserError::Store(StoreError::Spent)) => {
            return Err(RedeemError::LoginExpired.into());
        }
        Err(WriteUserError::Store(error)) => return Err(error.into()),
        Err(error) => return Err(StoreError::failed(error).into()),
    };
    let proofs = state.proofs();
    log_in(context, user, state.tokens, proofs, None, origin).await
}

/// A new password that the rules allow for this user, or complaints about `new_password`.
pub(super) async fn new_password_for<E: From<PoolError> + From<StoreError>>(
    context: &Context,
    user: &User,
    typed: Input<String>,
) -> Result<Result<Password, FieldErrors>, E> {
    let mut errors = FieldErrors::new();
    let new = rules::typed_password("new_password", typed, &mut errors);
    if let Some(new) = &new {
        let attributes = [("username", user.username.as_str()), ("email", user.email.as_str())];
        rules::strength("new_password", &context.settings.password_policy, new, &attributes, &mut errors);
    }
    rules::not_used_before::<E>(context, "new_password", user, new.as_ref(), &mut errors).await?;
    Ok(new.filter(|_| errors.is_empty()).ok_or(errors))
}

/// What the login with this token waits for, so that a page that was loaded again can go on.
///
/// # Errors
/// [`RedeemError::LoginExpired`] if it waits for nothing.
pub async fn pending_login(context: &Context, login_token: &str) -> Result<Pending, RedeemError> {
    let challenge = by_token(context, login_token).await?.ok_or(RedeemError::LoginExpired)?;
    let state = State::read(&challenge);
    let step = match (state.needs, challenge.purpose) {
        (Some(StoredNeed::Password), _) => PendingStep::Password,
        (Some(StoredNeed::Stage), _) => PendingStep::Stage(state.stage.unwrap_or_default()),
        (Some(StoredNeed::SecondFactor), _) => {
            let user = match challenge.user {
                Some(user) => context.store.user(user).await?,
                None => None,
            };
            second_factor(context, &user.ok_or(RedeemError::LoginExpired)?, &state).await?
        }
        (Some(StoredNeed::EnrollFactor), _) => {
            PendingStep::EnrollFactor { kinds: context.settings.factors.kinds() }
        }
        (Some(StoredNeed::ChangePassword), _) => PendingStep::ChangePassword,
        (Some(StoredNeed::CancelDeletion), _) => PendingStep::CancelDeletion,
        (None, ChallengePurpose::VerifyEmail | ChallengePurpose::Register) => {
            PendingStep::VerifyEmail { email: mask(challenge.email.as_str()) }
        }
        (None, _) => PendingStep::EmailCode,
    };
    let login_token = LoginToken(login_token.to_owned());
    Ok(Pending { step, login_token, expires_in: challenge.expires_at.since(context.now()) })
}

/// Whose login waits for something of the application's, and what that is; `None` if the login with this
/// token waits for nothing, or for something else.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn stage_of_login(
    context: &Context,
    login_token: &str,
) -> Result<Option<(User, String)>, StoreError> {
    let Some(challenge) = by_token(context, login_token).await? else { return Ok(None) };
    let (state, user) = (State::read(&challenge), challenge.user);
    let (Some(StoredNeed::Stage), Some(stage), Some(user)) = (state.needs, state.stage, user) else {
        return Ok(None);
    };
    Ok(context.store.user(user).await?.map(|user| (user, stage)))
}

/// Ends a login that waits for another step, with its link and code.
///
/// # Errors
/// [`RedeemError::LoginExpired`] if it waits for nothing.
pub async fn cancel_login(
    context: &Context,
    login_token: &str,
    client: ClientInfo,
) -> Result<(), RedeemError> {
    let challenge = by_token(context, login_token).await?.ok_or(RedeemError::LoginExpired)?;
    let origin = Origin::new(Actor::Anonymous, client);
    let effects = Effects::new(context.now(), &origin, []);
    match context.store.end_challenge(challenge.id, context.now(), effects).await? {
        true => Ok(()),
        false => Err(RedeemError::LoginExpired),
    }
}

/// Mails the link and the code of a login once more, both new, at most every
/// [`RESEND_AFTER`](Challenge::RESEND_AFTER). Says nothing of whether anything was mailed.
///
/// # Errors
/// [`RedeemError::LoginExpired`] if the login waits for no mail.
pub async fn resend_mail(
    context: &Context,
    login_token: &str,
    client: ClientInfo,
) -> Result<Pending, RedeemError> {
    on_grid(async {
        let pending = pending_login(context, login_token).await?;
        let hash = SecretHash::of(Secret::LOGIN, login_token).ok_or(RedeemError::LoginExpired)?;
        let challenge = by_token(context, login_token).await?.ok_or(RedeemError::LoginExpired)?;
        if challenge.key.is_none() {
            return Err(RedeemError::LoginExpired);
        }
        // Of a decoy, nobody is read: that takes as long.
        let user = context.store.user(challenge.user.unwrap_or(UserId(0))).await?;
        let is_waiting = challenge.purpose == ChallengePurpose::Register;
        let is_taken = is_waiting && challenge.data.get("is_decoy").is_some_and(|decoy| decoy == true);
        let kind = match challenge.purpose {
            ChallengePurpose::Register if is_taken => MailKind::AccountExists,
            ChallengePurpose::Register | ChallengePurpose::VerifyEmail => MailKind::VerifyEmail,
            ChallengePurpose::ResetPassword => MailKind::ResetPassword,
            ChallengePurpose::Reauthenticate => MailKind::Reauthenticate,
            _ => MailKind::LogIn,
        };
        let locale =
            challenge.data.get("locale").and_then(|tag| crate::locale::Locale::of_tag(tag.as_str()?));
        throttle::mail(context, &client, &challenge.email.key(), user.as_ref()).await?;
        let origin = Origin::new(Actor::Anonymous, client);
        let (key, code) =
            (Secret::new(Secret::LINK, context.random.as_ref()), Code::new(context.random.as_ref()));
        let about = super::pending::About {
            kind,
            user: user.as_ref(),
            email: &challenge.email,
            locale,
            is_decoy: user.is_none() && !is_waiting,
        };
        let mail = mail(context, &about, &key, &code, challenge.expires_at, &origin);
        let effects = Effects::new(context.now(), &origin, []).mailing_all(mail);
        let code = context.codes.hash(challenge.id, &code);
        let renewed =
            context.store.renew_challenge(hash, key.hash(), code, context.now(), effects.clone()).await?;
        if renewed {
            context.notify(&effects).await;
        }
        Ok(pending)
    })
    .await
}
