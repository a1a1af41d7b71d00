//! How a user was authenticated, and what is still needed before a session is opened.
//!
//! A proof and a session are two things: a flow collects [`Proof`]s, [`next`] decides whether they suffice
//! for the [`Purpose`], and only what it has decided opens a session
//! ([`OpenSession`](crate::store::OpenSession)), which remembers it as its [`AuthContext`].

use crate::password::PasswordHash;
use crate::time::Timestamp;
use std::fmt;
use std::num::NonZeroU32;

/// How and when the user of a session was authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthContext {
    /// The methods: the claim `amr`.
    pub methods: Amr,
    /// The assurance level, NIST SP 800-63B: 1, 2 or 3. The claim `acr`.
    pub assurance_level: u8,
    /// When the user was authenticated: the claim `auth_time`.
    pub auth_time: Timestamp,
}

impl AuthContext {
    /// The assurance level of a session that was opened without any proof: it does not meet the lowest one
    /// (OpenID Connect Core, section 2, `acr`).
    pub const UNAUTHENTICATED: u8 = 0;
}

/// Authentication methods, at least one: a set of the values of RFC 8176, section 2.
///
/// ```
/// use doorwarden_core::authentication::Amr;
/// let both = Amr::from_stored("pwd otp").ok_or("two registered values")?;
/// assert_eq!(both.to_string(), "otp pwd");
/// assert_eq!(Amr::from_stored(""), None);
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amr(NonZeroU32);

impl Amr {
    const VALUES: [&str; 20] = [
        "face", "fpt", "geo", "hwk", "iris", "kba", "mca", "mfa", "otp", "pin", "pwd", "rba", "retina", "sc",
        "sms", "swk", "tel", "user", "vbm", "wia",
    ];

    /// A password: `pwd`.
    pub const PASSWORD: Self = Self(NonZeroU32::new(1 << 10).expect("a bit is set"));

    /// The methods that are stored as these words, separated by spaces; `None` if there are none.
    /// Unregistered words are ignored, so that a user is never taken for better authenticated than they were.
    pub fn from_stored(words: &str) -> Option<Self> {
        let place = |word| Self::VALUES.iter().position(|value| *value == word);
        NonZeroU32::new(words.split(' ').filter_map(place).fold(0, |bits, place| bits | 1 << place)).map(Self)
    }

    /// The values, in the order of the registry.
    pub fn iter(self) -> impl Iterator<Item = &'static str> {
        Self::VALUES
            .into_iter()
            .enumerate()
            .filter(move |(place, _)| self.0.get() >> place & 1 == 1)
            .map(|(_, value)| value)
    }
}

/// The values, separated by spaces, as they are stored.
impl fmt::Display for Amr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, value) in self.iter().enumerate() {
            let space = if n == 0 { "" } else { " " };
            write!(f, "{space}{value}")?;
        }
        Ok(())
    }
}

/// What a session is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The user logs in, which sets `last_login`. Needs their password.
    LogIn,
    /// The user has just chosen the password: a registration, or a password change that ended their session.
    /// Needs that password.
    NewPassword,
    /// The application or an operator vouches for the user. Needs no factor.
    Issue,
}

/// Something that was verified.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Proof {
    /// The user's password.
    Password(PasswordProof),
}

/// A verified password, and what is to be stored.
#[derive(Debug, Clone)]
pub struct PasswordProof {
    /// The hash that the password was verified against; it must still be the stored one when the session is
    /// opened.
    pub verified: PasswordHash,
    /// The same password hashed with the current settings, to be stored in its place. Not a password change:
    /// no token ends.
    pub rehashed: Option<PasswordHash>,
    /// The password is known not to have been trimmed before it was hashed:
    /// [`password_trimmed`](crate::user::User::password_trimmed) becomes false.
    pub is_untrimmed: bool,
}

impl PasswordProof {
    /// The password that was hashed to this a moment ago.
    pub fn of_new(password: PasswordHash) -> Self {
        Self { verified: password, rehashed: None, is_untrimmed: false }
    }
}

/// A factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Factor {
    /// The password.
    Password,
}

/// The next step of an authentication.
#[derive(Debug, Clone)]
pub enum Next {
    /// The session can be opened.
    Done(Completed),
    /// This factor is needed first.
    Needs(Factor),
}

/// Every factor that a purpose needs was verified. Only [`next`] makes one:
///
/// ```compile_fail,E0451
/// use doorwarden_core::authentication::{Completed, Purpose};
/// let forged = Completed { purpose: Purpose::LogIn, password: None, auth: None };
/// ```
#[derive(Debug, Clone)]
pub struct Completed {
    purpose: Purpose,
    password: Option<PasswordProof>,
    auth: Option<AuthContext>,
}

impl Completed {
    /// What the session is opened for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The password that was verified, if one was.
    pub fn password(&self) -> Option<&PasswordProof> {
        self.password.as_ref()
    }

    /// How the user was authenticated; `None` if no factor was verified.
    pub fn auth(&self) -> Option<AuthContext> {
        self.auth
    }
}

/// Decides what is still needed for `purpose` after these proofs, the last of which was given `at`.
pub fn next(purpose: Purpose, proofs: Vec<Proof>, at: Timestamp) -> Next {
    let password = proofs.into_iter().next().map(|Proof::Password(password)| password);
    let auth = match (purpose, &password) {
        (Purpose::Issue, _) => None,
        (Purpose::LogIn | Purpose::NewPassword, None) => return Next::Needs(Factor::Password),
        (Purpose::LogIn | Purpose::NewPassword, Some(_)) => {
            Some(AuthContext { methods: Amr::PASSWORD, assurance_level: 1, auth_time: at })
        }
    };
    Next::Done(Completed { purpose, password, auth })
}
