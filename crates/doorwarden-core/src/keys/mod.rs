//! The keys that sign access tokens: which of them signs, which still verify, and what is published of them.
//!
//! What a key may do at an instant follows from the stored list alone ([`state`]), so that instances on one
//! database agree without communicating. Every instance reads the list again when it changes, whoever changed
//! it. Private keys are stored in the database, sealed under the secret key.

pub mod rotation;
pub mod state;

use crate::audit::{Actor, Effects};
use crate::event::Event;
use crate::random::RandomSource;
use crate::settings::Settings;
use crate::store::{SigningKey, Store, StoreError};
use crate::time::Timestamp;
use crate::token::access::{self, AccessClaims, Expect, TooLarge};
use crate::token::feed::{Statement, sign_statement};
use crate::token::key::{KeyError, KeyPair, KeySet};
use crate::token::seal::Sealer;
use crate::token::{Algorithm, Refusal, VerifiedTokens};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use state::{KeyState, states};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Access tokens above this size are worth a warning: they travel with every request.
const LARGE_BYTES: usize = 1024;

/// The keys of access tokens, as this instance knows them.
pub struct KeyRing {
    /// `None`: the keys are read-only.
    sealer: Option<Sealer>,
    algorithms: Vec<Algorithm>,
    expect: Expect,
    /// How long a key verifies after its last signature.
    keep: Duration,
    remembered: usize,
    list: Mutex<List>,
    /// Held from reading the stored keys until they are taken over, so that nothing older replaces something
    /// newer. When the last such reading began, in uptime.
    reading: tokio::sync::Mutex<Option<Duration>>,
    ring: RwLock<Arc<Ring>>,
    large_token_seen: AtomicBool,
}

/// What was read from the store.
struct List {
    read: Vec<SigningKey>,
    /// Those of them that can be used.
    keys: Vec<SigningKey>,
    /// The private keys of those that can still do something.
    pairs: HashMap<String, Arc<KeyPair>>,
    /// A key that is sealed under a secret key that was not given.
    sealed: Option<String>,
}

/// What the list means since one instant until another.
struct Ring {
    since: Timestamp,
    until: Timestamp,
    signing: Option<Arc<KeyPair>>,
    set: KeySet,
    jwks: Bytes,
    revoked: Vec<String>,
    /// Part of the list, so that no verification result survives a change of the keys.
    verified: VerifiedTokens,
}

/// Why nothing was signed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SignError {
    /// Every key was revoked, and no new one could be stored yet.
    #[error("no signing key is available")]
    NoKey,
    /// The claims are too many.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// Why the signing keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The private key was sealed under a secret key that was not given.
    #[error("signing key `{kid}` does not open with this secret key")]
    Sealed {
        /// The `kid` of the key.
        kid: String,
    },
    /// The row is damaged.
    #[error("signing key `{kid}` is damaged: {why}")]
    Damaged {
        /// The `kid` of the key.
        kid: String,
        /// The damage.
        why: &'static str,
    },
    /// The key is weak or not valid.
    #[error("signing key `{kid}` cannot be used: {error}")]
    Unusable {
        /// The `kid` of the key.
        kid: String,
        /// The error.
        error: KeyError,
    },
    /// The keys are read-only.
    #[error("signing keys cannot be created without a secret key")]
    NoSecretKey,
    /// No key could be generated.
    #[error(transparent)]
    Generation(#[from] KeyError),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KeysError {
    /// Advice on how to fix the problem.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Sealed { .. } => Some(
                "if the secret key was changed, add the previous one to `old_secret_keys`; if it has leaked or is lost, \
                 run `doorwarden secret revoke`",
            ),
            Self::Damaged { .. } | Self::Unusable { .. } => {
                Some("restore its row in `doorwarden_keys`, or delete it")
            }
            Self::NoSecretKey | Self::Generation(_) | Self::Store(_) => None,
        }
    }
}

impl KeyRing {
    /// Opens the keys that may still sign or verify, and creates missing keys if none signs. If it
    /// `looks_after` them, it creates missing keys in any case, and seals the keys again that an old secret
    /// key opened. Of several concurrent instances the database lets one succeed.
    ///
    /// # Errors
    /// [`KeysError`] if any key that may still sign or verify cannot be opened, is weak, or is not what its
    /// row says; nothing was changed then.
    pub async fn open(
        store: &dyn Store,
        sealer: Sealer,
        settings: &Settings,
        now: Timestamp,
        random: &dyn RandomSource,
        looks_after: bool,
    ) -> Result<Self, KeysError> {
        let keep = settings.access.longest() + settings.keys.cache;
        let mut stored = store.signing_keys().await?;
        let mut pairs = opened(&stored, &sealer, now, keep)?;
        for key in stored.iter().filter(|key| looks_after && pairs.contains_key(&key.kid)) {
            if let Some(sealed) = sealer.resealed(random.bytes(), key.kid.as_bytes(), &key.sealed) {
                let event = Event::SigningKeyResealed { key: key.kid.clone() };
                let effects = Effects::new(now, &Actor::System.into(), [event]);
                if store.reseal_signing_key(key, sealed, effects.clone()).await? {
                    effects.log();
                }
            }
        }
        let is_signed = states(&stored, now, keep).contains(&KeyState::Signing);
        if looks_after || !is_signed {
            for _ in 0..rotation::ROUNDS {
                let steps = rotation::plan(&stored, &settings.keys, keep, now);
                let done = rotation::carry_out(store, steps, &stored, &sealer, now, random).await?;
                stored = store.signing_keys().await?;
                if done.is_empty() {
                    break;
                }
                done.iter().for_each(Effects::log);
            }
            pairs = opened(&stored, &sealer, now, keep)?;
        }
        Ok(Self::new(
            Some(sealer),
            settings,
            List { read: stored.clone(), keys: stored, pairs, sealed: None },
            now,
        ))
    }

    /// Reads the keys only: opens and creates none, signs and verifies nothing. It can revoke keys.
    ///
    /// # Errors
    /// [`KeysError::Store`] if the database operation failed.
    pub async fn closed(store: &dyn Store, settings: &Settings, now: Timestamp) -> Result<Self, KeysError> {
        let stored = store.signing_keys().await?;
        let list = List { read: stored.clone(), keys: stored, pairs: HashMap::new(), sealed: None };
        Ok(Self::new(None, settings, list, now))
    }

    fn new(sealer: Option<Sealer>, settings: &Settings, list: List, now: Timestamp) -> Self {
        let keep = settings.access.longest() + settings.keys.cache;
        let remembered = settings.live.access_tokens;
        let issuer = &settings.access.issuer;
        let algorithms = settings.keys.algorithms.clone();
        Self {
            ring: RwLock::new(Arc::new(Ring::at(now, &list, &algorithms, keep, remembered))),
            sealer,
            algorithms,
            expect: settings.access.every_audience().fold(Expect::new(issuer, issuer), Expect::or_audience),
            keep,
            remembered,
            list: Mutex::new(list),
            reading: tokio::sync::Mutex::default(),
            large_token_seen: AtomicBool::new(false),
        }
    }

    /// Signs an access token.
    ///
    /// # Errors
    /// [`SignError`] if no key can sign, or the token would be too large.
    pub fn sign(&self, claims: &AccessClaims, now: Timestamp) -> Result<String, SignError> {
        let ring = self.at(now);
        let token = access::sign(ring.signing.as_ref().ok_or(SignError::NoKey)?, claims)?;
        if token.len() > LARGE_BYTES && !self.large_token_seen.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                bytes = token.len(),
                "access tokens are larger than 1 KiB because of hooks or the permissions claim"
            );
        }
        Ok(token)
    }

    /// Signs a revocation statement.
    ///
    /// # Errors
    /// [`SignError::NoKey`] if no key can sign.
    pub fn sign_statement(&self, statement: &Statement, now: Timestamp) -> Result<String, SignError> {
        let ring = self.at(now);
        Ok(sign_statement(ring.signing.as_ref().ok_or(SignError::NoKey)?, statement))
    }

    /// The claims of an access token of this issuer that is valid at `now`. Tokens that were verified before
    /// are looked up in a cache.
    ///
    /// # Errors
    /// [`Refusal`] if the token is not valid.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<AccessClaims>, Refusal> {
        if token.len() > Refusal::MAX_TOKEN_BYTES {
            return Err(Refusal::TooLong);
        }
        let ring = self.at(now);
        let digest = VerifiedTokens::digest(token);
        if let Some(claims) = ring.verified.get(&digest) {
            return if now.as_seconds() < claims.exp { Ok(claims) } else { Err(Refusal::Expired) };
        }
        let claims = Arc::new(access::verify(token, &ring.set, &self.expect, now.as_seconds())?);
        ring.verified.insert(digest, &claims);
        Ok(claims)
    }

    /// The JWK Set document (RFC 7517) of every key that signs, has signed lately, or is going to.
    pub fn jwks(&self, now: Timestamp) -> Bytes {
        self.at(now).jwks.clone()
    }

    /// The ids of keys that were revoked as long ago as a token of theirs could still be valid.
    pub fn revoked(&self, now: Timestamp) -> Vec<String> {
        self.at(now).revoked.clone()
    }

    /// The algorithms of the published keys, as `alg` names them, each once.
    pub fn algorithms(&self, now: Timestamp) -> Vec<Algorithm> {
        let ring = self.at(now);
        let is_published = |algorithm: &Algorithm| ring.set.iter().any(|key| key.algorithm() == *algorithm);
        let mut first = self.algorithms.clone();
        first.extend(Algorithm::ALL);
        let mut published: Vec<Algorithm> = Vec::new();
        for algorithm in first.into_iter().filter(is_published) {
            if !published.contains(&algorithm) {
                published.push(algorithm);
            }
        }
        published
    }

    /// The stored keys and what each may do at `now`.
    pub fn list(&self, now: Timestamp) -> Vec<(SigningKey, KeyState)> {
        let list = self.list.lock();
        let states = states(&list.keys, now, self.keep);
        list.keys.iter().cloned().zip(states).collect()
    }

    /// How long a key verifies after its last signature.
    pub(crate) fn keep(&self) -> Duration {
        self.keep
    }

    /// The keys that can be used, and all that are stored. A caller that adds a key because of this list must
    /// name the last of all as its predecessor: then the write fails if the list is already longer.
    pub(crate) fn look(&self) -> (Vec<SigningKey>, Vec<SigningKey>) {
        let list = self.list.lock();
        (list.keys.clone(), list.read.clone())
    }

    /// What seals new keys, if every key that is needed was sealed under a secret key that is known here.
    pub(crate) fn sealer_of_all(&self) -> Result<&Sealer, KeysError> {
        match self.list.lock().sealed.clone() {
            Some(kid) => Err(KeysError::Sealed { kid }),
            None => self.sealer.as_ref().ok_or(KeysError::NoSecretKey),
        }
    }

    /// Takes over what is stored now. A key that cannot be used is left out and logged.
    fn take(&self, stored: Vec<SigningKey>, now: Timestamp) {
        let mut list = self.list.lock();
        if list.read == stored {
            return;
        }
        let (mut keys, mut pairs, mut sealed) = (Vec::with_capacity(stored.len()), HashMap::new(), None);
        let states = states(&stored, now, self.keep);
        for (key, state) in stored.iter().zip(states) {
            let Some(sealer) = &self.sealer else {
                keys.push(key.clone());
                continue;
            };
            // A key that was opened once is known, even if it was sealed again.
            let same = |known: &SigningKey| {
                (&known.kid, &known.algorithm, &known.public_jwk)
                    == (&key.kid, &key.algorithm, &key.public_jwk)
            };
            let known = list.pairs.get(&key.kid).filter(|_| list.keys.iter().any(same)).cloned();
            match known.map_or_else(|| open_key(key, sealer).map(Arc::new), Ok) {
                Ok(pair) => _ = pairs.insert(key.kid.clone(), pair),
                Err(_) if state.is_over() => {}
                Err(error) => {
                    tracing::error!(%error, hint = error.hint(), "a signing key is left out");
                    if let KeysError::Sealed { kid } = error {
                        sealed = Some(kid);
                    }
                    continue;
                }
            }
            keys.push(key.clone());
        }
        *list = List { read: stored, keys, pairs, sealed };
        *self.ring.write() = Arc::new(Ring::at(now, &list, &self.algorithms, self.keep, self.remembered));
    }

    fn at(&self, now: Timestamp) -> Arc<Ring> {
        let ring = Arc::clone(&self.ring.read());
        if ring.since <= now && now < ring.until {
            return ring;
        }
        let list = self.list.lock();
        let ring = Arc::new(Ring::at(now, &list, &self.algorithms, self.keep, self.remembered));
        *self.ring.write() = Arc::clone(&ring);
        ring
    }
}

/// The private keys of those that may still sign or verify.
fn opened(
    stored: &[SigningKey],
    sealer: &Sealer,
    now: Timestamp,
    keep: Duration,
) -> Result<HashMap<String, Arc<KeyPair>>, KeysError> {
    let needed = stored.iter().zip(states(stored, now, keep)).filter(|(_, state)| !state.is_over());
    needed.map(|(key, _)| Ok((key.kid.clone(), Arc::new(open_key(key, sealer)?)))).collect()
}

impl Ring {
    fn at(now: Timestamp, list: &List, algorithms: &[Algorithm], keep: Duration, remembered: usize) -> Self {
        let states = states(&list.keys, now, keep);
        let keys = || list.keys.iter().zip(&states);
        let (since, until) = state::unchanged_around(&list.keys, now, keep);
        let is_public =
            |state: KeyState| matches!(state, KeyState::Announced | KeyState::Signing | KeyState::Verifying);
        // That of the first offered algorithm; until it has one, the newest of any.
        let place = |key: &SigningKey| algorithms.iter().position(|a| a.as_str() == key.algorithm);
        let signing = keys().rev().filter(|(_, state)| **state == KeyState::Signing);
        let signing = signing.min_by_key(|(key, _)| place(key).unwrap_or(usize::MAX));
        // The newest first, should there ever be more than a set may have.
        let public = keys().rev().filter(|(_, state)| is_public(**state));
        let public = public.filter_map(|(key, _)| Some(list.pairs.get(&key.kid)?.public().clone()));
        let set = KeySet::new(public.take(KeySet::MAX_KEYS).collect()).unwrap_or_default();
        let revoked = keys().filter(|(_, state)| **state == KeyState::Revoked);
        Self {
            since,
            until,
            signing: signing.and_then(|(key, _)| list.pairs.get(&key.kid).cloned()),
            jwks: set.to_jwks().into(),
            set,
            revoked: revoked.map(|(key, _)| key.kid.clone()).collect(),
            verified: VerifiedTokens::new(remembered),
        }
    }
}

fn open_key(key: &SigningKey, sealer: &Sealer) -> Result<KeyPair, KeysError> {
    let damaged = |why| KeysError::Damaged { kid: key.kid.clone(), why };
    let algorithm =
        Algorithm::from_name(&key.algorithm).ok_or_else(|| damaged("its algorithm is none of ours"))?;
    let private = sealer
        .open(key.kid.as_bytes(), &key.sealed)
        .map_err(|_| KeysError::Sealed { kid: key.kid.clone() })?;
    let pair = KeyPair::from_pkcs8(algorithm, &private)
        .map_err(|error| KeysError::Unusable { kid: key.kid.clone(), error })?;
    if pair.id() != key.kid {
        return Err(damaged("its id is not the thumbprint of the key"));
    }
    if pair.public().to_jwk() != key.public_jwk {
        return Err(damaged("its public key is not that of the private one"));
    }
    Ok(pair)
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids: Vec<String> = self.list.lock().keys.iter().map(|key| key.kid.clone()).collect();
        f.debug_tuple("KeyRing").field(&kids).finish()
    }
}
