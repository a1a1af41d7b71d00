use super::jwk::{self, Material};
use super::{Algorithm, KeyError, rsa};
use crate::{access, jws};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use std::fmt;

/// A public key for one algorithm, with its id.
///
/// ```
/// use doorwarden_token::{Algorithm, PublicKey};
///
/// let key = PublicKey::from_jwk(
///     r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
/// )?;
/// assert_eq!(key.algorithm(), Algorithm::EdDsa);
/// assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
/// # Ok::<(), doorwarden_token::key::KeyError>(())
/// ```
#[derive(Clone)]
pub struct PublicKey {
    id: String,
    /// The encoded header of the access tokens that [`access::sign`] makes with this key, if it makes any.
    access_header: Option<String>,
    material: Material,
    parsed: ParsedPublicKey,
}

impl PublicKey {
    /// Reads a JWK (RFC 7517). Strict: only the three kinds of key of [`Algorithm`], in canonical encoding,
    /// without private members; `alg`, `use` and `key_ops`, where present, must say that the key verifies
    /// with its algorithm. The key keeps its `kid`; without one, the thumbprint becomes its id.
    pub fn from_jwk(json: &str) -> Result<Self, KeyError> {
        let (material, id) = jwk::parse(json.as_bytes())?;
        Self::new(material, id)
    }

    pub(super) fn new(material: Material, id: Option<String>) -> Result<Self, KeyError> {
        let parsed = match &material {
            Material::Ed25519 { x } if is_of_small_order(x) => return Err(KeyError::BadPoint),
            Material::Ed25519 { x } => ParsedPublicKey::new(&ED25519, x).map_err(|_| KeyError::BadPoint)?,
            Material::P256 { x, y } => {
                let point = [&[4], &x[..], &y[..]].concat();
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| KeyError::BadPoint)?
            }
            Material::Rsa { n, e } if !rsa::is_strong(n, e) => return Err(KeyError::WeakRsa),
            Material::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
                .map_err(|_| KeyError::WeakRsa)?,
        };
        let id = id.unwrap_or_else(|| material.thumbprint());
        // Another id may need escapes, or be crafted to look like further header members.
        let is_ours = id == material.thumbprint();
        let access_header = is_ours.then(|| jws::header(material.algorithm(), &id, access::TYPE));
        Ok(Self { id, access_header, material, parsed })
    }

    /// The `kid`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn access_header(&self) -> Option<&[u8]> {
        self.access_header.as_deref().map(str::as_bytes)
    }

    /// The only algorithm that this key is used with.
    pub const fn algorithm(&self) -> Algorithm {
        self.material.algorithm()
    }

    /// The thumbprint of the key: base64url of the SHA-256 of its required members (RFC 7638).
    pub fn thumbprint(&self) -> String {
        self.material.thumbprint()
    }

    /// The key as a JWK in JSON: public members, `alg`, `use` and `kid`.
    pub fn to_jwk(&self) -> String {
        jwk::render(&self.material, &self.id)
    }

    /// Whether the signature of this message was made with this key. ES256 signatures are 64 bytes (RFC 7518,
    /// section 3.4).
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {:?})", self.algorithm().as_str(), self.id)
    }
}

/// Whether an Ed25519 point has an order of at most eight, in any encoding: anyone can forge signatures for
/// such a key.
fn is_of_small_order(x: &[u8; 32]) -> bool {
    const fn bytes(first: u8, middle: u8, last: u8) -> [u8; 32] {
        let mut bytes = [middle; 32];
        bytes[0] = first;
        bytes[31] = last;
        bytes
    }
    // The y coordinates: 0, 1, -1 and two more, and their unreduced encodings.
    const POINTS: [[u8; 32]; 7] = [
        bytes(0, 0, 0),
        bytes(1, 0, 0),
        bytes(0xec, 0xff, 0x7f),
        bytes(0xed, 0xff, 0x7f),
        bytes(0xee, 0xff, 0x7f),
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut y = *x;
    y[31] &= 0x7f; // the sign of x
    POINTS.contains(&y)
}
