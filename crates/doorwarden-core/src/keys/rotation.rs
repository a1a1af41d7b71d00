//! Maintenance of the chains of keys: planning and execution.

use super::state::{KeyState, starts, states};
use super::{KeyRing, KeysError};
use crate::audit::{Actor, Effects};
use crate::event::Event;
use crate::random::RandomSource;
use crate::settings::KeySettings;
use crate::store::{SigningKey, Store, StoreError};
use crate::time::{Clock, Timestamp};
use crate::token::key::{Algorithm, KeyError, KeyPair};
use crate::token::seal::Sealer;
use std::time::Duration;

/// Maximum number of rounds until nothing is left to do: a chain begins with two keys, and one may end for
/// it.
pub(crate) const ROUNDS: usize = 4;
/// When a key signs that waits for a manual rotation: at the end of the year 9999.
pub const NEVER: Timestamp = Timestamp::from_seconds(253_402_300_799);

impl KeyRing {
    /// Reads the stored keys, unless another task has read them within `age`.
    pub(crate) async fn read_again(
        &self,
        store: &dyn Store,
        clock: &dyn Clock,
        age: Duration,
    ) -> Result<(), StoreError> {
        let mut read = self.reading.lock().await;
        let began = clock.uptime();
        if read.is_none_or(|read| began.saturating_sub(read) >= age) {
            let stored = store.signing_keys().await?;
            self.take(stored, clock.now());
            *read = Some(began);
        }
        Ok(())
    }
}

/// A step of the maintenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Create a key.
    Add { algorithm: Algorithm, signs_from: Timestamp },
    /// Change when a key signs.
    Schedule { key: SigningKey, signs_from: Timestamp, signs_until: Option<Timestamp> },
    /// Delete a key.
    Delete(String),
}

/// What has to be done at this instant, so that each offered algorithm has a key that signs and an announced
/// one, and the others come to their end. Called again after each round, until nothing is left.
///
/// - A chain without a key gets one; it signs at once if nothing else does, else after it was announced long
///   enough.
/// - A chain with one gets the next, which signs after [`KeySettings::rotate_every`]. If that became shorter,
///   it is brought forward.
/// - A chain that is not offered ends when the first of the offered ones signs, but not at once: another
///   instance may still offer it, or offer it already, and then it goes on.
/// - What is over is deleted, but for the last of a chain that is offered, because the next one follows it.
pub(crate) fn plan(keys: &[SigningKey], settings: &KeySettings, keep: Duration, now: Timestamp) -> Vec<Step> {
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

/// What the steps that were taken have caused: of several instances only one takes each.
pub(crate) async fn carry_out(
    store: &dyn Store,
    steps: Vec<Step>,
    stored: &[SigningKey],
    sealer: &Sealer,
    now: Timestamp,
    random: &dyn RandomSource,
) -> Result<Vec<Effects>, KeysError> {
    let mut done = Vec::new();
    let by_itself = |event| Effects::new(now, &Actor::System.into(), [event]);
    for step in steps {
        let (taken, effects) = match step {
            Step::Add { algorithm, signs_from } => {
                let last = last_of(stored, algorithm);
                let key = new_key(last, algorithm, sealer, now, signs_from, random).await?;
                let (kid, algorithm) = (key.kid.clone(), key.algorithm.clone());
                let effects = by_itself(Event::SigningKeyAdded { key: kid, algorithm, signs_from });
                (store.add_signing_key(key, effects.clone()).await?, effects)
            }
            Step::Schedule { key, signs_from, signs_until } => {
                let kid = key.kid.clone();
                let effects = by_itself(Event::SigningKeyScheduled { key: kid, signs_from, signs_until });
                let taken =
                    store.schedule_signing_key(&key, signs_from, signs_until, effects.clone()).await?;
                (taken, effects)
            }
            Step::Delete(kid) => {
                let effects = by_itself(Event::SigningKeyDeleted { key: kid.clone() });
                (store.delete_signing_key(&kid, effects.clone()).await?, effects)
            }
        };
        done.extend(taken.then_some(effects));
    }
    Ok(done)
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
