//! New keys: by the calendar, by hand, and in an emergency.

use super::state::{KeyState, starts, states};
use super::{KeyRing, KeysError};
use crate::context::Context;
use crate::random::RandomSource;
use crate::settings::KeySettings;
use crate::skew::may_delete;
use crate::store::{Change, SigningKey, Store, StoreError};
use crate::time::Timestamp;
use crate::token::key::{Algorithm, KeyError, KeyPair};
use crate::token::seal::Sealer;
use std::sync::Weak;
use std::time::Duration;

/// Between two looks at the calendar.
const ROUND: Duration = Duration::from_mins(1);
/// How often the keys are looked at until nothing is left to be done: a chain begins with two keys, and one may end for it.
pub(super) const ROUNDS: usize = 4;
/// When a key signs that waits until somebody rotates by hand: at the end of the year 9999.
pub const NEVER: Timestamp = Timestamp::from_seconds(253_402_300_799);
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
            () if until_round.is_zero() => maintain(&strong).await,
            () if seen != Some(current) => replenish(&strong).await,
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
    Ok(context.keys.read_again(context, Duration::ZERO).await?)
}

impl KeyRing {
    /// Reads the stored keys, unless that was done by somebody else and is not longer ago than `age`.
    pub(crate) async fn read_again(&self, context: &Context, age: Duration) -> Result<(), StoreError> {
        let mut read = self.reading.lock().await;
        let began = context.clock.uptime();
        if read.is_none_or(|read| began.saturating_sub(read) >= age) {
            let stored = context.store.signing_keys().await?;
            self.take(stored, context.now());
            *read = Some(began);
        }
        Ok(())
    }
}

/// Looks after the chains: see `plan`.
///
/// # Errors
/// [`KeysError`]. Nothing is made while a key is sealed under a secret key that was not given: somebody else has it.
pub async fn maintain(context: &Context) -> Result<(), KeysError> {
    match may_delete(context).await? {
        true => take_steps(context, |_| true).await,
        // By this clock nothing can be said of the calendar either.
        false => replenish(context).await,
    }
}

/// Makes what is missing, as when a key was revoked by hand, and leaves the rest to the calendar: instances that are told different things
/// would answer each other's changes without end.
async fn replenish(context: &Context) -> Result<(), KeysError> {
    take_steps(context, |step| matches!(step, Step::Add { .. })).await
}

async fn take_steps(context: &Context, is_due: fn(&Step) -> bool) -> Result<(), KeysError> {
    let keys = &context.keys;
    for _ in 0..ROUNDS {
        reload(context).await?;
        let sealer = keys.sealer_of_all()?;
        let (now, random) = (context.now(), context.random.as_ref());
        let (usable, stored) = keys.look();
        let mut steps = plan(&usable, &context.settings.keys, keys.keep, now);
        steps.retain(is_due);
        if !carry_out(context.store.as_ref(), steps, &stored, sealer, now, random).await? {
            break;
        }
    }
    reload(context).await
}

/// Lets the announced key of each offered algorithm sign before its time: as soon as every verifier has had the time to learn of it, which
/// is at once if it was announced long enough ago. Their `kid`s, in the order in which the algorithms are offered.
///
/// # Errors
/// [`KeysError`].
pub async fn rotate(context: &Context) -> Result<Vec<String>, KeysError> {
    maintain(context).await?;
    let now = context.now();
    let settings = &context.settings.keys;
    let (keys, _) = context.keys.look();
    let states = states(&keys, now, context.keys.keep);
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
            context.store.schedule_signing_key(next, soonest, next.signs_until).await?;
            context.live.forget(Change::Keys);
            tracing::info!(key.id = next.kid, signs_from = %soonest, "a signing key was brought forward");
        }
        kids.push(next.kid.clone());
    }
    maintain(context).await?;
    Ok(kids)
}

/// Revokes a key in an emergency: whatever it signed is refused at once here, within a second by every instance on the same
/// database, and by other services when they hear it from the revocation feed. If it was the key that signs, the announced one of its
/// algorithm signs from this instant, and another one is announced. `false` if there is no such key, or it was revoked before.
///
/// # Errors
/// [`KeysError::Store`].
pub async fn revoke(context: &Context, kid: &str) -> Result<bool, KeysError> {
    // The successor first, so that there is a key that signs at every instant.
    look_after(context).await;
    let revoked = context.store.revoke_signing_key(kid, context.now()).await?;
    if revoked {
        context.live.forget(Change::Keys);
        tracing::warn!(key.id = kid, "a signing key was revoked");
    }
    look_after(context).await;
    reload(context).await?;
    Ok(revoked)
}

/// Revokes every key, without opening any, and makes new ones, which sign at once, unless the keys are only looked at: the secret key
/// under which they were sealed has leaked, or is lost. How many were revoked.
///
/// # Errors
/// [`KeysError::Store`].
pub async fn revoke_all(context: &Context) -> Result<u64, KeysError> {
    let revoked = context.store.revoke_signing_keys(context.now()).await?;
    context.live.forget(Change::Keys);
    tracing::warn!(keys = revoked, "every signing key was revoked");
    look_after(context).await;
    reload(context).await?;
    Ok(revoked)
}

/// Maintains the keys as far as it is possible here: a key must be revoked also by who cannot make another.
async fn look_after(context: &Context) {
    match maintain(context).await {
        Ok(()) | Err(KeysError::NoSecretKey) => {}
        Err(error) => tracing::warn!(%error, "no new signing key could be announced"),
    }
}

/// Something to do about the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Make a key.
    Add { algorithm: Algorithm, signs_from: Timestamp },
    /// Change when a key signs.
    Schedule { key: SigningKey, signs_from: Timestamp, signs_until: Option<Timestamp> },
    /// Delete a key.
    Delete(String),
}

/// What has to be done at this instant, so that each offered algorithm has a key that signs and an announced one, and the others come to
/// their end. To be asked again when it is done, until nothing is left.
///
/// - A chain without a key gets one; it signs at once if nothing else does, else after it was announced long enough.
/// - A chain with one gets the next, which signs after [`KeySettings::rotate_every`]. If that became shorter, it is brought forward.
/// - A chain that is not offered ends when the first of the offered ones signs, but not at once: another instance may still offer it, or
///   offer it already, and then it goes on.
/// - What is over is deleted, but for the last of a chain that is offered, because the next one follows it.
pub(super) fn plan(keys: &[SigningKey], settings: &KeySettings, keep: Duration, now: Timestamp) -> Vec<Step> {
    let (states, starts) = (states(keys, now, keep), starts(keys));
    let is_offered = |key: &SigningKey| settings.algorithms.iter().any(|a| a.as_str() == key.algorithm);
    let is_current = |n: &usize| matches!(states[*n], KeyState::Signing | KeyState::Announced);
    let current_of = |algorithm: Algorithm| {
        let of_chain = |n: &usize| keys[*n].algorithm == algorithm.as_str() && is_current(n);
        (0..keys.len()).filter(of_chain).collect::<Vec<_>>()
    };
    let announced_by = |at: Timestamp| at.after(settings.announcement());
    let something_signs = states.contains(&KeyState::Signing);
    let first_start = settings.algorithms.first().and_then(|a| current_of(*a).first().map(|n| starts[*n]));

    let mut steps = Vec::new();
    for (n, key) in keys.iter().enumerate() {
        let until = match (is_offered(key), key.signs_until, first_start) {
            _ if states[n].is_over() => key.signs_until,
            (true, ..) => None,
            (false, None, Some(start)) => Some(start.max(announced_by(now))),
            (false, until, _) => until,
        };
        // Where it took the place of a revoked key, that is written down, behind all that came before.
        let took_place = states[n] == KeyState::Signing && starts[n] < key.signs_from;
        let from = if took_place {
            starts[n].max(after_all(&keys[..n], key.algorithm.as_str()))
        } else {
            key.signs_from
        };
        if (from, until) != (key.signs_from, key.signs_until) {
            steps.push(Step::Schedule { key: key.clone(), signs_from: from, signs_until: until });
        }
        let is_last = !keys.iter().any(|k| k.algorithm == key.algorithm && k.predecessor == key.kid);
        if states[n] == KeyState::Retired && !(is_last && is_offered(key)) {
            steps.push(Step::Delete(key.kid.clone()));
        }
    }
    for (place, algorithm) in settings.algorithms.iter().enumerate() {
        if settings.algorithms[..place].contains(algorithm) {
            continue;
        }
        let next_turn = |n: usize| {
            let turn = settings.rotate_every.map_or(NEVER, |every| starts[n].after(every));
            turn.max(after_all(&keys[n..=n], algorithm.as_str()))
        };
        match current_of(*algorithm)[..] {
            [] => {
                let begun = keys.iter().filter(|key| key.signs_from <= now);
                let now = now.max(after_all(begun, algorithm.as_str()));
                let signs_from = if something_signs { announced_by(now) } else { now };
                steps.push(Step::Add { algorithm: *algorithm, signs_from });
            }
            [only] => {
                let signs_from = next_turn(only).max(announced_by(now));
                steps.push(Step::Add { algorithm: *algorithm, signs_from });
            }
            [current, next, ..] => {
                let signs_from = next_turn(current).max(announced_by(keys[next].created_at));
                if signs_from < keys[next].signs_from && now < keys[next].signs_from {
                    let signs_until = None;
                    steps.push(Step::Schedule { key: keys[next].clone(), signs_from, signs_until });
                }
            }
        }
    }
    steps
}

/// The first instant at which a key can begin to sign that comes behind these in its chain.
fn after_all<'a>(keys: impl IntoIterator<Item = &'a SigningKey>, algorithm: &str) -> Timestamp {
    let of_chain = keys.into_iter().filter(|key| key.algorithm == algorithm);
    let last = of_chain.map(|key| key.signs_from.after(Duration::from_micros(1))).max();
    last.unwrap_or(Timestamp::from_micros(i64::MIN))
}

/// Whether any step was taken: of several instances only one takes each.
pub(super) async fn carry_out(
    store: &dyn Store,
    steps: Vec<Step>,
    stored: &[SigningKey],
    sealer: &Sealer,
    now: Timestamp,
    random: &dyn RandomSource,
) -> Result<bool, KeysError> {
    let mut any = false;
    for step in steps {
        any |= match step {
            Step::Add { algorithm, signs_from } => {
                let last = last_of(stored, algorithm);
                let key = new_key(last, algorithm, sealer, now, signs_from, random).await?;
                let (kid, algorithm) = (key.kid.clone(), key.algorithm.clone());
                let is_added = store.add_signing_key(key).await?;
                if is_added {
                    tracing::info!(key.id = kid, algorithm, %signs_from, "a signing key was announced");
                }
                is_added
            }
            Step::Schedule { key, signs_from, signs_until } => {
                let is_scheduled = store.schedule_signing_key(&key, signs_from, signs_until).await?;
                if let Some(until) = signs_until.filter(|_| is_scheduled) {
                    tracing::info!(key.id = key.kid, algorithm = key.algorithm, %until, "a signing key comes to its end");
                }
                is_scheduled
            }
            Step::Delete(kid) => {
                let is_deleted = store.delete_signing_key(&kid).await?;
                if is_deleted {
                    tracing::info!(key.id = kid, "a signing key was deleted: its last token has expired");
                }
                is_deleted
            }
        };
    }
    Ok(any)
}

/// The id of the key of this algorithm that no other follows; empty if there is none.
fn last_of(stored: &[SigningKey], algorithm: Algorithm) -> String {
    let chain = || stored.iter().filter(|key| key.algorithm == algorithm.as_str());
    let is_followed = |key: &SigningKey| chain().any(|other| other.predecessor == key.kid);
    let last = chain().filter(|key| !is_followed(key)).max_by_key(|key| key.created_at);
    last.map(|key| key.kid.clone()).unwrap_or_default()
}

/// A key that follows `last`.
async fn new_key(
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
        signs_until: None,
        revoked_at: None,
    })
}
