//! A new password for whoever has forgotten theirs.

use super::continue_login::new_password_for;
use super::finish::finish;
use super::links::{Answer, RedeemError, answered};
use super::log_in_by_mail::{MailedLogin, RequestMailError, request};
use super::open_session;
use super::pending::{Goal, Pending, State, WantedTokens, go_on, notice};
use super::throttle::LimitError;
use crate::audit::{Actor, Effects, Origin};
use crate::authentication::{Next, Proof, Purpose, next};
use crate::challenge::{ChallengeId, ChallengePurpose};
use crate::context::Context;
use crate::error::{FieldErrors, Input};
use crate::event::Event;
use crate::mail::MailKind;
use crate::outbox::{Letter, NOTICE_WORTH};
use crate::password::{PasswordHash, PoolError};
use crate::session::{ClientInfo, EndReason};
use crate::store::{Change, PasswordChange, StoreError};
use crate::user::User;
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
    /// A second factor is needed, then the new password is stored.
    #[error("a second factor is needed")]
    Pending(Box<Pending>),
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
    let challenge = answered(context, request.answer, &request.client).await?.challenge;
    let user = match challenge.user.filter(|_| challenge.purpose == ChallengePurpose::ResetPassword) {
        Some(user) => context.store.user(user).await?.filter(|user| user.is_active),
        None => None,
    };
    let user = user.ok_or(RedeemError::LinkInvalid)?;
    let new = new_password_for::<ResetPasswordError>(context, &user, request.new_password).await?;
    let new = new.map_err(ResetPasswordError::Invalid)?;
    let password = context.pool.hash(&new, context.random.bytes()).await?;
    let origin = Origin::new(Actor::User(user.id), request.client);
    let standing = open_session::standing(context, &user).await?;
    match next(Purpose::ResetPassword, standing, vec![Proof::Email], context.now()) {
        Next::Done(_) => store_reset(context, &user, password, challenge.id, origin).await,
        Next::Needs(need) => {
            let mut state = State::new(WantedTokens::Session, &[Proof::Email]);
            state.goal = Goal::ResetPassword(password.as_str().to_owned());
            match go_on(context, &user, need, state, Some(challenge.id), &origin).await {
                Ok(pending) => Err(ResetPasswordError::Pending(Box::new(pending))),
                Err(LimitError::Throttled(throttled)) => Err(RedeemError::Throttled(throttled).into()),
                Err(LimitError::Store(error)) => Err(error.into()),
            }
        }
    }
}

/// Stores the hash of the new password, which ends everything of before.
pub(super) async fn store_reset(
    context: &Arc<Context>,
    user: &User,
    password: PasswordHash,
    challenge: ChallengeId,
    origin: Origin,
) -> Result<(), ResetPasswordError> {
    let change = PasswordChange {
        password,
        expected: None,
        at: context.now(),
        keep_session: None,
        reason: EndReason::PasswordChanged,
        proves_email: true,
        keep_earlier: context.settings.password_history,
    };
    let mail = context.write_mail(Letter {
        kind: MailKind::PasswordChanged,
        to: user.email.as_str().to_owned(),
        user: Some(user.id),
        locale: user.locale.unwrap_or(context.settings.mail.locale),
        content: notice(Some(user), context.now(), &origin),
        worth: NOTICE_WORTH,
        is_decoy: false,
    });
    let effects = context.effects(&origin, [Event::PasswordChanged { user: user.id }]).mailing_all(mail);
    let effects = Effects { spends: Some(challenge), ..effects };
    let (context, id) = (Arc::clone(context), user.id);
    finish(async move {
        let forgetting = context.live.forgetting(Change::User(id));
        let changed = context.store.change_password(id, change, effects.clone()).await;
        drop(forgetting);
        if !changed? {
            return Err(RedeemError::LinkInvalid.into());
        }
        context.notify(&effects).await;
        Ok(())
    })
    .await
}
