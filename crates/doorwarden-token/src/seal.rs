//! Encryption of private keys at rest.

use crate::SecretKey;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use std::fmt;
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const NONCE: usize = Sealer::NONCE_BYTES;

/// Seals secrets with AES-256-GCM under a key derived from the secret key, and opens what was sealed under it
/// or under an older one.
///
/// The sealed form is one byte of version (1), the nonce, the ciphertext and the tag of 16 bytes. The
/// associated data binds a sealed key to its `kid`: it does not open as the key of another.
///
/// ```
/// use doorwarden_token::{SecretKey, seal::Sealer};
///
/// let sealer = Sealer::new(&SecretKey::new("a secret key of at least 32 bytes").unwrap(), &[]);
/// let sealed = sealer.seal([7; 12], b"kid-1", b"private");
/// assert_eq!(**sealer.open(b"kid-1", &sealed).unwrap(), *b"private");
/// assert!(sealer.open(b"kid-2", &sealed).is_err());
/// ```
pub struct Sealer {
    current: LessSafeKey,
    old: Vec<LessSafeKey>,
}

impl Sealer {
    /// The length of a nonce, in bytes.
    pub const NONCE_BYTES: usize = 12;

    /// Seals under `current`, opens also under any of `old`.
    pub fn new(current: &SecretKey, old: &[SecretKey]) -> Self {
        Self { current: key(current), old: old.iter().map(key).collect() }
    }

    /// The same for mails that wait, under keys of their own.
    pub fn of_mails(current: &SecretKey, old: &[SecretKey]) -> Self {
        let key = |secret| derived(secret, "doorwarden sealed mail v1");
        Self { current: key(current), old: old.iter().map(key).collect() }
    }

    /// The same for the secrets of second factors, under keys of their own.
    pub fn of_factors(current: &SecretKey, old: &[SecretKey]) -> Self {
        let key = |secret| derived(secret, "doorwarden sealed factor v1");
        Self { current: key(current), old: old.iter().map(key).collect() }
    }

    /// The same for the secrets of webhooks, under keys of their own.
    pub fn of_webhooks(current: &SecretKey, old: &[SecretKey]) -> Self {
        let key = |secret| derived(secret, "doorwarden sealed webhook secret v1");
        Self { current: key(current), old: old.iter().map(key).collect() }
    }

    /// The same for the keys of the audit log, under keys of their own.
    pub fn of_audit(current: &SecretKey, old: &[SecretKey]) -> Self {
        let key = |secret| derived(secret, "doorwarden sealed audit key v1");
        Self { current: key(current), old: old.iter().map(key).collect() }
    }

    /// Seals `plain`. The nonce must be random and fresh for each call.
    pub fn seal(&self, nonce: [u8; NONCE], associated: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(1 + NONCE + plain.len() + AES_256_GCM.tag_len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let (_, text) = sealed.split_at_mut(1 + NONCE);
        let tag = self
            .current
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated), text)
            .expect("only texts beyond 64 GiB cannot be sealed");
        sealed.extend_from_slice(tag.as_ref());
        sealed
    }

    /// Opens what was sealed with the same associated data.
    pub fn open(&self, associated: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
        let keys = std::iter::once(&self.current).chain(&self.old);
        keys.into_iter().find_map(|key| open(key, associated, sealed)).ok_or(CannotOpen)
    }

    /// The same text sealed again under the current key, if only an older key opens it. The nonce must be
    /// random and fresh for each call.
    pub fn resealed(&self, nonce: [u8; NONCE], associated: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        if open(&self.current, associated, sealed).is_some() {
            return None;
        }
        let plain = self.open(associated, sealed).ok()?;
        Some(self.seal(nonce, associated, &plain))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

/// The text was sealed under another key or with other associated data, or is damaged; these cases cannot be
/// distinguished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed text does not open with this secret key")]
pub struct CannotOpen;

fn open(key: &LessSafeKey, associated: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (&VERSION, rest) = sealed.split_first()? else { return None };
    let (nonce, text) = rest.split_first_chunk::<NONCE>()?;
    let mut plain = Zeroizing::new(text.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let length = key.open_in_place(nonce, Aad::from(associated), &mut plain).ok()?.len();
    plain.truncate(length);
    Some(plain)
}

fn key(secret: &SecretKey) -> LessSafeKey {
    derived(secret, "doorwarden sealed private key v1")
}

fn derived(secret: &SecretKey, label: &str) -> LessSafeKey {
    let key = secret.derive(label);
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key).expect("a key of 256 bits fits AES-256"))
}
