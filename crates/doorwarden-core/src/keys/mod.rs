//! The keys that sign access tokens: which of them signs, which still verify, and what the world is told of them.
//!
//! What a key may do at an instant follows from the stored list alone ([`state`]), so that instances on one database agree
//! without asking each other. Every instance reads the list again when it changes, also by somebody else's hand.
//! Private keys rest in the database sealed under the secret key.

pub mod rotation;
pub mod state;
mod verified;

use crate::random::RandomSource;
use crate::settings::Settings;
use crate::store::{SigningKey, Store, StoreError};
use crate::time::Timestamp;
use crate::token::access::{self, AccessClaims, Expect, TooLarge};
use crate::token::feed::{Statement, sign_statement};
use crate::token::key::{KeyError, KeyPair, KeySet};
use crate::token::seal::Sealer;
use crate::token::{Algorithm, Refusal};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use state::{KeyState, states};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use verified::VerifiedTokens;

/// Access tokens above this size are worth a warning: they travel with every request.
const LARGE_BYTES: usize = 1024;

/// The keys of access tokens, as this instance knows them.
pub struct KeyRing {
    sealer: Sealer,
    expect: Expect,
    /// How long a key verifies after its last signature.
    keep: Duration,
    remembered: usize,
    list: Mutex<List>,
    /// Held from reading the stored keys until they are taken over, so that nothing older replaces something newer.
    reading: tokio::sync::Mutex<()>,
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
}

/// What the list means since one instant until another.
struct Ring {
    since: Timestamp,
    until: Timestamp,
    signing: Option<Arc<KeyPair>>,
    set: KeySet,
    jwks: Bytes,
    revoked: Vec<String>,
    /// Here, so that nothing verified survives a change of the keys.
    verified: VerifiedTokens,
}

/// Why nothing was signed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SignError {
    /// Every key was revoked, and no new one could be stored yet.
    #[error("there is no signing key")]
    NoKey,
    /// The claims are too many.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// Why the signing keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The private key was sealed under a secret key that was not given.
    #[error(
        "the signing key {kid} does not open with this secret key. hint: if the secret key was changed, give the one of before as an \
         old secret key"
    )]
    Sealed {
        /// Which.
        kid: String,
    },
    /// The row is damaged.
    #[error(
        "the signing key {kid} is damaged: {why}. hint: restore its row in doorwarden_keys, or delete it"
    )]
    Damaged {
        /// Which.
        kid: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The key is weak, or is none.
    #[error(
        "the signing key {kid} cannot be used: {error}. hint: restore its row in doorwarden_keys, or delete it"
    )]
    Unusable {
        /// Which.
        kid: String,
        /// Why.
        error: KeyError,
    },
    /// No key could be made.
    #[error(transparent)]
    Generation(#[from] KeyError),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KeyRing {
    /// Reads the keys. If there is none that signs, makes the first; of several instances that do so at once the
    /// database lets one succeed.
    ///
    /// # Errors
    /// [`KeysError`] if any key that may still sign or verify cannot be opened, is weak, or is not what its row says.
    pub async fn open(
        store: &dyn Store,
        sealer: Sealer,
        settings: &Settings,
        now: Timestamp,
        random: &dyn RandomSource,
    ) -> Result<Self, KeysError> {
        let keep = settings.access.longest() + settings.keys.cache;
        let mut stored = store.signing_keys().await?;
        while !states(&stored, now, keep).contains(&KeyState::Signing) {
            let algorithm = settings.keys.algorithm;
            let last = rotation::last_of(&stored);
            let first = rotation::new_key(last, algorithm, &sealer, now, now, random).await?;
            store.add_signing_key(first).await?;
            stored = store.signing_keys().await?;
        }
        let expect = Expect::new(&settings.access.issuer, settings.access.audience());
        let needed = stored.iter().zip(states(&stored, now, keep)).filter(|(_, state)| !state.is_over());
        let opened = needed.map(|(key, _)| Ok((key.kid.clone(), Arc::new(open_key(key, &sealer)?))));
        let pairs = opened.collect::<Result<_, KeysError>>()?;
        let list = List { read: stored.clone(), keys: stored, pairs };
        let remembered = settings.live.access_tokens;
        Ok(Self {
            ring: RwLock::new(Arc::new(Ring::at(now, &list, keep, remembered))),
            sealer,
            expect,
            keep,
            remembered,
            list: Mutex::new(list),
            reading: tokio::sync::Mutex::default(),
            large_token_seen: AtomicBool::new(false),
        })
    }

    /// Signs an access token.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign(&self, claims: &AccessClaims, now: Timestamp) -> Result<String, SignError> {
        let ring = self.at(now);
        let token = access::sign(ring.signing.as_ref().ok_or(SignError::NoKey)?, claims)?;
        if token.len() > LARGE_BYTES && !self.large_token_seen.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                bytes = token.len(),
                "access tokens are larger than 1 KiB; hooks or the permissions claim make them so"
            );
        }
        Ok(token)
    }

    /// Signs a revocation statement.
    ///
    /// # Errors
    /// [`SignError::NoKey`].
    pub fn sign_statement(&self, statement: &Statement, now: Timestamp) -> Result<String, SignError> {
        let ring = self.at(now);
        Ok(sign_statement(ring.signing.as_ref().ok_or(SignError::NoKey)?, statement))
    }

    /// The claims of an access token of ours that is valid at `now`. What was verified before is only looked up.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<AccessClaims>, Refusal> {
        if token.len() > Refusal::MAX_TOKEN_BYTES {
            return Err(Refusal::TooLong);
        }
        let ring = self.at(now);
        let digest = verified::digest(token);
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

    /// The stored keys and what each may do at `now`.
    pub fn list(&self, now: Timestamp) -> Vec<(SigningKey, KeyState)> {
        self.look(now).0
    }

    /// The same, and the id of the key that the next one follows. Whoever adds a key because of what he sees here must name that one:
    /// then he fails if the list was already longer.
    fn look(&self, now: Timestamp) -> (Vec<(SigningKey, KeyState)>, String) {
        let list = self.list.lock();
        let states = states(&list.keys, now, self.keep);
        let keys = list.keys.iter().cloned().zip(states).collect();
        (keys, rotation::last_of(&list.read))
    }

    /// Takes over what is stored now. A key that cannot be used is left out and logged.
    fn take(&self, stored: Vec<SigningKey>, now: Timestamp) {
        let mut list = self.list.lock();
        if list.read == stored {
            return;
        }
        let (mut keys, mut pairs) = (Vec::with_capacity(stored.len()), HashMap::new());
        let states = states(&stored, now, self.keep);
        for (key, state) in stored.iter().zip(states) {
            let known = list.pairs.get(&key.kid).filter(|_| list.keys.contains(key)).cloned();
            match known.map_or_else(|| open_key(key, &self.sealer).map(Arc::new), Ok) {
                Ok(pair) => _ = pairs.insert(key.kid.clone(), pair),
                Err(_) if state.is_over() => {}
                Err(error) => {
                    tracing::error!(%error, "a signing key is left out");
                    continue;
                }
            }
            keys.push(key.clone());
        }
        *list = List { read: stored, keys, pairs };
        *self.ring.write() = Arc::new(Ring::at(now, &list, self.keep, self.remembered));
    }

    fn at(&self, now: Timestamp) -> Arc<Ring> {
        let ring = Arc::clone(&self.ring.read());
        if ring.since <= now && now < ring.until {
            return ring;
        }
        let list = self.list.lock();
        let ring = Arc::new(Ring::at(now, &list, self.keep, self.remembered));
        *self.ring.write() = Arc::clone(&ring);
        ring
    }
}

impl Ring {
    fn at(now: Timestamp, list: &List, keep: Duration, remembered: usize) -> Self {
        let states = states(&list.keys, now, keep);
        let keys = || list.keys.iter().zip(&states);
        let (since, until) = state::unchanged_around(&list.keys, now, keep);
        let is_public =
            |state: KeyState| matches!(state, KeyState::Announced | KeyState::Signing | KeyState::Verifying);
        let signing = keys().find(|(_, state)| **state == KeyState::Signing);
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
