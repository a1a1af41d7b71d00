use super::{Algorithm, KeyError};
use crate::base64url;
use crate::json::{self, Flaw, Value};
use aws_lc_rs::digest::{SHA256, digest};

/// The public numbers of a key.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Material {
    Ed25519 { x: [u8; 32] },
    P256 { x: [u8; 32], y: [u8; 32] },
    Rsa { n: Vec<u8>, e: Vec<u8> },
}

impl Material {
    pub(super) const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519 { .. } => Algorithm::EdDsa,
            Self::P256 { .. } => Algorithm::Es256,
            Self::Rsa { .. } => Algorithm::Rs256,
        }
    }

    pub(super) fn thumbprint(&self) -> String {
        base64url::encode(digest(&SHA256, self.canonical().as_bytes()).as_ref())
    }

    /// The required members in the order of RFC 7638, section 3.3, which the thumbprint is over. Written by
    /// hand, because the order of `serde_json` depends on a feature that any crate of the build may enable.
    fn canonical(&self) -> String {
        let text = base64url::encode;
        match self {
            Self::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(x)),
            Self::P256 { x, y } => {
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, text(x), text(y))
            }
            Self::Rsa { n, e } => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(e), text(n)),
        }
    }
}

/// The JWK as JSON text: the required members, then `alg`, `use` and `kid`.
pub(super) fn render(material: &Material, id: &str) -> String {
    let mut jwk = material.canonical();
    jwk.pop();
    let id = serde_json::Value::from(id);
    jwk + &format!(r#","alg":"{}","use":"sig","kid":{id}}}"#, material.algorithm().as_str())
}

/// The members of a JWK that are read.
#[derive(Default)]
struct Members<'a> {
    kty: Option<Value<'a>>,
    crv: Option<Value<'a>>,
    alg: Option<Value<'a>>,
    kid: Option<Value<'a>>,
    usage: Option<Value<'a>>,
    key_ops: Option<Value<'a>>,
    x: Option<Value<'a>>,
    y: Option<Value<'a>>,
    n: Option<Value<'a>>,
    e: Option<Value<'a>>,
    private: Option<&'static str>,
}

impl From<Flaw> for KeyError {
    fn from(_: Flaw) -> Self {
        Self::NotJson
    }
}

/// The numbers and the `kid` of a JWK.
pub(super) fn parse(jwk: &[u8]) -> Result<(Material, Option<String>), KeyError> {
    const PRIVATE: [&str; 8] = ["d", "dp", "dq", "k", "oth", "p", "q", "qi"];
    let mut found = Members::default();
    json::members(jwk, |name, value| {
        let member = match name {
            b"kty" => &mut found.kty,
            b"crv" => &mut found.crv,
            b"alg" => &mut found.alg,
            b"kid" => &mut found.kid,
            b"use" => &mut found.usage,
            b"key_ops" => &mut found.key_ops,
            b"x" => &mut found.x,
            b"y" => &mut found.y,
            b"n" => &mut found.n,
            b"e" => &mut found.e,
            _ => {
                found.private = found.private.or_else(|| PRIVATE.into_iter().find(|p| p.as_bytes() == name));
                return Ok(());
            }
        };
        *member = Some(value);
        Ok::<(), KeyError>(())
    })?;
    if let Some(private) = found.private {
        return Err(KeyError::Private(private));
    }
    let material = found.material()?;
    found.check_use(material.algorithm())?;
    let id = match found.kid {
        None => None,
        Some(kid) => {
            Some(kid.text().filter(|kid| !kid.is_empty()).ok_or(KeyError::Malformed("kid"))?.into_owned())
        }
    };
    Ok((material, id))
}

impl Members<'_> {
    fn material(&self) -> Result<Material, KeyError> {
        let kty = self.kty.ok_or(KeyError::Missing("kty"))?;
        match (kty.string(), self.crv.map(Value::string)) {
            (Some(b"OKP"), Some(Some(b"Ed25519"))) => Ok(Material::Ed25519 { x: coordinate(self.x, "x")? }),
            (Some(b"EC"), Some(Some(b"P-256"))) => {
                Ok(Material::P256 { x: coordinate(self.x, "x")?, y: coordinate(self.y, "y")? })
            }
            (Some(b"RSA"), None) => Ok(Material::Rsa { n: number(self.n, "n")?, e: number(self.e, "e")? }),
            (Some(b"OKP" | b"EC"), None) => Err(KeyError::Missing("crv")),
            _ => Err(KeyError::UnsupportedType),
        }
    }

    fn check_use(&self, algorithm: Algorithm) -> Result<(), KeyError> {
        if self.alg.is_some_and(|alg| alg.string() != Some(algorithm.as_str().as_bytes())) {
            return Err(KeyError::WrongAlgorithm);
        }
        let for_signatures = self.usage.is_none_or(|usage| usage.string() == Some(b"sig"));
        let verifies = self.key_ops.is_none_or(|ops| ops.texts().is_some_and(|ops| ops == ["verify"]));
        if for_signatures && verifies { Ok(()) } else { Err(KeyError::WrongUse) }
    }
}

fn coordinate(value: Option<Value<'_>>, name: &'static str) -> Result<[u8; 32], KeyError> {
    let text = value.ok_or(KeyError::Missing(name))?.string().ok_or(KeyError::Malformed(name))?;
    base64url::decode_array(text).ok_or(KeyError::Malformed(name))
}

/// A Base64urlUInt (RFC 7518, section 2): no leading zeros.
fn number(value: Option<Value<'_>>, name: &'static str) -> Result<Vec<u8>, KeyError> {
    let text = value.ok_or(KeyError::Missing(name))?.string().ok_or(KeyError::Malformed(name))?;
    base64url::decode(text)
        .filter(|number| number.first().is_some_and(|first| *first != 0))
        .ok_or(KeyError::Malformed(name))
}
