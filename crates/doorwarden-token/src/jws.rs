//! The compact JSON Web Signature (RFC 7515, section 7.1) that access tokens and revocation statements are.
//!
//! One strict form: three parts of canonical base64url, a header that is one JSON object without duplicate
//! members, and none of the header members that would change what is verified, how, or with which key.

use crate::parts::{Parts, allowed_header, members};
use crate::{Algorithm, KeyPair, KeySet, Part, PublicKey, Refusal, base64url};

/// A parsed compact JWS. None of it is verified until [`verify`](Self::verify) or
/// [`verify_with`](Self::verify_with) succeeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jws<'a> {
    /// `alg` of the header. It is compared with the algorithm of the key and never selects one.
    pub algorithm: String,
    /// `kid` of the header.
    pub key_id: Option<String>,
    /// `typ` of the header.
    pub typ: Option<String>,
    /// The signed text: header, dot, payload.
    pub signed: &'a [u8],
    /// The decoded payload.
    pub payload: Vec<u8>,
    /// The decoded signature.
    pub signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Parses a token of at most [`Refusal::MAX_TOKEN_BYTES`].
    pub fn parse(token: &'a str) -> Result<Self, Refusal> {
        Self::parse_parts(&Parts::of(token)?)
    }

    pub(crate) fn parse_parts(parts: &Parts<'a>) -> Result<Self, Refusal> {
        let decode = |text, part| base64url::decode(text).ok_or(Refusal::BadBase64(part));
        let header = decode(parts.header, Part::Header)?;
        let (mut algorithm, mut key_id, mut typ) = (None, None, None);
        members(&header, Part::Header, |name, value| {
            match name {
                b"alg" => algorithm = Some(value.text().ok_or(Refusal::WrongAlgorithm)?.into_owned()),
                b"kid" => key_id = Some(value.text().ok_or(Refusal::NoKeyId)?.into_owned()),
                b"typ" => typ = Some(value.text().ok_or(Refusal::WrongType)?.into_owned()),
                _ => allowed_header(name)?,
            }
            Ok(())
        })?;
        Ok(Self {
            algorithm: algorithm.ok_or(Refusal::WrongAlgorithm)?,
            key_id,
            typ,
            signed: parts.signed,
            payload: decode(parts.payload, Part::Payload)?,
            signature: decode(parts.signature, Part::Signature)?,
        })
    }

    /// Whether `typ` is this media type in any case, with or without the prefix `application/` (RFC 7515,
    /// section 4.1.9).
    pub fn is_of_type(&self, expected: &str) -> bool {
        const PREFIX: &str = "application/";
        self.typ.as_deref().is_some_and(|typ| match typ.split_at_checked(PREFIX.len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) => {
                rest.eq_ignore_ascii_case(expected)
            }
            _ => typ.eq_ignore_ascii_case(expected),
        })
    }

    /// Verifies with the key that `kid` names.
    pub fn verify(&self, keys: &KeySet) -> Result<(), Refusal> {
        let id = self.key_id.as_deref().ok_or(Refusal::NoKeyId)?;
        self.verify_with(keys.get(id).ok_or(Refusal::UnknownKey)?)
    }

    /// Verifies with this key, whatever `kid` says. The algorithm must be that of the key.
    pub fn verify_with(&self, key: &PublicKey) -> Result<(), Refusal> {
        if self.algorithm != key.algorithm().as_str() {
            return Err(Refusal::WrongAlgorithm);
        }
        if key.verify(self.signed, &self.signature) { Ok(()) } else { Err(Refusal::BadSignature) }
    }
}

/// The compact JWS of a payload. The header has exactly `alg`, `kid` and `typ`.
pub(crate) fn sign(key: &KeyPair, typ: &str, payload: &[u8]) -> String {
    let mut token = header(key.algorithm(), key.id(), typ);
    token.push('.');
    base64url::encode_append(payload, &mut token);
    let signature = key.sign(token.as_bytes());
    token.push('.');
    base64url::encode_append(&signature, &mut token);
    token
}

/// The encoded header that [`sign`] writes. The id is a thumbprint, which needs no escapes in JSON.
pub(crate) fn header(algorithm: Algorithm, key_id: &str, typ: &str) -> String {
    let json = format!(r#"{{"alg":"{}","kid":"{key_id}","typ":"{typ}"}}"#, algorithm.as_str());
    base64url::encode(json.as_bytes())
}
