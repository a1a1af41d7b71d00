//! Factors beside the password and the mailbox: one-time passwords of an authenticator app, passkeys, and the
//! recovery codes for when both are lost.

pub mod ceremony;
pub mod recovery;
pub mod totp;

use crate::random::uuid;
use crate::time::Timestamp;
use crate::token::SecretKey;
use crate::token::seal::Sealer;
use crate::user::UserId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The id of a factor: a UUID of version 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FactorId(pub Uuid);

impl FactorId {
    /// An id of this instant.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        Self(uuid(now, random))
    }
}

impl FromStr for FactorId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl fmt::Display for FactorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A factor, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factor {
    /// The id.
    pub id: FactorId,
    /// Whose it is.
    pub user: UserId,
    /// What its user calls it.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its user has shown that it works. Until then it counts for nothing.
    pub confirmed_at: Option<Timestamp>,
    /// When it was last used.
    pub last_used_at: Option<Timestamp>,
    /// What it is.
    pub method: Method,
}

/// What a factor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Method {
    /// One-time passwords of an authenticator app (RFC 6238).
    Totp(Totp),
    /// A passkey: a key pair in an authenticator (WebAuthn).
    Passkey(Passkey),
    /// Recovery codes, each good once. They count only beside another factor.
    RecoveryCodes(RecoveryCodes),
}

/// The state of a TOTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totp {
    /// The [secret](totp::TotpSecret), [sealed](FactorVault).
    pub sealed: Vec<u8>,
    /// The newest step of which a code was accepted: no code of it or an older one is accepted again.
    pub last_step: Option<i64>,
    /// How many wrong codes came since the last right one.
    pub failures: u32,
    /// When too many wrong codes came. It is good again after a recovery code, a passkey, or three right
    /// codes one after the other.
    pub disabled_at: Option<Timestamp>,
}

impl Totp {
    /// So many wrong codes, one after the other, disable the authenticator apps of a user: nobody guesses on.
    pub const MOST_WRONG_CODES: u32 = 20;

    /// Whether too many wrong codes came.
    pub fn is_disabled(&self) -> bool {
        self.disabled_at.is_some() || self.failures >= Self::MOST_WRONG_CODES
    }
}

/// A passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// The id of the credential, 1 to 1,023 bytes.
    pub credential_id: Vec<u8>,
    /// What is known of the credential.
    pub credential: Credential,
}

/// What is known of a WebAuthn credential. Stored as JSON: members may be added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Credential {
    /// The public key, as `doorwarden-webauthn` stores it, in base64url.
    pub public_key: String,
    /// The name of the user for the authenticator, in base64url.
    pub user_handle: String,
    /// The relying party that it was registered for.
    pub rp_id: String,
    /// The signature counter of the last use; 0 if the authenticator has none.
    pub sign_count: u32,
    /// Whether the authenticator may copy it to other devices.
    pub backup_eligible: bool,
    /// Whether there is such a copy.
    pub backed_up: bool,
    /// How browsers reach the authenticator: `internal`, `usb`, `hybrid`, …
    pub transports: Vec<String>,
    /// The model of the authenticator, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aaguid: Option<Uuid>,
    /// The format of the attestation, which is recorded and never trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attestation: Option<String>,
}

/// The recovery codes of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryCodes {
    /// The [key](recovery::RecoveryKey) under which they are hashed, sealed.
    pub sealed: Vec<u8>,
    /// How many can still be used.
    pub unused: u32,
}

/// The kinds of factors, as the interface names them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FactorKind {
    /// [`Method::Totp`].
    Totp,
    /// [`Method::Passkey`].
    Webauthn,
    /// [`Method::RecoveryCodes`].
    RecoveryCodes,
}

impl FactorKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Totp, Self::Webauthn, Self::RecoveryCodes];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Webauthn => "webauthn",
            Self::RecoveryCodes => "recovery_codes",
        }
    }

    /// The kind that is stored as this word, if it is one.
    pub fn from_stored(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Factor {
    /// Maximum number of factors of one user, not counting the recovery codes.
    pub const MOST: u32 = 20;

    /// Maximum characters of a name.
    pub const NAME_MAX_CHARS: usize = 100;

    /// The kind.
    pub fn kind(&self) -> FactorKind {
        match self.method {
            Method::Totp(_) => FactorKind::Totp,
            Method::Passkey(_) => FactorKind::Webauthn,
            Method::RecoveryCodes(_) => FactorKind::RecoveryCodes,
        }
    }

    /// Whether it counts.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed_at.is_some()
    }
}

/// Seals the secrets of factors, each bound to the id of its factor, under a key of their own that is derived
/// from the secret key.
#[derive(Debug)]
pub struct FactorVault(Sealer);

impl FactorVault {
    /// Seals under a key of `secret`, opens also under those of `old`.
    pub fn new(secret: &SecretKey, old: &[SecretKey]) -> Self {
        Self(Sealer::of_factors(secret, old))
    }

    /// Seals the secret of a factor. The nonce must be random and fresh.
    pub fn seal(
        &self,
        nonce: [u8; Sealer::NONCE_BYTES],
        factor: FactorId,
        secret: &impl Serialize,
    ) -> Vec<u8> {
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(secret).expect("texts and numbers are JSON"));
        self.0.seal(nonce, factor.0.as_bytes(), &plain)
    }

    /// The secret of a factor; `None` if it was sealed under another secret key.
    pub fn open<T: serde::de::DeserializeOwned>(&self, factor: FactorId, sealed: &[u8]) -> Option<T> {
        serde_json::from_slice(&self.0.open(factor.0.as_bytes(), sealed).ok()?).ok()
    }

    /// Whether what is sealed was sealed under the current key or an older one.
    pub fn opens(&self, factor: FactorId, sealed: &[u8]) -> bool {
        self.0.open(factor.0.as_bytes(), sealed).is_ok()
    }

    /// The same secret sealed under the current key, if only an older one opens it.
    pub fn resealed(
        &self,
        nonce: [u8; Sealer::NONCE_BYTES],
        factor: FactorId,
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        self.0.resealed(nonce, factor.0.as_bytes(), sealed)
    }
}
