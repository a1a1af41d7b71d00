use std::fmt;

/// The first character of an unusable password, as in Django.
const UNUSABLE_PREFIX: char = '!';

/// A password as stored in the database: a self-describing string in one of Django's formats, or anything
/// else that was in the column. Reading it cannot fail; [`Hasher::verify`](crate::Hasher::verify) has a
/// verdict on every string.
///
/// `Debug` shows the algorithm only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PasswordHash(String);

/// How a stored password was hashed, by its prefix alone: a damaged `pbkdf2_sha256$…` is
/// [`Pbkdf2Sha256`](Self::Pbkdf2Sha256).
///
/// `Display` is Django's name (`pbkdf2_sha256`), or `unusable` or `unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// Argon2 in any variant and version.
    Argon2,
    /// PBKDF2 with HMAC-SHA-256, Django's default.
    Pbkdf2Sha256,
    /// PBKDF2 with HMAC-SHA-1.
    Pbkdf2Sha1,
    /// bcrypt of the hexadecimal SHA-256 of the password.
    BcryptSha256,
    /// bcrypt, which uses only 72 bytes of the password.
    Bcrypt,
    /// scrypt.
    Scrypt,
    /// Salted MD5.
    Md5,
    /// Salted SHA-1.
    Sha1,
    /// MD5 of the password alone.
    UnsaltedMd5,
    /// SHA-1 of the password alone.
    UnsaltedSha1,
    /// An unusable password: no password matches.
    Unusable,
    /// Not a format of Django.
    Unknown,
}

impl PasswordHash {
    /// Takes the stored string of a database.
    pub fn from_stored(encoded: String) -> Self {
        Self(encoded)
    }

    /// A hash that no password matches: `!` and 40 letters and digits, as Django's `set_unusable_password`
    /// writes. The characters are random so that signatures over this column differ between users without a
    /// password.
    pub fn unusable(random: [u8; 40]) -> Self {
        const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let suffix = random.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        Self(std::iter::once(UNUSABLE_PREFIX).chain(suffix).collect())
    }

    /// The string, for the database.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// False if the user has no password by intention (`!…`). A damaged hash is usable in this sense, as in
    /// Django.
    pub fn is_usable(&self) -> bool {
        !self.0.starts_with(UNUSABLE_PREFIX)
    }

    /// The algorithm of the hash.
    pub fn algorithm(&self) -> Algorithm {
        match self.0.split_once('$').map(|(name, _)| name) {
            _ if !self.is_usable() => Algorithm::Unusable,
            None if self.0.len() == 32 && self.0.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Algorithm::UnsaltedMd5
            }
            Some("md5") if self.0.starts_with("md5$$") => Algorithm::UnsaltedMd5,
            Some("sha1") if self.0.starts_with("sha1$$") => Algorithm::UnsaltedSha1,
            Some("argon2") => Algorithm::Argon2,
            Some("pbkdf2_sha256") => Algorithm::Pbkdf2Sha256,
            Some("pbkdf2_sha1") => Algorithm::Pbkdf2Sha1,
            Some("bcrypt_sha256") => Algorithm::BcryptSha256,
            Some("bcrypt") => Algorithm::Bcrypt,
            Some("scrypt") => Algorithm::Scrypt,
            Some("md5") => Algorithm::Md5,
            Some("sha1") => Algorithm::Sha1,
            _ => Algorithm::Unknown,
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({}, ..)", self.algorithm())
    }
}

impl Algorithm {
    /// All algorithms, in the order of the enum.
    pub const ALL: [Self; 12] = [
        Self::Argon2,
        Self::Pbkdf2Sha256,
        Self::Pbkdf2Sha1,
        Self::BcryptSha256,
        Self::Bcrypt,
        Self::Scrypt,
        Self::Md5,
        Self::Sha1,
        Self::UnsaltedMd5,
        Self::UnsaltedSha1,
        Self::Unusable,
        Self::Unknown,
    ];

    /// Django's name of the algorithm, or `unusable` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Argon2 => "argon2",
            Self::Pbkdf2Sha256 => "pbkdf2_sha256",
            Self::Pbkdf2Sha1 => "pbkdf2_sha1",
            Self::BcryptSha256 => "bcrypt_sha256",
            Self::Bcrypt => "bcrypt",
            Self::Scrypt => "scrypt",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::UnsaltedMd5 => "unsalted_md5",
            Self::UnsaltedSha1 => "unsalted_sha1",
            Self::Unusable => "unusable",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
