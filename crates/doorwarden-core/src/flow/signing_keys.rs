//! Rotation of signing keys: scheduled, manual, and in an emergency.

use crate::audit::Origin;
use crate::context::Context;
use crate::event::{Event, Found};
use crate::keys::KeysError;
use crate::keys::rotation::{ROUNDS, Step, carry_out, plan};
use crate::keys::state::{KeyState, states};
use crate::skew::may_delete;
use crate::store::{Change, SigningKey};
use std::time::Duration;

/// Reads the stored keys.
///
/// # Errors
/// [`KeysError::Store`] if the database operation failed; the known keys are kept then.
pub async fn reload(context: &Context) -> Result<(), KeysError> {
    Ok(context.keys.read_again(context.store.as_ref(), context.clock.as_ref(), Duration::ZERO).await?)
}

/// Maintains the chains: see `plan`.
///
/// # Errors
/// [`KeysError`] if the keys could not be read, created or stored. No key is created while a stored key is
/// sealed under a secret key that is not configured here: another instance has it.
pub async fn maintain(context: &Context) -> Result<(), KeysError> {
    match may_delete(context.store.as_ref(), context.clock.as_ref()).await? {
        true => take_steps(context, |_| true).await,
        // With this clock the schedule cannot be followed either.
        false => replenish(context).await,
    }
}

/// Creates missing keys, as after a manual revocation, and leaves the rest to the schedule: instances with
/// different settings would otherwise undo each other's changes forever.
pub(crate) async fn replenish(context: &Context) -> Result<(), KeysError> {
    take_steps(context, |step| matches!(step, Step::Add { .. })).await
}

async fn take_steps(context: &Context, is_due: fn(&Step) -> bool) -> Result<(), KeysError> {
    let keys = &context.keys;
    for _ in 0..ROUNDS {
        reload(context).await?;
        let sealer = keys.sealer_of_all()?;
        let (now, random) = (context.now(), context.random.as_ref());
        let (usable, stored) = keys.look();
        let mut steps = plan(&usable, &context.settings.keys, keys.keep(), now);
        steps.retain(is_due);
        let done = carry_out(context.store.as_ref(), steps, &stored, sealer, now, random).await?;
        if done.is_empty() {
            break;
        }
        for effects in done {
            context.notify(&effects).await;
        }
    }
    reload(context).await
}

/// Lets the announced key of each offered algorithm sign before its time: as soon as every verifier has had
/// the time to fetch it, which is at once if it was announced long enough ago. Returns their `kid`s, in the
/// order in which the algorithms are offered.
///
/// # Errors
/// [`KeysError`] if the keys could not be read, created or stored.
pub async fn rotate(context: &Context, origin: &Origin) -> Result<Vec<String>, KeysError> {
    maintain(context).await?;
    let now = context.now();
    let settings = &context.settings.keys;
    let (keys, _) = context.keys.look();
    let states = states(&keys, now, context.keys.keep());
    let mut kids = Vec::new();
    for algorithm in &settings.algorithms {
        let is_next = |(key, state): &(&SigningKey, &KeyState)| {
            key.algorithm == algorithm.as_str() && **state == KeyState::Announced
        };
        let Some((next, _)) = keys.iter().zip(&states).find(is_next) else { continue };
        if kids.contains(&next.kid) {
            continue;
        }
        let soonest = now.max(next.created_at.after(settings.announcement()));
        if soonest < next.signs_from {
            let (key, signs_until) = (next.kid.clone(), next.signs_until);
            let event = Event::SigningKeyScheduled { key, signs_from: soonest, signs_until };
            let effects = context.effects(origin, [event]);
            let scheduled =
                context.store.schedule_signing_key(next, soonest, signs_until, effects.clone()).await?;
            context.live.forget(Change::Keys);
            if scheduled {
                context.notify(&effects).await;
            }
        }
        kids.push(next.kid.clone());
    }
    maintain(context).await?;
    Ok(kids)
}

/// Revokes a key in an emergency: whatever it signed is refused at once here, within a second by every
/// instance on the same database, and by other services when they receive it from the revocation feed. If it
/// was the key that signs, the announced one of its algorithm signs from this instant, and another one is
/// announced. `false` if there is no such key, or the key is already revoked.
///
/// # Errors
/// [`KeysError::Store`] if the database operation failed.
pub async fn revoke(context: &Context, kid: &str, origin: &Origin) -> Result<bool, KeysError> {
    // The successor first, so that there is a key that signs at every instant.
    look_after(context).await;
    let effects = context.effects(origin, [Event::SigningKeyRevoked { key: kid.to_owned() }]);
    let revoked = context.store.revoke_signing_key(kid, effects.at, effects.clone()).await?;
    if revoked {
        context.live.forget(Change::Keys);
        context.notify(&effects).await;
    }
    look_after(context).await;
    reload(context).await?;
    Ok(revoked)
}

/// Revokes every key, without opening any, and creates new ones, which sign at once, unless the keys are only
/// looked at: the secret key under which they were sealed has leaked, or is lost. Returns how many were
/// revoked.
///
/// # Errors
/// [`KeysError::Store`] if the database operation failed.
pub async fn revoke_all(context: &Context, origin: &Origin) -> Result<u64, KeysError> {
    let effects = context.effects(origin, [Event::SigningKeysRevoked { count: 0 }]);
    let revoked = context.store.revoke_signing_keys(effects.at, effects.clone()).await?;
    context.live.forget(Change::Keys);
    if revoked > 0 {
        context.notify(&effects.with(Found::Count(revoked))).await;
    }
    look_after(context).await;
    reload(context).await?;
    Ok(revoked)
}

/// Maintains the keys as far as possible: an instance that cannot create a key must still be able to revoke
/// one.
async fn look_after(context: &Context) {
    match maintain(context).await {
        Ok(()) | Err(KeysError::NoSecretKey) => {}
        Err(error) => tracing::warn!(%error, hint = error.hint(), "no new signing key could be announced"),
    }
}
