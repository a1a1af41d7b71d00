//! Keys for signatures that others verify: key pairs, public keys as JWK (RFC 7517), and key sets.
//!
//! Three algorithms, each with one kind of key: `EdDSA` with Ed25519 (RFC 8037), `ES256` with P-256, and
//! `RS256` with RSA of 2048 to 8192 bits (RFC 7518). A key is used with its one algorithm only.

mod jwk;
mod pair;
mod public;
mod rsa;
mod set;

pub use pair::KeyPair;
pub use public::PublicKey;
pub use set::KeySet;

/// A signature algorithm (RFC 7518, section 3.1; RFC 8037, section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ed25519. Small, fast, deterministic; many verifiers do not support it.
    EdDsa,
    /// ECDSA with P-256 and SHA-256: small, and supported everywhere. The default.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256, for verifiers that support nothing else.
    Rs256,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 3] = [Self::EdDsa, Self::Es256, Self::Rs256];

    /// The name in the `alg` header.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm of this name, which is case-sensitive.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// Why a key, or a set of keys, is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not one JSON object, or a member occurs twice, or there are more than 32.
    #[error("the key is not one JSON object with unique members")]
    NotJson,
    /// A kind of key (`kty`) or curve (`crv`) that is not supported, such as a symmetric key.
    #[error("the kind of key (kty, crv) is not supported")]
    UnsupportedType,
    /// A required member is missing.
    #[error("the member {0:?} is missing")]
    Missing(&'static str),
    /// A member is not what RFC 7517 or 7518 says: wrong type, not canonical base64url, or of the wrong
    /// length.
    #[error("the member {0:?} is malformed")]
    Malformed(&'static str),
    /// A private member, such as `d`: a published key must not have any, and a received one has been leaked.
    #[error("the key has the private member {0:?}")]
    Private(&'static str),
    /// `use` or `key_ops` say that the key is not for verifying signatures.
    #[error("the key is not meant for verifying signatures (use, key_ops)")]
    WrongUse,
    /// `alg` is not the algorithm of this kind of key.
    #[error("the algorithm (alg) does not belong to this kind of key")]
    WrongAlgorithm,
    /// Not a point of the curve, or one of small order.
    #[error("the coordinates are not a usable point of the curve")]
    BadPoint,
    /// RSA with fewer than 2048 or more than 8192 bits, a public exponent that is even or below 65537, or a
    /// modulus of a broken generator (ROCA, CVE-2017-15361).
    #[error("the RSA key is weak")]
    WeakRsa,
    /// Two keys of a set have the same `kid`.
    #[error("two keys have the same id (kid)")]
    DuplicateKeyId,
    /// A set has no `keys`, or more than [`KeySet::MAX_KEYS`].
    #[error("the key set is not an array of at most {} keys", KeySet::MAX_KEYS)]
    BadSet,
    /// Not the PKCS#8 form of a key of this algorithm.
    #[error("the private key is not a PKCS#8 key of this algorithm")]
    BadPkcs8,
    /// The cryptographic library could not make a key.
    #[error("no key could be generated")]
    Generation,
}
