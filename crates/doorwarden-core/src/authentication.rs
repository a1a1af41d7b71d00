//! How a user was authenticated, and what is still needed before a session is opened.
//!
//! A proof and a session are two things: a flow collects [`Proof`]s, [`next`] decides whether they suffice
//! for the [`Purpose`], and only what it has decided opens a session
//! ([`OpenSession`](crate::store::OpenSession)), which remembers it as its [`AuthContext`].

use crate::password::PasswordHash;
use crate::time::Timestamp;
use crate::user::User;
use serde::{Deserialize, Serialize};
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

/// Authentication methods, at least one: a set of the values of RFC 8176, section 2, `email` and `recovery`.
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
    /// Those of the registry, and what it lacks.
    const VALUES: [&str; 22] = [
        "face", "fpt", "geo", "hwk", "iris", "kba", "mca", "mfa", "otp", "pin", "pwd", "rba", "retina", "sc",
        "sms", "swk", "tel", "user", "vbm", "wia", "email", "recovery",
    ];

    /// A password: `pwd`.
    pub const PASSWORD: Self = Self(NonZeroU32::new(1 << 10).expect("a bit is set"));

    /// A link or code that was mailed: `email`, which the registry lacks.
    pub const EMAIL: Self = Self(NonZeroU32::new(1 << 20).expect("a bit is set"));

    /// A one-time password: `otp`.
    pub const OTP: Self = Self(NonZeroU32::new(1 << 8).expect("a bit is set"));

    /// A recovery code: `recovery`, which the registry lacks.
    pub const RECOVERY: Self = Self(NonZeroU32::new(1 << 21).expect("a bit is set"));

    /// A key that stays in its authenticator: `hwk`.
    pub const HARDWARE_KEY: Self = Self(NonZeroU32::new(1 << 3).expect("a bit is set"));

    /// A key that may be copied to other devices, as synchronized passkeys are: `swk`.
    pub const SOFTWARE_KEY: Self = Self(NonZeroU32::new(1 << 15).expect("a bit is set"));

    /// The authenticator has verified its user, by a PIN or a finger: `user`.
    pub const USER_VERIFIED: Self = Self(NonZeroU32::new(1 << 17).expect("a bit is set"));

    /// More than one factor: `mfa`.
    pub const MULTI_FACTOR: Self = Self(NonZeroU32::new(1 << 7).expect("a bit is set"));

    /// The methods of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The methods that are stored as these words, separated by spaces; `None` if there are none.
    /// Other words are ignored, so that a user is never taken for better authenticated than they were.
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
    /// The user logs in, which sets `last_login`. Needs their password, or a mail that they answered.
    LogIn,
    /// The user has just chosen the password: a registration, or a password change that ended their session.
    /// Needs that password.
    NewPassword,
    /// The user confirms in an open session that it is them.
    Reauthenticate,
    /// The user chooses a new password in the place of a forgotten one. Opens no session.
    ResetPassword,
    /// The application or an operator vouches for the user. Needs no factor.
    Issue,
}

/// Something that was verified.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Proof {
    /// The user's password.
    Password(PasswordProof),
    /// The user answered a mail to the address of the account.
    Email,
    /// Something of the user's beside these two.
    Factor(FactorProof),
}

/// A verified factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FactorProof {
    /// A one-time password of an authenticator app.
    Totp,
    /// A recovery code.
    RecoveryCode,
    /// A passkey.
    Passkey {
        /// The authenticator has verified its user: the passkey is two factors at once.
        is_user_verified: bool,
        /// The key may be copied to other devices.
        is_backup_eligible: bool,
    },
}

impl FactorProof {
    /// Whether it needs no other factor beside it.
    fn is_complete(self) -> bool {
        matches!(self, Self::Passkey { is_user_verified: true, .. })
    }

    /// The authentication of a session that has proved `auth` before, and this now.
    #[must_use]
    pub fn beside(self, auth: AuthContext, at: Timestamp) -> AuthContext {
        let methods = auth.methods.and(self.methods()).and(Amr::MULTI_FACTOR);
        AuthContext { methods, assurance_level: auth.assurance_level.max(2), auth_time: at }
    }

    fn methods(self) -> Amr {
        match self {
            Self::Totp => Amr::OTP,
            Self::RecoveryCode => Amr::RECOVERY,
            Self::Passkey { is_user_verified, is_backup_eligible } => {
                let key = if is_backup_eligible { Amr::SOFTWARE_KEY } else { Amr::HARDWARE_KEY };
                if is_user_verified { key.and(Amr::USER_VERIFIED) } else { key }
            }
        }
    }
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
    /// The password was leaked, and [must be changed](crate::settings::Settings::leaked_at_login) at a login.
    pub is_leaked: bool,
}

impl PasswordProof {
    /// The password that was hashed to this a moment ago.
    pub fn of_new(password: PasswordHash) -> Self {
        Self { verified: password, rehashed: None, is_untrimmed: false, is_leaked: false }
    }
}

/// What is still needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Need {
    /// A first factor: the password, or a mailed link or code.
    FirstFactor,
    /// A factor beside the password or the mail.
    SecondFactor,
    /// A factor must be set up, which the user does not have and must have.
    EnrollFactor,
    /// The account is to be deleted: its user must say that it stays.
    CancelDeletion,
    /// The email address must be proved.
    VerifyEmail,
    /// A new password must be chosen.
    ChangePassword,
    /// Something of the application's must be done, which has this name.
    Stage(&'static str),
}

/// The next step of an authentication.
#[derive(Debug, Clone)]
pub enum Next {
    /// The session can be opened.
    Done(Completed),
    /// This is needed first.
    Needs(Need),
}

/// Everything that a purpose needs was verified. Only [`next`] makes one:
///
/// ```compile_fail,E0451
/// use doorwarden_core::authentication::{Completed, Purpose};
/// let forged = Completed { purpose: Purpose::LogIn, password: None, proves_email: true, auth: None };
/// ```
#[derive(Debug, Clone)]
pub struct Completed {
    purpose: Purpose,
    password: Option<PasswordProof>,
    proves_email: bool,
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

    /// Whether a mail to the address of the account was answered.
    pub fn proves_email(&self) -> bool {
        self.proves_email
    }

    /// How the user was authenticated; `None` if nothing was verified.
    pub fn auth(&self) -> Option<AuthContext> {
        self.auth
    }
}

/// What is known of an account that decides what its user must do before a session is opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// The email address was never proved.
    pub is_unverified: bool,
    /// No session before the address was proved.
    pub needs_verified_email: bool,
    /// A new password must be chosen.
    pub must_change_password: bool,
    /// The account is to be deleted.
    pub is_to_be_deleted: bool,
    /// There is a factor, which every session needs.
    pub has_factor: bool,
    /// No session without a factor, by the service's policy.
    pub must_have_factor: bool,
}

impl Standing {
    /// That of a user under these policies.
    pub fn of(user: &User, needs_verified_email: bool, must_have_factor: bool) -> Self {
        Self {
            is_unverified: user.email_verified_at.is_none(),
            needs_verified_email,
            must_change_password: user.must_change_password,
            is_to_be_deleted: user.deletion_at.is_some(),
            has_factor: user.has_factor,
            must_have_factor,
        }
    }
}

/// Decides what is still needed for `purpose` after these proofs, the last of which was given `at`. Every way
/// in ends here. Two factors are a passkey that has verified its user, or the password or a mail with a
/// factor beside it: never a password with a mail, nor a factor alone.
///
/// Whoever answers a mail to an address that was never proved, without the password, may be another person
/// than the one who registered with that address: such an account gets a new password, which ends everything
/// that was set before (pre-hijacking).
pub fn next(purpose: Purpose, standing: Standing, proofs: Vec<Proof>, at: Timestamp) -> Next {
    let (mut password, mut proves_email, mut factor) = (None, false, None);
    for proof in proofs {
        match proof {
            Proof::Password(proof) => password = Some(proof),
            Proof::Email => proves_email = true,
            Proof::Factor(proof) => factor = Some(proof),
        }
    }
    if purpose == Purpose::Issue {
        return Next::Done(Completed { purpose, password: None, proves_email: false, auth: None });
    }
    let is_complete = factor.is_some_and(FactorProof::is_complete);
    let first = match (&password, proves_email) {
        (None, false) => None,
        (None, true) if purpose == Purpose::NewPassword => None,
        (Some(_), false) => Some(Amr::PASSWORD),
        (None, true) => Some(Amr::EMAIL),
        (Some(_), true) => Some(Amr::PASSWORD.and(Amr::EMAIL)),
    };
    if first.is_none() && (!is_complete || matches!(purpose, Purpose::NewPassword | Purpose::ResetPassword)) {
        return Next::Needs(Need::FirstFactor);
    }
    let is_login = matches!(purpose, Purpose::LogIn | Purpose::NewPassword);
    if is_login && standing.needs_verified_email && standing.is_unverified && !proves_email {
        return Next::Needs(Need::VerifyEmail);
    }
    let has_two = is_complete || first.is_some() && factor.is_some();
    if standing.has_factor && !has_two {
        return Next::Needs(Need::SecondFactor);
    }
    if is_login && standing.must_have_factor && !standing.has_factor {
        return Next::Needs(Need::EnrollFactor);
    }
    if is_login && standing.is_to_be_deleted {
        return Next::Needs(Need::CancelDeletion);
    }
    let may_be_another = standing.is_unverified && password.is_none() && !is_complete;
    let is_leaked = password.as_ref().is_some_and(|password| password.is_leaked);
    if purpose == Purpose::LogIn && (standing.must_change_password || may_be_another || is_leaked) {
        return Next::Needs(Need::ChangePassword);
    }
    let methods = [first, factor.map(FactorProof::methods), has_two.then_some(Amr::MULTI_FACTOR)];
    let methods = methods.into_iter().flatten().reduce(Amr::and);
    let assurance_level = if has_two { 2 } else { 1 };
    let auth = methods.map(|methods| AuthContext { methods, assurance_level, auth_time: at });
    Next::Done(Completed { purpose, password, proves_email, auth })
}
