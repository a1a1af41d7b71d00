//! Recovery codes: each lets its user in once when every other factor is lost.

use crate::random::RandomSource;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use zeroize::Zeroizing;

/// How many codes a user gets.
pub const COUNT: usize = 10;

/// With so many codes left, the user is told.
pub const FEW: u32 = 2;

/// A recovery code: ten letters and digits that cannot be mistaken for each other, shown `xxxxx-xxxxx`; 50
/// bits. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(Zeroizing<String>);

impl RecoveryCode {
    const LENGTH: usize = 10;
    /// Crockford's base32, in lower case: without i, l, o and u.
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    /// Maximum characters of the code of another system.
    const LONGEST: usize = 64;

    /// New codes, all different.
    pub fn set(random: &dyn RandomSource) -> Vec<Self> {
        let mut codes: Vec<Self> = Vec::with_capacity(COUNT);
        while codes.len() < COUNT {
            let bytes: [u8; Self::LENGTH] = random.bytes();
            let letters = bytes.iter().map(|byte| char::from(Self::ALPHABET[usize::from(byte % 32)]));
            let code = Self(Zeroizing::new(letters.collect()));
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        codes
    }

    /// The code that somebody typed: in any case, with or without hyphens and spaces; also one of another
    /// system, which may have other characters.
    ///
    /// ```
    /// use doorwarden_core::factor::recovery::RecoveryCode;
    /// let typed = RecoveryCode::typed(" AB12C de34F").ok_or("letters and digits")?;
    /// assert_eq!(typed.shown(), "ab12c-de34f");
    /// assert_eq!(RecoveryCode::typed("-"), None);
    /// # Ok::<(), &str>(())
    /// ```
    pub fn typed(text: &str) -> Option<Self> {
        let kept = |c: &char| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}'..='\u{2015}');
        let mut code = Zeroizing::new(String::with_capacity(Self::LONGEST));
        for character in text.chars().filter(kept) {
            if code.len() >= Self::LONGEST || !character.is_ascii_alphanumeric() {
                return None;
            }
            code.push(character.to_ascii_lowercase());
        }
        (!code.is_empty()).then_some(Self(code))
    }

    /// As it is shown.
    pub fn shown(&self) -> String {
        match self.0.split_at_checked(Self::LENGTH / 2) {
            Some((first, second)) if self.0.len() == Self::LENGTH => format!("{first}-{second}"),
            _ => self.0.to_string(),
        }
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(..)")
    }
}

/// The key under which the codes of one user are hashed: a code is short enough to be guessed by whoever
/// reads the database. Random, and [sealed](super::FactorVault) beside the hashes, so that the codes survive
/// a new secret key. `Debug` does not show it.
#[derive(Clone, Serialize, Deserialize)]
pub struct RecoveryKey(Zeroizing<[u8; 32]>);

impl RecoveryKey {
    /// A new key.
    pub fn new(random: &dyn RandomSource) -> Self {
        Self(Zeroizing::new(random.bytes()))
    }

    /// The hash of a code.
    pub fn hash(&self, code: &RecoveryCode) -> RecoveryHash {
        // SHA-256 of a key of fixed length and the code: whoever lacks the key can extend nothing that they
        // know.
        let mut digest = Sha256::new();
        digest.update(*self.0);
        digest.update(code.0.as_bytes());
        RecoveryHash(digest.finalize().into())
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey(..)")
    }
}

/// The hash of a [`RecoveryCode`], as it is stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecoveryHash(pub [u8; 32]);

impl fmt::Debug for RecoveryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryHash(..)")
    }
}
