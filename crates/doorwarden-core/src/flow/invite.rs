//! Invitations: somebody who may register with one address, although nobody else may.

use super::finish::finish;
use super::links::{RedeemError, by_key};
use super::pending::{link, notice};
use super::register::{RegisterError, Registered, Registration, Way, create, prepare};
use super::rules;
use crate::audit::Origin;
use crate::challenge::{Challenge, ChallengeId, ChallengePurpose, Secret};
use crate::context::Context;
use crate::error::{FieldError, FieldErrors, Input};
use crate::event::Event;
use crate::identity::{EmailAddress, EmailKey};
use crate::locale::Locale;
use crate::mail::{MailContent, MailKind};
use crate::outbox::Letter;
use crate::store::{CreateChallengeError, StoreError};
use crate::time::Timestamp;
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;

/// How long an invitation can be accepted.
pub const LIFETIME: Duration = Duration::from_hours(7 * 24);

/// Why nobody was invited.
#[derive(Debug, Clone, thiserror::Error)]
pub enum InviteError {
    /// The text is not an email address, or has an account.
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
/// domain](crate::settings::RegistrationSettings::domains), and ends an earlier one. Returns until when it
/// can be accepted.
///
/// # Errors
/// [`InviteError`] if the text is not an email address or has an account, no mail can be sent, or the
/// database operation failed.
pub async fn invite(
    context: &Context,
    email: &str,
    locale: Option<Locale>,
    origin: &Origin,
) -> Result<Timestamp, InviteError> {
    if !context.outbox.is_open() {
        return Err(InviteError::NoMail);
    }
    let mut errors = FieldErrors::new();
    let email = rules::new_email(Input::Given(email.to_owned()), &mut errors);
    let Some(email) = email else { return Err(InviteError::Invalid(errors)) };
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
    let expires_at = challenge.expires_at;
    let content = MailContent {
        link: Some(link(context, &key)),
        expires_at: Some(expires_at),
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
    let effects = context.effects(origin, [Event::UserInvited]).mailing(mail);
    context.store.create_challenge(challenge, true, effects.clone()).await.map_err(|error| match error {
        CreateChallengeError::Store(error) => error,
        CreateChallengeError::UsernameTaken => StoreError::failed(error),
    })?;
    context.notify(&effects).await;
    Ok(expires_at)
}

/// An invitation that can be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Invitation {
    /// The id, by which later invitations are listed.
    pub id: ChallengeId,
    /// The address that may register.
    pub email: EmailAddress,
    /// When it was mailed.
    pub sent_at: Timestamp,
    /// Until when it can be accepted.
    pub expires_at: Timestamp,
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
    let invitation = |open: Challenge| Invitation {
        id: open.id,
        email: open.email,
        sent_at: open.sent_at,
        expires_at: open.expires_at,
    };
    Ok(open.into_iter().map(invitation).collect())
}

/// Ends the invitation of this address, whose link is no longer valid; `false` if there is none.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn revoke_invitation(
    context: &Context,
    email: &EmailKey,
    origin: &Origin,
) -> Result<bool, StoreError> {
    const PAGE: u32 = 500;
    let mut after = None;
    loop {
        let page = invitations(context, after, PAGE).await?;
        if let Some(found) = page.iter().find(|invitation| invitation.email.key() == *email) {
            let effects = context.effects(origin, [Event::InvitationRevoked]);
            let is_ended = context.store.end_challenge(found.id, effects.at, effects.clone()).await?;
            if is_ended {
                context.notify(&effects).await;
            }
            return Ok(is_ended);
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
    /// The account could not be created. The link is still good.
    #[error(transparent)]
    Register(#[from] RegisterError),
}

/// Creates the account of whoever was invited, with the address of the invitation, which is proved by its
/// link, and opens its first session. The email address of `request` is ignored.
///
/// # Errors
/// [`AcceptError`] if the link is refused, or the account could not be created.
pub async fn accept_invitation(
    context: &Arc<Context>,
    key: &str,
    request: Registration,
) -> Result<Registered, AcceptError> {
    let challenge = by_key(context, key).await.map_err(RedeemError::Store)?;
    let challenge = challenge.filter(|challenge| challenge.purpose == ChallengePurpose::Invitation);
    let challenge = challenge.ok_or(RedeemError::LinkInvalid)?;
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
