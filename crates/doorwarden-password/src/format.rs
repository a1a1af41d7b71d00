//! A strict parser of Django's hash strings: what Django would not have written is refused.

use crate::encoded::{Algorithm, PasswordHash};
use base64_simd::{STANDARD, STANDARD_NO_PAD};
use std::num::NonZeroU32;

/// The maximum length of a stored hash, in bytes. Django's column takes 128 characters.
const MAX_LENGTH: usize = 1024;

/// A stored hash that can be computed.
#[derive(Debug)]
pub(crate) enum Parsed<'a> {
    Argon2(Argon2Hash),
    Pbkdf2 { digest: Pbkdf2Digest, iterations: NonZeroU32, salt: &'a str, tag: Vec<u8> },
    Bcrypt { prehash: bool, cost: u32, encoded: &'a str },
    Scrypt { params: scrypt::Params, memory_kib: u64, salt: &'a str, tag: Vec<u8> },
    Md5 { salt: &'a str, tag: [u8; 16] },
    Sha1 { salt: &'a str, tag: [u8; 20] },
}

#[derive(Debug)]
pub(crate) struct Argon2Hash {
    pub(crate) variant: argon2::Algorithm,
    pub(crate) version: argon2::Version,
    pub(crate) params: argon2::Params,
    pub(crate) salt: Vec<u8>,
    pub(crate) tag: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Pbkdf2Digest {
    Sha1,
    Sha256,
}

/// `None` if the format is unknown or the string is damaged.
pub(crate) fn parse(hash: &PasswordHash) -> Option<Parsed<'_>> {
    let encoded = hash.as_str();
    if encoded.len() > MAX_LENGTH {
        return None;
    }
    let rest = encoded.split_once('$').map_or(encoded, |(_, rest)| rest);
    match hash.algorithm() {
        Algorithm::Argon2 => argon2(rest).map(Parsed::Argon2),
        Algorithm::Pbkdf2Sha256 => pbkdf2(Pbkdf2Digest::Sha256, rest),
        Algorithm::Pbkdf2Sha1 => pbkdf2(Pbkdf2Digest::Sha1, rest),
        Algorithm::BcryptSha256 => bcrypt(true, rest),
        Algorithm::Bcrypt => bcrypt(false, rest),
        Algorithm::Scrypt => scrypt(rest),
        Algorithm::Md5 => salted(rest).map(|(salt, tag)| Parsed::Md5 { salt, tag }),
        Algorithm::Sha1 => salted(rest).map(|(salt, tag)| Parsed::Sha1 { salt, tag }),
        // `md5$$tag` or the tag alone, `sha1$$tag`.
        Algorithm::UnsaltedMd5 => {
            hex(rest.strip_prefix('$').unwrap_or(rest)).map(|tag| Parsed::Md5 { salt: "", tag })
        }
        Algorithm::UnsaltedSha1 => hex(rest.strip_prefix('$')?).map(|tag| Parsed::Sha1 { salt: "", tag }),
        Algorithm::Unusable | Algorithm::Unknown => None,
    }
}

/// `argon2id$v=19$m=19456,t=2,p=1$salt$tag`; without `v=` it is version 16.
fn argon2(rest: &str) -> Option<Argon2Hash> {
    let mut parts = rest.split('$');
    let variant = match parts.next()? {
        "argon2id" => argon2::Algorithm::Argon2id,
        "argon2i" => argon2::Algorithm::Argon2i,
        "argon2d" => argon2::Algorithm::Argon2d,
        _ => return None,
    };
    let mut costs = parts.next()?;
    let mut version = argon2::Version::V0x10;
    if let Some(number) = costs.strip_prefix("v=") {
        version = argon2::Version::try_from(decimal(number)?).ok()?;
        costs = parts.next()?;
    }
    let mut costs = costs.split(',');
    let memory_kib = decimal(costs.next()?.strip_prefix("m=")?)?;
    let iterations = decimal(costs.next()?.strip_prefix("t=")?)?;
    let parallelism = decimal(costs.next()?.strip_prefix("p=")?)?;
    let salt = STANDARD_NO_PAD.decode_to_vec(parts.next()?).ok()?;
    let tag = STANDARD_NO_PAD.decode_to_vec(parts.next()?).ok()?;
    if costs.next().is_some() || parts.next().is_some() || salt.len() < argon2::MIN_SALT_LEN {
        return None;
    }
    let params = argon2::Params::new(memory_kib, iterations, parallelism, Some(tag.len())).ok()?;
    Some(Argon2Hash { variant, version, params, salt, tag })
}

/// `rounds$salt$tag`
fn pbkdf2(digest: Pbkdf2Digest, rest: &str) -> Option<Parsed<'_>> {
    let [iterations, salt, tag] = fields(rest)?;
    let iterations = NonZeroU32::new(decimal(iterations)?)?;
    let tag = STANDARD.decode_to_vec(tag).ok()?;
    (!salt.is_empty() && tag.len() == digest.tag_length()).then_some(Parsed::Pbkdf2 {
        digest,
        iterations,
        salt,
        tag,
    })
}

/// `$2b$12$` with 22 characters of salt and 31 of tag: Django's separator and then the usual string.
fn bcrypt(prehash: bool, encoded: &str) -> Option<Parsed<'_>> {
    let cost = encoded.parse::<bcrypt::HashParts>().ok()?.get_cost();
    (4..=31).contains(&cost).then_some(Parsed::Bcrypt { prehash, cost, encoded })
}

/// `N$salt$r$p$tag`
fn scrypt(rest: &str) -> Option<Parsed<'_>> {
    let [n, salt, r, p, tag] = fields(rest)?;
    let (n, r, p) = (decimal(n)?, decimal(r)?, decimal(p)?);
    let tag = STANDARD.decode_to_vec(tag).ok()?;
    if !n.is_power_of_two() || n == 1 || salt.is_empty() || tag.len() != 64 {
        return None;
    }
    // Checked here because `Params::new` multiplies the two without an overflow check.
    r.checked_mul(p)?;
    let params = scrypt::Params::new(u8::try_from(n.ilog2()).ok()?, r, p).ok()?;
    let memory_kib = u64::from(r).checked_mul(u64::from(n) + u64::from(p))? / 8;
    Some(Parsed::Scrypt { params, memory_kib, salt, tag })
}

/// `salt$tag`, the tag in hexadecimal.
fn salted<const N: usize>(rest: &str) -> Option<(&str, [u8; N])> {
    let [salt, tag] = fields(rest)?;
    (!salt.is_empty()).then_some((salt, hex(tag)?))
}

/// `N` bytes in lower-case hexadecimal.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let value = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

impl Pbkdf2Digest {
    pub(crate) fn tag_length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// Exactly `N` parts between dollar signs.
fn fields<const N: usize>(rest: &str) -> Option<[&str; N]> {
    let mut parts = rest.split('$');
    let mut out = [""; N];
    for field in &mut out {
        *field = parts.next()?;
    }
    parts.next().is_none().then_some(out)
}

/// A number as it would be printed: digits only, no leading zero.
fn decimal(digits: &str) -> Option<u32> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    plain.then(|| digits.parse().ok())?
}
