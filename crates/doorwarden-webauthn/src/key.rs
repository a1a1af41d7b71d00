use crate::algorithm::Algorithm;
use crate::cbor::{CborError, Value};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use std::fmt;

/// The public key of a credential, in the form of COSE (RFC 9052, section 7), which is also the form to
/// store: it names its algorithm, and there is one spelling of each key.
///
/// ES256 and ES384 signatures are in ASN.1 DER (WebAuthn section 6.5.5).
#[derive(Clone)]
pub struct PublicKey {
    algorithm: Algorithm,
    cose: Box<[u8]>,
    parsed: ParsedPublicKey,
}

/// Why a public key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not canonical CBOR.
    #[error("the public key: {0}")]
    Cbor(#[from] CborError),
    /// Not a map.
    #[error("the public key is not a map")]
    NotAMap,
    /// The algorithm (member 3) is none of [`Algorithm::ALL`], and so was not offered.
    #[error("the algorithm {0} was not offered")]
    AlgorithmNotOffered(i64),
    /// A member is missing, or is not what the algorithm requires.
    #[error("the member {0} of the public key is missing or malformed")]
    BadMember(i64),
    /// There are members beside those of the kind of key.
    #[error("the public key has further members")]
    FurtherMembers,
    /// The coordinates are not those of a point of the curve.
    #[error("the coordinates are not a point of the curve")]
    NotOnCurve,
    /// RSA with fewer than 2048 or more than 4096 bits, or a public exponent that is even or below 65537.
    #[error("the RSA key is weak or too large")]
    WeakRsa,
}

// Members of a COSE key (RFC 9052, table 4; RFC 9053, tables 19 and 20; RFC 8230, table 4).
const TYPE: i64 = 1;
const ALGORITHM: i64 = 3;
const CURVE: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;
const MODULUS: i64 = -1;
const EXPONENT: i64 = -2;

impl PublicKey {
    /// Reads a COSE key. Strict: canonical CBOR, exactly the members of its kind of key, an algorithm of
    /// [`Algorithm::ALL`], and a point of the curve. Whether 32 bytes are a point of Ed25519 is not known
    /// before a signature is verified; if they are none, no signature is valid.
    pub fn from_cose(bytes: &[u8]) -> Result<Self, KeyError> {
        let value = Value::read(bytes)?;
        let members = Members(value.as_map().ok_or(KeyError::NotAMap)?);
        let number = members.integer(ALGORITHM)?;
        let algorithm = Algorithm::from_cose(number).ok_or(KeyError::AlgorithmNotOffered(number))?;
        let point = |curve, length| {
            members.only(2, &[(CURVE, curve)], 5)?;
            let (x, y) = (members.bytes(X, length)?, members.bytes(Y, length)?);
            Ok::<_, KeyError>([&[4], x, y].concat())
        };
        let parsed = match algorithm {
            Algorithm::Es256 => ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point(1, 32)?),
            Algorithm::Es384 => ParsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, point(2, 48)?),
            Algorithm::EdDsa => {
                members.only(1, &[(CURVE, 6)], 4)?;
                ParsedPublicKey::new(&ED25519, members.bytes(X, 32)?)
            }
            Algorithm::Rs256 => {
                members.only(3, &[], 4)?;
                let (n, e) = (members.number(MODULUS)?, members.number(EXPONENT)?);
                if !is_strong(n, e) {
                    return Err(KeyError::WeakRsa);
                }
                return RsaPublicKeyComponents { n, e }
                    .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                    .map(|parsed| Self { algorithm, cose: bytes.into(), parsed })
                    .map_err(|_| KeyError::WeakRsa);
            }
        };
        let parsed = parsed.map_err(|_| KeyError::NotOnCurve)?;
        Ok(Self { algorithm, cose: bytes.into(), parsed })
    }

    /// The key in the form of COSE, as it was read.
    pub fn as_cose(&self) -> &[u8] {
        &self.cose
    }

    /// The only algorithm that this key is used with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the signature of this message was made with this key.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.cose == other.cose
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.algorithm)
    }
}

struct Members<'v, 'a>(&'v [(Value<'a>, Value<'a>)]);

impl<'a> Members<'_, 'a> {
    fn find(&self, label: i64) -> Result<&Value<'a>, KeyError> {
        let found = self.0.iter().find(|(key, _)| key.as_integer() == Some(label));
        found.map(|(_, value)| value).ok_or(KeyError::BadMember(label))
    }

    fn integer(&self, label: i64) -> Result<i64, KeyError> {
        self.find(label)?.as_integer().ok_or(KeyError::BadMember(label))
    }

    fn bytes(&self, label: i64, length: usize) -> Result<&'a [u8], KeyError> {
        let bytes = self.find(label)?.as_bytes().filter(|bytes| bytes.len() == length);
        bytes.ok_or(KeyError::BadMember(label))
    }

    /// An unsigned number of any size, without leading zeros (RFC 8230, section 4).
    fn number(&self, label: i64) -> Result<&'a [u8], KeyError> {
        let bytes =
            self.find(label)?.as_bytes().filter(|bytes| bytes.first().is_some_and(|first| *first != 0));
        bytes.ok_or(KeyError::BadMember(label))
    }

    /// Checks the type of the key, these integers, and the number of members.
    fn only(&self, kind: i64, integers: &[(i64, i64)], count: usize) -> Result<(), KeyError> {
        for &(label, expected) in [(TYPE, kind)].iter().chain(integers) {
            if self.integer(label)? != expected {
                return Err(KeyError::BadMember(label));
            }
        }
        if self.0.len() > count { Err(KeyError::FurtherMembers) } else { Ok(()) }
    }
}

fn is_strong(n: &[u8], e: &[u8]) -> bool {
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    // aws-lc takes at most 33 bits of exponent.
    let exponent = e.iter().take(8).fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    (2048..=4096).contains(&bits) && odd(n) && odd(e) && e.len() <= 5 && exponent >= 65_537
}
