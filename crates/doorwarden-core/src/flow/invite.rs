//! Invitations: somebody who may register with one address, although nobody else may.

use super::finish::finish;
use super::links::{RedeemError, by_key};
use super::pending::{link, notice};
use super::register::{RegisterError, Registered, Registration, Way, create, prepare};
use super::rules;
use crate::audit::{Effects, Origin};
use crate::challenge::{Challenge, ChallengeId, ChallengePurpose, Secret};
use crate::context::Context;
use crate::error::{FieldError, FieldErrors, Input};
use crate::event::Event;
use crate::flow::authenticate::Authenticated;
use crate::identity::{EmailAddress, EmailKey};
use crate::locale::Locale;
use crate::mail::{MailContent, MailKind};
use crate::outbox::Letter;
use crate::store::{CreateChallengeError, StoreError};
use crate::time::Timestamp;
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How long an invitation can be accepted.
pub const LIFETIME: Duration = Duration::from_hours(7 * 24);

/// The permission to invite people, and to see and end invitations: Django's, of whoever may add users.
pub const PERMISSION: &str = "users.add_user";

/// Why nobody was invited.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InviteError {
    /// The text is not an email address, or has an account, or the invitation to be replaced is not open.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// This service sends no mail.
    #[error("this service sends no mail")]
    NoMail,
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Mails an invitation with a link to this address, which may be of [any
/// domain](crate::settings::RegistrationSettings::domains), and ends an earlier one. `replaces` is the id of
/// another invitation that ends with it, because it went to a wrong address.
///
/// # Errors
/// [`InviteError`] if the text is not an email address or has an account, the invitation to be replaced is
/// not open, no mail can be sent, or the database operation failed.
pub async fn invite(
    context: &Context,
    email: Input<String>,
    replaces: Input<String>,
    locale: Option<Locale>,
    origin: &Origin,
) -> Result<Invitation, InviteError> {
    if !context.outbox.is_open() {
        return Err(InviteError::NoMail);
    }
    let mut errors = FieldErrors::new();
    let email = rules::new_email(email, &mut errors);
    let replaces = replaced(context, replaces).await?.unwrap_or_else(|complaint| {
        errors.add("replaces", [complaint]);
        None
    });
    let Some(email) = email.filter(|_| errors.is_empty()) else { return Err(InviteError::Invalid(errors)) };
    if context.store.user_by_email(&email.key()).await?.is_some() {
        return Err(InviteError::Invalid(FieldErrors::one("email", FieldError::taken("email"))));
    }
    let now = context.now();
    let key = Secret::new(Secret::LINK, context.random.as_ref());
    let challenge = Challenge {
        id: ChallengeId::new(now, context.random.bytes()),
        purpose: ChallengePurpose::Invitation,
        user: None,
        email: email.clone(),
        is_of_current_email: false,
        generation: None,
        token: None,
        key: Some(key.hash()),
        code: None,
        username_key: None,
        data: Map::new(),
        attempts: 0,
        created_at: now,
        sent_at: now,
        expires_at: now.after(LIFETIME),
    };
    let invitation = Invitation::of(&challenge);
    let content = MailContent {
        link: Some(link(context, &key)),
        expires_at: Some(challenge.expires_at),
        ..notice(None, now, origin)
    };
    let mail = context.write_mail(Letter {
        kind: MailKind::Invitation,
        to: email.as_str().to_owned(),
        user: None,
        locale: locale.unwrap_or(context.settings.mail.locale),
        content,
        worth: LIFETIME,
        is_decoy: false,
    });
    let revoked = replaces.map(|_| Event::InvitationRevoked);
    let effects = context.effects(origin, revoked.into_iter().chain([Event::UserInvited])).mailing_all(mail);
    let effects = Effects { spends: replaces, ..effects };
    context.store.create_challenge(challenge, true, effects.clone()).await.map_err(|error| match error {
        CreateChallengeError::Store(StoreError::Spent) => {
            InviteError::Invalid(FieldErrors::one("replaces", not_open()))
        }
        CreateChallengeError::Store(error) => error.into(),
        CreateChallengeError::UsernameTaken => StoreError::failed(error).into(),
    })?;
    context.notify(&effects).await;
    Ok(invitation)
}

/// The invitation to be replaced, or the complaint about it.
async fn replaced(
    context: &Context,
    id: Input<String>,
) -> Result<Result<Option<ChallengeId>, FieldError>, StoreError> {
    let id = match id.optional() {
        Ok(Some(text)) => Uuid::try_parse(text.trim()).map(ChallengeId),
        Ok(None) => return Ok(Ok(None)),
        Err(complaint) => return Ok(Err(complaint)),
    };
    let open = match id {
        Ok(id) => open_invitation(context, id).await?,
        Err(_) => None,
    };
    Ok(open.map(|open| Some(open.id)).ok_or_else(not_open))
}

fn not_open() -> FieldError {
    FieldError::new("does_not_exist", "There is no such invitation that can be accepted.")
}

/// An invitation that can be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invitation {
    /// The id, by which later invitations are listed, and one is ended.
    pub id: ChallengeId,
    /// The address that may register.
    pub email: EmailAddress,
    /// When it was mailed.
    pub sent_at: Timestamp,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
}

impl Invitation {
    fn of(challenge: &Challenge) -> Self {
        Self {
            id: challenge.id,
            email: challenge.email.clone(),
            sent_at: challenge.sent_at,
            expires_at: challenge.expires_at,
        }
    }
}

/// The invitations that can be accepted, oldest first: those after `after`, and at most `limit`.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn invitations(
    context: &Context,
    after: Option<ChallengeId>,
    limit: u32,
) -> Result<Vec<Invitation>, StoreError> {
    let purpose = ChallengePurpose::Invitation;
    let open = context.store.challenges_for(purpose, context.now(), after, limit).await?;
    Ok(open.iter().map(Invitation::of).collect())
}

/// The invitation with this id, if it can be accepted: other challenges have ids, too.
async fn open_invitation(context: &Context, id: ChallengeId) -> Result<Option<Challenge>, StoreError> {
    let open = context.store.challenge(id, context.now()).await?;
    Ok(open.filter(|challenge| challenge.purpose == ChallengePurpose::Invitation))
}

/// Ends an invitation, whose link is no longer valid; `false` if there is none with this id that can be
/// accepted.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn revoke_invitation(
    context: &Context,
    id: ChallengeId,
    origin: &Origin,
) -> Result<bool, StoreError> {
    if open_invitation(context, id).await?.is_none() {
        return Ok(false);
    }
    let effects = context.effects(origin, [Event::InvitationRevoked]);
    let is_ended = context.store.end_challenge(id, effects.at, effects.clone()).await?;
    if is_ended {
        context.notify(&effects).await;
    }
    Ok(is_ended)
}

/// Ends the invitation of this address, whose link is no longer valid; `false` if there is none.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn revoke_invitation_of(
    context: &Context,
    email: &EmailKey,
    origin: &Origin,
) -> Result<bool, StoreError> {
    const PAGE: u32 = 500;
    let mut after = None;
    loop {
        let page = invitations(context, after, PAGE).await?;
        if let Some(found) = page.iter().find(|invitation| invitation.email.key() == *email) {
            return revoke_invitation(context, found.id, origin).await;
        }
        match page.last() {
            Some(last) if page.len() == PAGE as usize => after = Some(last.id),
            _ => return Ok(false),
        }
    }
}

/// Why an invitation was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AcceptError {
    /// The link was used, has expired, or was replaced by another one.
    #[error(transparent)]
    Redeem(#[from] RedeemError),
    /// Whoever accepts is logged in with another address. The link is still good.
    #[error("you are logged in with another email address")]
    SignedInAsAnother,
    /// The account could not be created. The link is still good.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

/// Creates the account of whoever was invited, with the address of the invitation, which is proved by its
/// link, and opens its first session. The email address of `request` is ignored. `who` is logged in where
/// the link was opened, if anybody is: a user with another address has opened a link that is not theirs, or
/// forgot to log out.
///
/// # Errors
/// [`AcceptError`] if the link is refused, somebody else is logged in, or the account could not be created.
pub async fn accept_invitation(
    context: &Arc<Context>,
    who: Option<&Authenticated>,
    key: &str,
    request: Registration,
) -> Result<Registered, AcceptError> {
    let challenge = by_key(context, key).await.map_err(RedeemError::Store)?;
    let challenge = challenge.filter(|challenge| challenge.purpose == ChallengePurpose::Invitation);
    let challenge = challenge.ok_or(RedeemError::LinkInvalid)?;
    if who.is_some_and(|who| who.user().email.key() != challenge.email.key()) {
        return Err(AcceptError::SignedInAsAnother);
    }
    let client = request.client.clone();
    let email = Input::Given(challenge.email.as_str().to_owned());
    let mut new = prepare(context, Registration { email, ..request }, Way::Invited).await?;
    new.email_verified_at = Some(context.now());
    let context = Arc::clone(context);
    match finish(async move { create(&context, new, Some(challenge.id), client).await }).await {
        Err(RegisterError::Store(StoreError::Spent)) => Err(RedeemError::LinkInvalid.into()),
        result => Ok(result?),
    }
}
