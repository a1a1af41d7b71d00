//! The challenges of passkey ceremonies. Nothing is stored when one is made, because anybody may ask for one:
//! a challenge says itself when it was made and what for, and is remembered once it was answered.

use crate::challenge::ChallengeId;
use crate::random::RandomSource;
use crate::time::Timestamp;
use crate::token::SecretKey;
use crate::user::UserId;
use aws_lc_rs::hmac;
use doorwarden_webauthn::{Challenge, UserHandle};
use std::fmt;
use std::time::Duration;
use uuid::Uuid;

/// How long a challenge can be answered. Browsers ignore their own limit while a page offers passkeys in a
/// form field, so a page asks for another challenge in time.
pub const LIFETIME: Duration = Duration::from_mins(5);

const RANDOM: usize = 16;
const TIME: usize = 8;
const MAC: usize = 16;

/// What a challenge is for. One that was made for something else is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceremony {
    /// A new passkey of this user.
    Register(UserId),
    /// A login with any passkey.
    LogIn,
    /// The second factor of the login that waits in this challenge.
    SecondFactor(ChallengeId),
}

impl Ceremony {
    fn label(self) -> [u8; 17] {
        let (kind, bytes) = match self {
            Self::Register(user) => (1, i128::from(user.0).to_be_bytes()),
            Self::LogIn => (2, [0; 16]),
            Self::SecondFactor(challenge) => (3, *challenge.0.as_bytes()),
        };
        let mut label = [kind; 17];
        label[1..].copy_from_slice(&bytes);
        label
    }
}

/// Why a challenge is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CeremonyError {
    /// It was made too long ago.
    #[error("the challenge has expired")]
    Expired,
    /// It was made for something else, or by nobody here.
    #[error("the challenge was not made for this")]
    Foreign,
}

/// The key of the challenges. `Debug` does not show it.
pub struct CeremonyKey(hmac::Key);

impl CeremonyKey {
    /// Derived from the secret key.
    pub fn new(secret: &SecretKey) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, &*secret.derive("doorwarden passkey challenge v1")))
    }

    /// A new challenge: 16 random bytes, the instant, and a MAC of both and of what it is for.
    pub fn challenge(&self, ceremony: Ceremony, now: Timestamp, random: &dyn RandomSource) -> Challenge {
        let mut bytes = Vec::with_capacity(RANDOM + TIME + MAC);
        bytes.extend_from_slice(&random.bytes::<RANDOM>());
        bytes.extend_from_slice(&now.as_micros().to_be_bytes());
        let mac = self.mac(ceremony, &bytes);
        bytes.extend_from_slice(&mac.as_ref()[..MAC]);
        Challenge::new(bytes).expect("40 bytes are neither too few nor too many")
    }

    /// The name of a challenge that was made for this within the last [`LIFETIME`], under which its use is
    /// remembered.
    ///
    /// # Errors
    /// [`CeremonyError`] if it was not.
    pub fn check(
        &self,
        ceremony: Ceremony,
        challenge: &Challenge,
        now: Timestamp,
    ) -> Result<ChallengeId, CeremonyError> {
        let (made, mac) =
            challenge.as_bytes().split_at_checked(RANDOM + TIME).ok_or(CeremonyError::Foreign)?;
        let expected = self.mac(ceremony, made);
        let is_ours: bool = subtle::ConstantTimeEq::ct_eq(&expected.as_ref()[..MAC], mac).into();
        let (Some((_, time)), true) = (made.split_first_chunk::<RANDOM>(), is_ours) else {
            return Err(CeremonyError::Foreign);
        };
        let time = time.first_chunk::<TIME>().ok_or(CeremonyError::Foreign)?;
        // A clock that is a little behind has made none of these.
        if now.since(Timestamp::from_micros(i64::from_be_bytes(*time))) > LIFETIME {
            return Err(CeremonyError::Expired);
        }
        name(challenge).ok_or(CeremonyError::Foreign)
    }

    /// The name of a user for authenticators, which says nothing of them.
    pub fn handle(&self, user: UserId) -> UserHandle {
        let mac = hmac::sign(&self.0, &[&b"user handle"[..], &user.0.to_be_bytes()].concat());
        UserHandle::new(mac.as_ref()).expect("32 bytes are not too many")
    }

    fn mac(&self, ceremony: Ceremony, made: &[u8]) -> hmac::Tag {
        hmac::sign(&self.0, &[&ceremony.label()[..], made].concat())
    }
}

/// The random part of a challenge, which names it.
pub fn name(challenge: &Challenge) -> Option<ChallengeId> {
    challenge.as_bytes().first_chunk::<RANDOM>().map(|bytes| ChallengeId(Uuid::from_bytes(*bytes)))
}

impl fmt::Debug for CeremonyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CeremonyKey(..)")
    }
}
