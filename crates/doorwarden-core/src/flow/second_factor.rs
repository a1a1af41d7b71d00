//! The second factor of a login: a code of an authenticator app, or a recovery code.

use super::links::RedeemError;
use super::pending::{RIGHT_CODES, State, notice};
use crate::audit::Origin;
use crate::authentication::FactorProof;
use crate::context::Context;
use crate::event::Event;
use crate::factor::recovery::{FEW, RecoveryCode, RecoveryKey};
use crate::factor::totp::TotpSecret;
use crate::factor::{Factor, Method, Totp};
use crate::mail::{MailContent, MailKind};
use crate::outbox::{Letter, NOTICE_WORTH};
use crate::store::{NewMail, StoreError};
use crate::user::User;

/// What a typed code is.
pub(super) enum Judged {
    /// It proves this.
    Proves(FactorProof),
    /// It is right, and more of its kind must follow: the app is disabled.
    Counts,
    /// It is wrong.
    Wrong,
}

/// Judges the code of an authenticator app, which is good once. A wrong one counts for each app of the user.
pub(super) async fn judge_totp(
    context: &Context,
    user: &User,
    state: &State,
    code: &str,
    origin: &Origin,
) -> Result<Judged, StoreError> {
    let now = context.now();
    let factors = context.store.factors_of(user.id).await?;
    for factor in factors.iter().filter(|factor| factor.is_confirmed()) {
        let Method::Totp(totp) = &factor.method else { continue };
        let Some(secret) = open(context, factor, totp) else { continue };
        let Some(step) = secret.matching_step(code, now) else { continue };
        if !context.store.use_totp(factor.id, step, now).await? {
            continue;
        }
        if !totp.is_disabled() {
            return Ok(Judged::Proves(FactorProof::Totp));
        }
        if state.right_codes + 1 < RIGHT_CODES {
            return Ok(Judged::Counts);
        }
        enable_totps(context, user, origin).await?;
        return Ok(Judged::Proves(FactorProof::Totp));
    }
    let failures = context.store.fail_totps(user.id).await?;
    if failures >= Totp::MOST_WRONG_CODES {
        let effects = context.effects(origin, [Event::TotpDisabled { user: user.id }]);
        let effects = effects.mailing_all(notice_mail(context, user, MailKind::TotpDisabled, origin, |_| {}));
        if context.store.disable_totps(user.id, Totp::MOST_WRONG_CODES, effects.clone()).await? {
            context.notify(&effects).await;
        }
    }
    Ok(Judged::Wrong)
}

/// Judges a recovery code, which is good once.
pub(super) async fn judge_recovery_code(
    context: &Context,
    user: &User,
    code: &str,
    origin: &Origin,
) -> Result<Judged, StoreError> {
    let factors = context.store.factors_of(user.id).await?;
    let codes = factors.iter().find_map(|factor| match &factor.method {
        Method::RecoveryCodes(codes) => Some((factor.id, codes)),
        _ => None,
    });
    let key = codes.and_then(|(id, codes)| {
        let key: Option<RecoveryKey> = context.factors.open(id, &codes.sealed);
        if key.is_none() {
            tracing::error!(user.id = user.id.0, "the recovery codes were sealed under another secret key");
        }
        key
    });
    let (Some(key), Some(code)) = (key, RecoveryCode::typed(code)) else { return Ok(Judged::Wrong) };
    let mut effects = context.effects(origin, [Event::RecoveryCodeUsed { user: user.id }]);
    // One of these goes.
    let left = codes.map_or(0, |(_, codes)| codes.unused.saturating_sub(1));
    if left <= FEW {
        let few = |content: &mut MailContent| content.codes_left = Some(left);
        effects = effects.mailing_all(notice_mail(context, user, MailKind::RecoveryCodesFew, origin, few));
    }
    match context.store.use_recovery_code(user.id, key.hash(&code), effects.clone()).await? {
        Some(_) => {
            context.notify(&effects).await;
            enable_totps(context, user, origin).await?;
            Ok(Judged::Proves(FactorProof::RecoveryCode))
        }
        None => Ok(Judged::Wrong),
    }
}

/// Whoever has proved another factor need not wait for the app to count again.
pub(super) async fn enable_totps(
    context: &Context,
    user: &User,
    origin: &Origin,
) -> Result<bool, StoreError> {
    let effects = context.effects(origin, [Event::TotpEnabled { user: user.id }]);
    let enabled = context.store.enable_totps(user.id, effects.clone()).await?;
    if enabled {
        context.notify(&effects).await;
    }
    Ok(enabled)
}

/// The secret of an authenticator app; `None`, and a line in the log, if it was sealed under another secret
/// key.
pub(super) fn open(context: &Context, factor: &Factor, totp: &Totp) -> Option<TotpSecret> {
    let secret = context.factors.open(factor.id, &totp.sealed);
    if secret.is_none() {
        tracing::error!(factor.id = %factor.id, "a TOTP was sealed under another secret key");
    }
    secret
}

/// The mail that tells a user of a change, where mails are sent.
pub(super) fn notice_mail(
    context: &Context,
    user: &User,
    kind: MailKind,
    origin: &Origin,
    fill: impl FnOnce(&mut MailContent),
) -> Option<NewMail> {
    if !context.outbox.is_open() {
        return None;
    }
    let mut content = notice(Some(user), context.now(), origin);
    fill(&mut content);
    context.write_mail(Letter {
        kind,
        to: user.email.as_str().to_owned(),
        user: Some(user.id),
        locale: user.locale.unwrap_or(context.settings.mail.locale),
        content,
        worth: NOTICE_WORTH,
        is_decoy: false,
    })
}

/// The attempts that are left of a login whose code was wrong.
pub(super) fn wrong(attempts: u32) -> RedeemError {
    RedeemError::CodeInvalid {
        attempts_left: crate::challenge::Challenge::MOST_ATTEMPTS.saturating_sub(attempts),
    }
}
