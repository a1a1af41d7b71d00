//! New keys: by the calendar, by hand, and in an emergency.

use super::KeysError;
use super::state::KeyState;
use crate::context::Context;
use crate::random::RandomSource;
use crate::store::{Change, SigningKey};
use crate::time::Timestamp;
use crate::token::key::{Algorithm, KeyError, KeyPair};
use crate::token::seal::Sealer;
use std::sync::Weak;
use std::time::Duration;

/// Between two looks at the calendar.
const ROUND: Duration = Duration::from_mins(1);
/// Between two looks at the stored keys while changes are not heard.
const DEAF: Duration = Duration::from_millis(500);

/// Works until the context is dropped: reads the keys when they change, and makes new ones in time. To be spawned once for
/// each context.
pub async fn run(context: Weak<Context>) {
    let Some(mut changes) = context.upgrade().map(|context| context.live.watch()) else { return };
    let (mut seen, mut failed) = (None, false);
    let mut until_round = Duration::ZERO;
    loop {
        let Some(strong) = context.upgrade() else { return };
        let current = changes.borrow_and_update().keys;
        let is_deaf = !strong.live.is_connected();
        let done = match () {
            () if until_round.is_zero() || seen != Some(current) => maintain(&strong).await,
            () if is_deaf => reload(&strong).await,
            () => Ok(()),
        };
        match done {
            Ok(()) => (seen, failed) = (Some(current), false),
            Err(error) => {
                if !failed {
                    tracing::warn!(%error, "the signing keys could not be looked after; trying again");
                }
                (seen, failed) = (None, true);
            }
        }
        if until_round.is_zero() {
            until_round = ROUND;
        }
        let wait = if is_deaf || seen.is_none() { DEAF } else { until_round };
        drop(strong);
        let began = std::time::Instant::now();
        let _ = tokio::time::timeout(wait, changes.changed()).await;
        until_round = until_round.saturating_sub(began.elapsed());
    }
}

/// Reads the stored keys.
///
/// # Errors
/// [`KeysError::Store`]; what was known before stays then.
pub async fn reload(context: &Context) -> Result<(), KeysError> {
    let _one_after_the_other = context.keys.reading.lock().await;
    let stored = context.store.signing_keys().await?;
    context.keys.take(stored, context.now());
    Ok(())
}

/// Announces the next key when it is time, makes one at once if none signs, and deletes those that are over.
///
/// # Errors
/// [`KeysError`].
pub async fn maintain(context: &Context) -> Result<(), KeysError> {
    reload(context).await?;
    let now = context.now();
    let (list, last) = context.keys.look(now);
    for (key, state) in &list {
        if *state == KeyState::Retired && key.kid != last {
            context.store.delete_signing_key(&key.kid).await?;
            tracing::info!(key.id = key.kid, "a signing key was deleted: its last token has expired");
        }
    }
    let settings = &context.settings.keys;
    let newest = list.iter().rev().find(|(key, _)| key.revoked_at.is_none());
    match (newest, settings.rotate_every) {
        (None, _) => add(context, last, now).await?,
        (Some((newest, _)), Some(every)) => {
            let soonest = now.after(2 * settings.cache);
            if newest.signs_from.after(every) <= soonest {
                add(context, last, soonest.max(newest.signs_from.after(every))).await?;
            }
        }
        (Some(_), None) => {}
    }
    reload(context).await
}

/// Announces a new key, which signs as soon as every verifier has had the time to fetch it: after twice the time that the
/// key set may be cached. The `kid` of the key that signs next; if one is announced already, its.
///
/// # Errors
/// [`KeysError`].
pub async fn rotate(context: &Context) -> Result<String, KeysError> {
    reload(context).await?;
    let now = context.now();
    let announced = |list: Vec<(SigningKey, KeyState)>| {
        list.into_iter().find(|(_, state)| *state == KeyState::Announced).map(|(key, _)| key.kid)
    };
    let (list, last) = context.keys.look(now);
    if let Some(kid) = announced(list) {
        return Ok(kid);
    }
    add(context, last, now.after(2 * context.settings.keys.cache)).await?;
    reload(context).await?;
    let list = context.keys.list(now);
    let newest = list.iter().rev().find(|(key, _)| key.revoked_at.is_none()).map(|(key, _)| key.kid.clone());
    Ok(announced(list).or(newest).unwrap_or_default())
}

/// Revokes a key in an emergency: whatever it signed is refused at once here, within a second by every instance on the same
/// database, and by other services when they hear it from the revocation feed. If it was the key that signs, a new one signs from this
/// instant. `false` if there is no such key, or it was revoked before.
///
/// # Errors
/// [`KeysError`].
pub async fn revoke(context: &Context, kid: &str) -> Result<bool, KeysError> {
    loop {
        reload(context).await?;
        let now = context.now();
        let (list, last) = context.keys.look(now);
        let Some((key, state)) = list.iter().find(|(key, _)| key.kid == kid) else { return Ok(false) };
        if *state != KeyState::Signing {
            break;
        }
        // The successor first, so that there is a key that signs at every instant.
        add(context, last, now.max(key.signs_from.after(Duration::from_micros(1)))).await?;
        if key.signs_from >= now {
            break;
        }
    }
    let revoked = context.store.revoke_signing_key(kid, context.now()).await?;
    reload(context).await?;
    if revoked {
        context.live.forget(Change::Keys);
        tracing::warn!(key.id = kid, "a signing key was revoked");
    }
    Ok(revoked)
}

/// Stores a new key after `last`; nothing happens if another instance was faster.
async fn add(context: &Context, last: String, signs_from: Timestamp) -> Result<(), KeysError> {
    let algorithm = context.settings.keys.algorithm;
    let (sealer, random) = (&context.keys.sealer, context.random.as_ref());
    let key = new_key(last, algorithm, sealer, context.now(), signs_from, random).await?;
    let kid = key.kid.clone();
    if context.store.add_signing_key(key).await? {
        tracing::info!(key.id = kid, %signs_from, "a signing key was announced");
    }
    Ok(())
}

/// The id of the key that no other key follows; empty if there is none.
pub(super) fn last_of(stored: &[SigningKey]) -> String {
    let is_followed = |key: &SigningKey| stored.iter().any(|other| other.predecessor == key.kid);
    let last = stored.iter().filter(|key| !is_followed(key)).max_by_key(|key| key.created_at);
    last.map(|key| key.kid.clone()).unwrap_or_default()
}

/// A key that follows `last`.
pub(super) async fn new_key(
    last: String,
    algorithm: Algorithm,
    sealer: &Sealer,
    now: Timestamp,
    signs_from: Timestamp,
    random: &dyn RandomSource,
) -> Result<SigningKey, KeysError> {
    let pair = match algorithm {
        Algorithm::EdDsa => KeyPair::ed25519(&random.bytes())?,
        // RSA takes up to a second.
        _ => tokio::task::spawn_blocking(move || KeyPair::generate(algorithm))
            .await
            .unwrap_or(Err(KeyError::Generation))?,
    };
    Ok(SigningKey {
        kid: pair.id().to_owned(),
        algorithm: algorithm.as_str().to_owned(),
        sealed: sealer.seal(random.bytes(), pair.id().as_bytes(), &pair.to_pkcs8()),
        public_jwk: pair.public().to_jwk(),
        predecessor: last,
        created_at: now,
        signs_from,
        revoked_at: None,
    })
}
