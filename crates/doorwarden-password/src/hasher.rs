use crate::arena::Arena;
use crate::encoded::PasswordHash;
use crate::format::{Argon2Hash, Parsed, Pbkdf2Digest, parse};
use crate::secret::Password;
use crate::settings::{Ceilings, HashSettings, HashSettingsError};
use aws_lc_rs::{digest, pbkdf2};
use base64_simd::STANDARD_NO_PAD;
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

/// The length of a new salt, in bytes.
const SALT_LENGTH: usize = 16;

/// The length of a new tag, in bytes.
const TAG_LENGTH: usize = 32;

/// The result of comparing a password with a stored hash. Only [`Match`](Self::Match) may log a user in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The password matches.
    Match {
        /// The hash does not have the current algorithm, cost, salt length or tag length: hash the password
        /// again and store the new hash.
        needs_rehash: bool,
    },
    /// The password does not match.
    NoMatch,
    /// The user has no usable password, as after Django's `set_unusable_password`.
    Unusable,
    /// The stored string has an unknown format or is damaged. Log a warning.
    Unreadable,
    /// The stored hash costs more than the [`Ceilings`] allow; it was not computed. Log a warning.
    TooExpensive,
}

/// Computes and verifies hashes on the calling thread. One hash takes some ten milliseconds of one core:
/// services use [`HashPool`](crate::HashPool).
#[derive(Debug, Clone, Copy)]
pub struct Hasher {
    settings: HashSettings,
    ceilings: Ceilings,
}

impl Hasher {
    /// New hashes have the cost `settings`; stored hashes are verified up to `ceilings`.
    ///
    /// # Errors
    /// If the cost of new hashes is above the ceilings.
    pub fn new(settings: HashSettings, ceilings: Ceilings) -> Result<Self, HashSettingsError> {
        let (memory_kib, iterations) = (settings.memory_kib(), settings.iterations());
        if memory_kib > ceilings.argon2_memory_kib || iterations > ceilings.argon2_iterations {
            return Err(HashSettingsError::AboveCeilings { memory_kib, iterations, ceilings });
        }
        Ok(Self { settings, ceilings })
    }

    /// The cost of new hashes.
    pub fn settings(&self) -> HashSettings {
        self.settings
    }

    /// The hash of a password: Argon2id in the form that Django writes,
    /// `argon2$argon2id$v=19$m=…,t=…,p=…$salt$tag`. `salt` must be fresh and random.
    pub fn hash(&self, password: &Password, salt: [u8; 16], arena: &mut Arena) -> PasswordHash {
        let mut tag = [0; TAG_LENGTH];
        self.current(salt).fill(password, &mut tag, self.kept_blocks(), arena);
        self.encode(salt, tag)
    }

    /// Compares a password with a stored hash, in constant time for one stored string. Never panics, whatever
    /// the string.
    pub fn verify(&self, password: &Password, hash: &PasswordHash, arena: &mut Arena) -> Verdict {
        let parsed = match self.read(hash) {
            Ok(parsed) => parsed,
            Err(verdict) => return verdict,
        };
        if parsed.matches(password, self.kept_blocks(), arena) {
            Verdict::Match { needs_rehash: !self.made_today(&parsed) }
        } else {
            Verdict::NoMatch
        }
    }

    /// Whether a password can be compared with this stored string, without computing a hash.
    ///
    /// # Errors
    /// What [`verify`](Self::verify) returns for every password: [`Verdict::Unusable`],
    /// [`Verdict::Unreadable`] or [`Verdict::TooExpensive`].
    pub fn can_verify(&self, hash: &PasswordHash) -> Result<(), Verdict> {
        self.read(hash).map(drop)
    }

    /// Whether the hash has the current algorithm and cost. False for every hash that a login would replace,
    /// and for those that no password matches.
    pub fn is_current(&self, hash: &PasswordHash) -> bool {
        parse(hash).is_some_and(|parsed| self.made_today(&parsed))
    }

    /// The dummy hash. It has the current cost and a random tag: finding a password that matches is as hard
    /// as guessing 256 bits.
    pub(crate) fn dummy(&self, random: [u8; 48]) -> PasswordHash {
        let (mut salt, mut tag) = ([0; SALT_LENGTH], [0; TAG_LENGTH]);
        salt.copy_from_slice(&random[..SALT_LENGTH]);
        tag.copy_from_slice(&random[SALT_LENGTH..]);
        self.encode(salt, tag)
    }

    /// Whether verifying takes more memory than a hash of the current cost.
    pub(crate) fn is_large(&self, hash: &PasswordHash) -> bool {
        match self.read(hash) {
            Ok(Parsed::Argon2(hash)) => hash.params.block_count() > self.kept_blocks(),
            Ok(Parsed::Scrypt { .. }) => true,
            _ => false,
        }
    }

    fn read<'a>(&self, hash: &'a PasswordHash) -> Result<Parsed<'a>, Verdict> {
        if !hash.is_usable() {
            return Err(Verdict::Unusable);
        }
        let parsed = parse(hash).ok_or(Verdict::Unreadable)?;
        if parsed.is_above(&self.ceilings) {
            return Err(Verdict::TooExpensive);
        }
        Ok(parsed)
    }

    fn current(&self, salt: [u8; 16]) -> Argon2Hash {
        Argon2Hash {
            variant: argon2::Algorithm::Argon2id,
            version: argon2::Version::V0x13,
            params: self.params(),
            salt: salt.to_vec(),
            tag: vec![0; TAG_LENGTH],
        }
    }

    fn params(&self) -> argon2::Params {
        argon2::Params::new(
            self.settings.memory_kib(),
            self.settings.iterations(),
            self.settings.parallelism(),
            Some(TAG_LENGTH),
        )
        .expect("settings are valid Argon2 parameters")
    }

    fn kept_blocks(&self) -> usize {
        self.params().block_count()
    }

    fn encode(&self, salt: [u8; 16], tag: [u8; 32]) -> PasswordHash {
        PasswordHash::from_stored(format!(
            "argon2$argon2id$v=19$m={},t={},p={}${}${}",
            self.settings.memory_kib(),
            self.settings.iterations(),
            self.settings.parallelism(),
            STANDARD_NO_PAD.encode_to_string(salt),
            STANDARD_NO_PAD.encode_to_string(tag),
        ))
    }

    fn made_today(&self, parsed: &Parsed<'_>) -> bool {
        let Parsed::Argon2(hash) = parsed else { return false };
        hash.variant == argon2::Algorithm::Argon2id
            && hash.version == argon2::Version::V0x13
            && hash.params == self.params()
            && hash.salt.len() == SALT_LENGTH
    }
}

impl Argon2Hash {
    /// Computes the tag that this password has under this hash's salt and cost.
    fn fill(&self, password: &Password, tag: &mut [u8], keep: usize, arena: &mut Arena) {
        let argon2 = argon2::Argon2::new(self.variant, self.version, self.params.clone());
        let (count, passes) = (self.params.block_count(), self.params.t_cost());
        arena
            .lend(count, passes, keep, |blocks| {
                argon2.hash_password_into_with_memory(password.expose().as_bytes(), &self.salt, tag, blocks)
            })
            .expect("salt, tag and memory have lengths that were checked");
    }
}

impl Parsed<'_> {
    fn is_above(&self, ceilings: &Ceilings) -> bool {
        match self {
            Self::Argon2(hash) => {
                hash.params.m_cost() > ceilings.argon2_memory_kib
                    || hash.params.t_cost() > ceilings.argon2_iterations
            }
            Self::Pbkdf2 { iterations, .. } => iterations.get() > ceilings.pbkdf2_iterations,
            Self::Bcrypt { cost, .. } => *cost > ceilings.bcrypt_cost,
            Self::Scrypt { params, memory_kib, .. } => {
                *memory_kib > u64::from(ceilings.scrypt_memory_kib)
                    || params.p() > ceilings.scrypt_parallelism
            }
            Self::Md5 { .. } | Self::Sha1 { .. } => false,
        }
    }

    fn matches(&self, password: &Password, keep: usize, arena: &mut Arena) -> bool {
        let secret = password.expose().as_bytes();
        match self {
            Self::Argon2(hash) => {
                let mut tag = vec![0; hash.tag.len()];
                hash.fill(password, &mut tag, keep, arena);
                tag.ct_eq(&hash.tag).into()
            }
            Self::Pbkdf2 { digest, iterations, salt, tag } => {
                let algorithm = match digest {
                    Pbkdf2Digest::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
                    Pbkdf2Digest::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
                };
                let mut out = vec![0; digest.tag_length()];
                pbkdf2::derive(algorithm, *iterations, salt.as_bytes(), secret, &mut out);
                out.ct_eq(tag).into()
            }
            Self::Bcrypt { prehash: true, encoded, .. } => {
                bcrypt::verify(sha256_hex(secret).as_slice(), encoded).unwrap_or(false)
            }
            Self::Bcrypt { prehash: false, encoded, .. } => {
                // bcrypt repeats the password with a NUL between, so that "a" and "a\0a" are the same to it.
                bcrypt::verify(secret, encoded).unwrap_or(false) & !secret.contains(&0)
            }
            Self::Scrypt { params, salt, tag, .. } => {
                let mut out = vec![0; tag.len()];
                scrypt::scrypt(secret, salt.as_bytes(), params, &mut out).is_ok() && out.ct_eq(tag).into()
            }
            Self::Md5 { salt, tag } => {
                Md5::new().chain_update(salt).chain_update(secret).finalize().as_slice().ct_eq(tag).into()
            }
            Self::Sha1 { salt, tag } => {
                let mut sha1 = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
                sha1.update(salt.as_bytes());
                sha1.update(secret);
                sha1.finish().as_ref().ct_eq(tag).into()
            }
        }
    }
}

/// The SHA-256 of the password in lower-case hexadecimal, which is short enough for bcrypt.
fn sha256_hex(secret: &[u8]) -> Zeroizing<[u8; 64]> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
    let mut hex = Zeroizing::new([0; 64]);
    for (pair, byte) in hex.chunks_exact_mut(2).zip(sum) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    sum.zeroize();
    hex
}
