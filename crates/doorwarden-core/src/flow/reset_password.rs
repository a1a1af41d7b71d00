//! A new password for whoever has forgotten theirs.

use super::continue_login::new_password_for;
use super::finish::finish;
use super::links::{Answer, RedeemError, answered};
use super::log_in_by_mail::{MailedLogin, RequestMailError, request};
use super::pending::{Pending, notice};
use crate::audit::{Actor, Effects, Origin};
use crate::challenge::ChallengePurpose;
use crate::context::Context;
use crate::error::{FieldErrors, Input};
use crate::event::Event;
use crate::mail::MailKind;
use crate::outbox::{Letter, NOTICE_WORTH};
use crate::password::PoolError;
use crate::session::{ClientInfo, EndReason};
use crate::store::{Change, PasswordChange, StoreError};
use serde_json::Map;
use std::sync::Arc;

/// Mails a link and a code with which a new password can be chosen. An address without an active account is
/// answered alike, after the same work.
///
/// # Errors
/// [`RequestMailError`] if the input is not an email address, no mail can be sent, or the database operation
/// failed.
pub async fn request_reset(context: &Context, asked: MailedLogin) -> Result<Pending, RequestMailError> {
    let purpose = (ChallengePurpose::ResetPassword, MailKind::ResetPassword);
    let lifetime = context.settings.mail.reset_lifetime;
    request(context, asked, purpose, lifetime, Map::new()).await
}

/// The contents of the request.
#[derive(Debug, Default)]
pub struct ResetPassword {
    /// How the mail is answered.
    pub answer: Answer,
    /// The new password.
    pub new_password: Input<String>,
    /// The client that sent the request.
    pub client: ClientInfo,
}

/// Why no new password was stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ResetPasswordError {
    /// The link, the login token or the code is refused.
    #[error(transparent)]
    Redeem(#[from] RedeemError),
    /// The new password breaks rules. The link is still good.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// The password was not hashed.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

impl From<StoreError> for ResetPasswordError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Spent => RedeemError::LinkInvalid.into(),
            other => RedeemError::Store(other).into(),
        }
    }
}

/// Stores the new password, which ends every session, open link and pending login of the account and proves
/// its address. Logs nobody in.
///
/// # Errors
/// [`ResetPasswordError`] if the link or code is refused, or the password breaks rules or could not be
/// stored.
pub async fn reset_password(
    context: &Arc<Context>,
    request: ResetPassword,
) -> Result<(), ResetPasswordError> {
    let challenge = answered(context, request.answer).await?.challenge;
    let user = match challenge.user.filter(|_| challenge.purpose == ChallengePurpose::ResetPassword) {
        Some(user) => context.store.user(user).await?.filter(|user| user.is_active),
        None => None,
    };
    let user = user.ok_or(RedeemError::LinkInvalid)?;
    let new = new_password_for::<ResetPasswordError>(context, &user, request.new_password).await?;
    let new = new.map_err(ResetPasswordError::Invalid)?;
    let change = PasswordChange {
        password: context.pool.hash(&new, context.random.bytes()).await?,
        expected: None,
        at: context.now(),
        keep_session: None,
        reason: EndReason::PasswordChanged,
        proves_email: true,
        keep_earlier: context.settings.password_history,
    };
    let origin = Origin::new(Actor::User(user.id), request.client);
    let mail = context.write_mail(Letter {
        kind: MailKind::PasswordChanged,
        to: user.email.as_str().to_owned(),
        user: Some(user.id),
        locale: user.locale.unwrap_or(context.settings.mail.locale),
        content: notice(Some(&user), context.now(), &origin),
        worth: NOTICE_WORTH,
        is_decoy: false,
    });
    let effects = context.effects(&origin, [Event::PasswordChanged { user: user.id }]).mailing(mail);
    let effects = Effects { spends: Some(challenge.id), ..effects };
    let context = Arc::clone(context);
    finish(async move {
        let forgetting = context.live.forgetting(Change::User(user.id));
        let changed = context.store.change_password(user.id, change, effects.clone()).await;
        drop(forgetting);
        if !changed? {
            return Err(RedeemError::LinkInvalid.into());
        }
        context.notify(&effects).await;
        Ok(())
    })
    .await
}
