//! A user moves to another email address. The old address works until the new one is proved, and is told both
//! times; for three days it can take the change back.

use super::factors::remove_factor_of;
use super::finish::finish;
use super::links::{Answer, RedeemError, answered, by_code, by_key};
use super::log_in_by_mail::RequestMailError;
use super::manage::UserError;
use super::pending::{link, notice};
use super::rules;
use super::throttle;
use crate::audit::{Actor, Effects, Origin};
use crate::challenge::{Challenge, ChallengeId, ChallengePurpose, Code, Secret};
use crate::context::Context;
use crate::error::{FieldError, FieldErrors, Input};
use crate::event::{Event, UpdatedFields};
use crate::factor::{Factor, FactorKind};
use crate::flow::authenticate::Authenticated;
use crate::identity::EmailAddress;
use crate::mail::{MailContent, MailKind};
use crate::outbox::{Letter, NOTICE_WORTH};
use crate::password::PasswordHash;
use crate::session::{ClientInfo, EndReason};
use crate::store::{Change, CreateChallengeError, NewMail, PasswordChange, StoreError, WriteUserError};
use crate::time::Timestamp;
use crate::user::{User, UserChange};
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;

/// How long the old address can take a change back.
const REVERT_LIFETIME: Duration = Duration::from_hours(72);

/// A change of the email address that is not confirmed.
#[derive(Debug, Clone)]
pub struct PendingEmail {
    /// The new address.
    pub email: EmailAddress,
    /// Until when it can be confirmed.
    pub expires_at: Timestamp,
}

/// Why an email address was not changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ChangeEmailError {
    /// The link or the code is refused.
    #[error(transparent)]
    Redeem(#[from] RedeemError),
    /// Another account has the address by now.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
}

impl From<StoreError> for ChangeEmailError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Spent => RedeemError::LinkInvalid.into(),
            other => RedeemError::Store(other).into(),
        }
    }
}

/// Mails a link and a code to the new address, and a notice to the old one. Ends an earlier change that was
/// not confirmed. An address that has an account is answered alike, and gets no mail.
///
/// # Errors
/// [`RequestMailError`] if the input is not an email address, one of a domain that is not allowed, or the
/// present one, no mail can be sent, or the
/// database operation failed.
pub async fn request_email_change(
    context: &Context,
    who: &Authenticated,
    email: Input<String>,
    client: ClientInfo,
) -> Result<PendingEmail, RequestMailError> {
    if !context.outbox.is_open() {
        return Err(RequestMailError::NoMail);
    }
    let mut errors = FieldErrors::new();
    let email = rules::chosen_email(email, &context.settings.registration, &mut errors);
    let user = who.user();
    if email.as_ref().is_some_and(|email| email.as_str() == user.email.as_str()) {
        errors.add("email", [FieldError::new("unchanged", "This is your email address already.")]);
    }
    let Some(email) = email.filter(|_| errors.is_empty()) else {
        return Err(RequestMailError::Invalid(errors));
    };
    throttle::mail_of(context, &client, user, &email.key()).await?;
    let owner = context.store.user_by_email(&email.key()).await?;
    let is_taken = owner.is_some_and(|owner| owner.id != user.id);

    let origin = Origin::new(Actor::User(user.id), client);
    let (challenge, key, code) = challenge(context, user, ChallengePurpose::EmailChange, email.clone());
    let content = MailContent {
        link: Some(link(context, &key)),
        code: Some(code.shown()),
        expires_at: Some(challenge.expires_at),
        other_email: Some(email.as_str().to_owned()),
        ..notice(Some(user), context.now(), &origin)
    };
    let confirm = write(context, user, MailKind::EmailChange, email.as_str(), content, is_taken);
    let content = MailContent {
        other_email: Some(email.as_str().to_owned()),
        ..notice(Some(user), context.now(), &origin)
    };
    let told = write(context, user, MailKind::EmailChangeRequested, user.email.as_str(), content, false);
    let effects = context.effects(&origin, []).mailing_all(confirm).mailing_all(told);
    let expires_at = challenge.expires_at;
    context.store.create_challenge(challenge, true, effects.clone()).await.map_err(|error| match error {
        CreateChallengeError::Store(error) => RequestMailError::Store(error),
        CreateChallengeError::UsernameTaken => RequestMailError::Store(StoreError::failed(error)),
    })?;
    context.notify(&effects).await;
    Ok(PendingEmail { email, expires_at })
}

/// The change of the caller's address that waits to be confirmed.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn pending_email(
    context: &Context,
    who: &Authenticated,
) -> Result<Option<PendingEmail>, StoreError> {
    let pending = pending(context, who).await?;
    Ok(pending.map(|challenge| PendingEmail { email: challenge.email, expires_at: challenge.expires_at }))
}

async fn pending(context: &Context, who: &Authenticated) -> Result<Option<Challenge>, StoreError> {
    let open = context.store.challenges_of(who.id(), context.now()).await?;
    Ok(open.into_iter().rfind(|challenge| challenge.purpose == ChallengePurpose::EmailChange))
}

/// Ends the change of the caller's address that waits to be confirmed; `false` if there is none.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn cancel_email_change(
    context: &Context,
    who: &Authenticated,
    client: ClientInfo,
) -> Result<bool, StoreError> {
    let Some(challenge) = pending(context, who).await? else { return Ok(false) };
    let effects = context.effects(&Origin::new(Actor::User(who.id()), client), []);
    context.store.end_challenge(challenge.id, context.now(), effects).await
}

/// Moves an account to its new address, which is proved by that: with the key of the link on any device, or
/// with the code and a token of the user. The old address gets a mail with which it can take the change back.
///
/// # Errors
/// [`ChangeEmailError`] if the link or code is refused, or another account has the address by now.
pub async fn confirm_email_change(
    context: &Arc<Context>,
    who: Option<&Authenticated>,
    key: Input<String>,
    code: Input<String>,
    client: ClientInfo,
) -> Result<User, ChangeEmailError> {
    let challenge = match (&key, who) {
        (Input::Missing, Some(who)) => {
            let waiting = pending(context, who).await?.ok_or(RedeemError::LinkInvalid)?;
            let Input::Given(code) = code else { return Err(RedeemError::Missing.into()) };
            let token = waiting.token.ok_or(RedeemError::LinkInvalid)?;
            by_code(context, token, &code, &client).await?
        }
        _ => answered(context, Answer { key, ..Answer::default() }, &client).await?.challenge,
    };
    let user = match challenge.user.filter(|_| challenge.purpose == ChallengePurpose::EmailChange) {
        Some(user) => context.store.user(user).await?.filter(|user| user.is_active),
        None => None,
    };
    let user = user.ok_or(RedeemError::LinkInvalid)?;
    let origin = Origin::new(Actor::User(user.id), client);
    // Nobody knows its key before the change has taken place.
    let (mut revert, key, _) =
        self::challenge(context, &user, ChallengePurpose::EmailRevert, user.email.clone());
    (revert.generation, revert.code, revert.token) = (None, None, None);
    let expires_at = revert.expires_at;
    let nothing = context.effects(&origin, []);
    context.store.create_challenge(revert, false, nothing).await.map_err(|error| match error {
        CreateChallengeError::Store(error) => error,
        CreateChallengeError::UsernameTaken => StoreError::failed(error),
    })?;
    let content = MailContent {
        link: Some(link(context, &key)),
        expires_at: Some(expires_at),
        other_email: Some(challenge.email.as_str().to_owned()),
        ..notice(Some(&user), context.now(), &origin)
    };
    let told = write(context, &user, MailKind::EmailChanged, user.email.as_str(), content, false);
    let change = UserChange {
        email: Some(challenge.email.clone()),
        email_verified_at: Some(context.now()),
        ..UserChange::default()
    };
    update(context, &user, change, Some(challenge.id), told, origin).await
}

/// Takes a change back with the link that the old address got: the account has its old address again, every
/// session ends, and the password, which somebody else may know, is unusable. The owner chooses a new one by
/// mail.
///
/// # Errors
/// [`ChangeEmailError`] if the link is refused, or another account has the address by now.
pub async fn revert_email_change(
    context: &Arc<Context>,
    key: &str,
    client: ClientInfo,
) -> Result<User, ChangeEmailError> {
    let challenge = by_key(context, key).await?.ok_or(RedeemError::LinkInvalid)?;
    let user = match challenge.user.filter(|_| challenge.purpose == ChallengePurpose::EmailRevert) {
        Some(user) => context.store.user(user).await?,
        None => None,
    };
    let user = user.ok_or(RedeemError::LinkInvalid)?;
    let origin = Origin::new(Actor::User(user.id), client);
    // The link is spent by the last of the writes: all can be repeated.
    let change = UserChange {
        email: Some(challenge.email.clone()),
        email_verified_at: Some(context.now()),
        ..UserChange::default()
    };
    let user = update(context, &user, change, None, None, origin.clone()).await?;
    remove_factors(context, &user, challenge.created_at.before(REVERT_LIFETIME), &origin).await?;
    let change = PasswordChange {
        password: PasswordHash::unusable(context.random.bytes()),
        expected: None,
        at: context.now(),
        keep_session: None,
        reason: EndReason::PasswordChanged,
        proves_email: true,
        keep_earlier: context.settings.password_history,
    };
    let effects = context.effects(&origin, [Event::PasswordChanged { user: user.id }]);
    let effects = Effects { spends: Some(challenge.id), ..effects };
    let (context, id) = (Arc::clone(context), user.id);
    finish(async move {
        let forgetting = context.live.forgetting(Change::User(id));
        let changed = context.store.change_password(id, change, effects.clone()).await;
        drop(forgetting);
        if !changed? {
            return Err(RedeemError::LinkInvalid.into());
        }
        context.notify(&effects).await;
        Ok(user)
    })
    .await
}

/// Removes the factors that were set up since an instant: whoever has taken the account over could have made
/// them, to keep its owner out.
async fn remove_factors(
    context: &Arc<Context>,
    user: &User,
    since: Timestamp,
    origin: &Origin,
) -> Result<(), ChangeEmailError> {
    let factors = context.store.factors_of(user.id).await?;
    let suspicious = |factor: &&Factor| {
        factor.created_at >= since && factor.is_confirmed() && factor.kind() != FactorKind::RecoveryCodes
    };
    for factor in factors.iter().filter(suspicious) {
        match remove_factor_of(context, user.id, factor.id, origin).await {
            Ok(_) | Err(UserError::NoSuchUser) => {}
            Err(UserError::Store(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

async fn update(
    context: &Arc<Context>,
    user: &User,
    change: UserChange,
    spends: Option<ChallengeId>,
    mail: Option<NewMail>,
    origin: Origin,
) -> Result<User, ChangeEmailError> {
    let event = Event::UserUpdated { user: user.id, fields: UpdatedFields::of(&change) };
    let effects = Effects { spends, mails: mail.into_iter().collect(), ..context.effects(&origin, [event]) };
    let (context, id) = (Arc::clone(context), user.id);
    finish(async move {
        let forgetting = context.live.forgetting(Change::User(id));
        let updated = context.store.update_user(id, change, effects.clone()).await;
        drop(forgetting);
        let updated = updated.map_err(|error| match error {
            WriteUserError::Store(error) => error.into(),
            error => rules::complaint(error).map_or_else(ChangeEmailError::from, ChangeEmailError::Invalid),
        })?;
        context.notify(&effects).await;
        updated.ok_or_else(|| RedeemError::LinkInvalid.into())
    })
    .await
}

/// A challenge that an address answers, with its key and code.
fn challenge(
    context: &Context,
    user: &User,
    purpose: ChallengePurpose,
    email: EmailAddress,
) -> (Challenge, Secret, Code) {
    let (now, random) = (context.now(), context.random.as_ref());
    let (token, key) = (Secret::new(Secret::LOGIN, random), Secret::new(Secret::LINK, random));
    let (id, code) = (ChallengeId::new(now, context.random.bytes()), Code::new(random));
    let lifetime = match purpose {
        ChallengePurpose::EmailRevert => REVERT_LIFETIME,
        _ => context.settings.mail.verify_lifetime,
    };
    let challenge = Challenge {
        id,
        purpose,
        user: Some(user.id),
        email,
        is_of_current_email: false,
        // Whoever has taken the account over ends no way back, by another password for example.
        generation: (purpose != ChallengePurpose::EmailRevert).then_some(user.sessions_generation),
        token: Some(token.hash()),
        key: Some(key.hash()),
        code: Some(context.codes.hash(id, &code)),
        username_key: None,
        data: Map::new(),
        attempts: 0,
        created_at: now,
        sent_at: now,
        expires_at: now.after(lifetime),
    };
    (challenge, key, code)
}

fn write(
    context: &Context,
    user: &User,
    kind: MailKind,
    to: &str,
    content: MailContent,
    is_decoy: bool,
) -> Option<NewMail> {
    let worth = content.expires_at.map_or(NOTICE_WORTH, |end| end.since(context.now()));
    context.write_mail(Letter {
        kind,
        to: to.to_owned(),
        user: Some(user.id),
        locale: user.locale.unwrap_or(context.settings.mail.locale),
        content,
        worth,
        is_decoy,
    })
}
