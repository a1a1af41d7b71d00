//! Challenges: what somebody is asked to prove by mail, with a link on any device, or with a short code on
//! the device that asked. A challenge is bound to its purpose, its account and the state of the account, and
//! is consumed in the transaction of what it is for.

use crate::identity::EmailAddress;
use crate::random::{RandomSource, uuid};
use crate::time::Timestamp;
use crate::token::{SecretKey, base64url};
use crate::user::UserId;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::Duration;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The id of a challenge: a UUID of version 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ChallengeId(pub Uuid);

impl ChallengeId {
    /// An id of this instant.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        Self(uuid(now, random))
    }
}

/// What a challenge is for. A link of one purpose is good for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChallengePurpose {
    /// A registration becomes an account.
    Register,
    /// The email address of an account is confirmed, and whoever has given the password is logged in.
    VerifyEmail,
    /// A new password is chosen.
    ResetPassword,
    /// A login without a password.
    LogIn,
    /// An invitation is accepted.
    Invitation,
    /// Another email address is confirmed.
    EmailChange,
    /// A change of the email address is undone.
    EmailRevert,
    /// An account that is to be deleted stays.
    CancelDeletion,
    /// The user confirms that it is them.
    Reauthenticate,
    /// A passkey is used. Kept only after it was, so that its challenge is good once.
    Passkey,
}

impl ChallengePurpose {
    /// Every purpose.
    pub const ALL: [Self; 10] = [
        Self::Register,
        Self::VerifyEmail,
        Self::ResetPassword,
        Self::LogIn,
        Self::Invitation,
        Self::EmailChange,
        Self::EmailRevert,
        Self::CancelDeletion,
        Self::Reauthenticate,
        Self::Passkey,
    ];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::VerifyEmail => "verify_email",
            Self::ResetPassword => "reset_password",
            Self::LogIn => "log_in",
            Self::Invitation => "invitation",
            Self::EmailChange => "email_change",
            Self::EmailRevert => "email_revert",
            Self::CancelDeletion => "cancel_deletion",
            Self::Reauthenticate => "reauthenticate",
            Self::Passkey => "passkey",
        }
    }

    /// The purpose that is stored as this word, if it is one.
    pub fn from_stored(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.as_str() == word)
    }
}

/// A secret of 256 random bits, of which the database has only the SHA-256: the key of a link (`dwk_…`) or a
/// login token (`dwl_…`). `Debug` does not show it.
pub struct Secret {
    prefix: &'static str,
    bytes: Zeroizing<[u8; 32]>,
}

impl Secret {
    /// What the key of a link begins with.
    pub const LINK: &'static str = "dwk_";
    /// What a login token begins with.
    pub const LOGIN: &'static str = "dwl_";

    /// A new secret with this prefix.
    pub fn new(prefix: &'static str, random: &dyn RandomSource) -> Self {
        Self { prefix, bytes: Zeroizing::new(random.bytes()) }
    }

    /// The hash, as it is stored.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(*self.bytes).into())
    }

    /// The text that goes into a link or to a client: the prefix and 43 characters of base64url.
    pub fn expose(&self) -> String {
        format!("{}{}", self.prefix, base64url::encode(&*self.bytes))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The SHA-256 of a [`Secret`]. A plain hash is enough for 256 random bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl SecretHash {
    /// The hash of a secret in a request; `None` if it does not have the form of one with this prefix.
    pub fn of(prefix: &str, text: &str) -> Option<Self> {
        let bytes: [u8; 32] = base64url::decode_array(text.trim().strip_prefix(prefix)?.as_bytes())?;
        Some(Self(Sha256::digest(bytes).into()))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

/// A short code for people to type: eight of 23 letters and digits that cannot be mistaken for each other,
/// about 36 bits. Good only together with a login token, and for a few attempts.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Zeroizing<String>);

impl Code {
    /// How many characters a code has.
    pub const LENGTH: usize = 8;

    const ALPHABET: &[u8; 23] = b"BCDFGHJKLMNPQRSTVWXZ479";

    /// A new code.
    pub fn new(random: &dyn RandomSource) -> Self {
        let mut code = Zeroizing::new(String::with_capacity(Self::LENGTH));
        while code.len() < Self::LENGTH {
            let bytes: [u8; 16] = random.bytes();
            for byte in bytes {
                // 253 is the largest multiple of 23: no character is likelier than another.
                if byte < 253 && code.len() < Self::LENGTH {
                    code.push(char::from(Self::ALPHABET[usize::from(byte % 23)]));
                }
            }
        }
        Self(code)
    }

    /// The code that somebody typed: in any case, with or without hyphens and spaces; `None` if it cannot be
    /// one.
    ///
    /// ```
    /// use doorwarden_core::challenge::Code;
    /// let typed = Code::typed(" wdjb mjht").ok_or("eight letters")?;
    /// assert_eq!(typed.shown(), "WDJB-MJHT");
    /// assert_eq!(Code::typed("ABCD-EFGH"), None);
    /// # Ok::<(), &str>(())
    /// ```
    pub fn typed(text: &str) -> Option<Self> {
        let separators = |c: &char| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}'..='\u{2015}');
        let mut code = Zeroizing::new(String::with_capacity(Self::LENGTH));
        for character in text.chars().filter(separators) {
            let byte = u8::try_from(character).ok()?.to_ascii_uppercase();
            if code.len() == Self::LENGTH || !Self::ALPHABET.contains(&byte) {
                return None;
            }
            code.push(char::from(byte));
        }
        (code.len() == Self::LENGTH).then_some(Self(code))
    }

    /// As it is shown: `WDJB-MJHT`.
    pub fn shown(&self) -> String {
        let (first, second) = self.0.split_at(Self::LENGTH / 2);
        format!("{first}-{second}")
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

/// The key under which codes are hashed: a code is short enough to be guessed by whoever reads the database.
pub struct CodeKey(Zeroizing<[u8; 32]>);

impl CodeKey {
    /// Derived from the secret key.
    pub fn new(secret: &SecretKey) -> Self {
        Self(secret.derive("doorwarden mailed code v1"))
    }

    /// The hash of a code of this challenge.
    pub fn hash(&self, challenge: ChallengeId, code: &Code) -> CodeHash {
        // SHA-256 of key, id and code, all of fixed length: no extension of it is a hash of anything else.
        let mut digest = Sha256::new();
        digest.update(*self.0);
        digest.update(challenge.0.as_bytes());
        digest.update(code.0.as_bytes());
        CodeHash(digest.finalize().into())
    }
}

impl fmt::Debug for CodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeKey(..)")
    }
}

/// The hash of a [`Code`].
#[derive(Clone, Copy)]
pub struct CodeHash(pub [u8; 32]);

impl CodeHash {
    /// Whether both are hashes of the same code, in constant time.
    pub fn is(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(&self.0[..], &other.0[..]).into()
    }
}

impl fmt::Debug for CodeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CodeHash(..)")
    }
}

/// A challenge, as stored.
#[derive(Debug, Clone)]
pub struct Challenge {
    /// The id.
    pub id: ChallengeId,
    /// What it is for.
    pub purpose: ChallengePurpose,
    /// The account; `None` if there is none yet, and of a decoy: a challenge for an address that has no
    /// account, which nothing fulfils.
    pub user: Option<UserId>,
    /// The address to which link and code were sent.
    pub email: EmailAddress,
    /// Whether the challenge ends when this is no longer the address of the account.
    pub is_of_current_email: bool,
    /// The generation of the user's sessions under which the challenge counts: whatever ends all sessions
    /// ends it, too. `None`: it outlives that.
    pub generation: Option<i64>,
    /// The hash of the login token, of a challenge that was asked for by a client.
    pub token: Option<SecretHash>,
    /// The hash of the key in the link.
    pub key: Option<SecretHash>,
    /// The hash of the code.
    pub code: Option<CodeHash>,
    /// The key of the username that a registration reserves.
    pub username_key: Option<String>,
    /// What the purpose needs.
    pub data: Map<String, Value>,
    /// How many codes were tried.
    pub attempts: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When link and code were last sent.
    pub sent_at: Timestamp,
    /// Until when it counts.
    pub expires_at: Timestamp,
}

impl Challenge {
    /// How many codes may be tried, those of the last hour for the same purpose and address included.
    pub const MOST_ATTEMPTS: u32 = 5;

    /// How long the attempts for a purpose and address are counted.
    pub const ATTEMPTS_COUNT_FOR: Duration = Duration::from_hours(1);

    /// How long it takes until a link can be sent once more.
    pub const RESEND_AFTER: Duration = Duration::from_secs(30);

    /// How many open challenges of one purpose an address has at most: one more ends the oldest.
    pub const MOST_OPEN: u32 = 20;
}
