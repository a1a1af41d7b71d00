//! The secret key of an installation, and the keys derived from it.

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use std::fmt;
use zeroize::Zeroizing;

/// The secret key: the bytes of a text, unchanged, as Django uses its `SECRET_KEY`.
///
/// It signs session tokens (HS256) and every other secret is derived from it. At least 32 bytes (RFC 7518,
/// section 3.2). Wiped from memory when dropped; `Debug` shows nothing of it.
///
/// ```
/// use doorwarden_token::SecretKey;
///
/// let secret = SecretKey::new("a secret key of at least 32 bytes").unwrap();
/// assert_eq!(format!("{secret:?}"), "SecretKey(..)");
/// assert!(SecretKey::new("too short").is_err());
/// ```
#[derive(Clone)]
pub struct SecretKey(Zeroizing<Vec<u8>>);

impl SecretKey {
    /// The minimum length of a key, in bytes.
    pub const MIN_BYTES: usize = 32;

    /// Takes a text (or bytes) unchanged: whitespace is not trimmed and nothing is decoded.
    pub fn new(key: impl Into<Vec<u8>>) -> Result<Self, KeyTooShort> {
        let key = Zeroizing::new(key.into());
        if key.len() < Self::MIN_BYTES { Err(KeyTooShort { bytes: key.len() }) } else { Ok(Self(key)) }
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// A key of 256 bits for one purpose: HKDF-SHA256 (RFC 5869) with the label as `info`. A derived key
    /// reveals nothing about the secret key or the key of another label.
    pub fn derive(&self, label: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        Salt::new(HKDF_SHA256, b"doorwarden")
            .extract(&self.0)
            .expand(&[label.as_bytes()], HKDF_SHA256)
            .and_then(|output| output.fill(&mut *key))
            .expect("one block of SHA-256 is never too much for HKDF");
        key
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A secret key has fewer than [`SecretKey::MIN_BYTES`] bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret key has {bytes} bytes, it needs at least {}", SecretKey::MIN_BYTES)]
pub struct KeyTooShort {
    /// The length of the key, in bytes.
    pub bytes: usize,
}
