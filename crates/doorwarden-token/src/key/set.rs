use super::{KeyError, PublicKey};
use crate::json;

/// The public keys that tokens are verified with, each under its own `kid`; what a JWK Set document (RFC
/// 7517, section 5) holds.
///
/// ```
/// use doorwarden_token::{Algorithm, KeyPair, KeySet};
///
/// let pair = KeyPair::generate(Algorithm::Es256)?;
/// let published = KeySet::new(vec![pair.public().clone()])?.to_jwks();
/// let set = KeySet::from_jwks(&published)?;
/// assert_eq!(set.get(pair.id()).map(|key| key.algorithm()), Some(Algorithm::Es256));
/// # Ok::<(), doorwarden_token::key::KeyError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<PublicKey>,
}

impl KeySet {
    /// The maximum number of keys in a set.
    pub const MAX_KEYS: usize = 64;

    /// A set of these keys. Two keys with the same `kid` are refused.
    pub fn new(keys: Vec<PublicKey>) -> Result<Self, KeyError> {
        if keys.len() > Self::MAX_KEYS {
            return Err(KeyError::BadSet);
        }
        let known = |n: usize, id: &str| keys[..n].iter().any(|key| key.id() == id);
        if keys.iter().enumerate().any(|(n, key)| known(n, key.id())) {
            return Err(KeyError::DuplicateKeyId);
        }
        Ok(Self { keys })
    }

    /// Reads a JWK Set document. A set is refused if [`PublicKey::from_jwk`] refuses one of its keys: a
    /// publisher of private, weak or malformed keys cannot be trusted with the others.
    pub fn from_jwks(json: &str) -> Result<Self, KeyError> {
        let mut keys = None;
        json::members(json.as_bytes(), |name, value| {
            if name == b"keys" {
                keys = Some(
                    value.elements().filter(|keys| keys.len() <= Self::MAX_KEYS).ok_or(KeyError::BadSet)?,
                );
            }
            Ok::<(), KeyError>(())
        })?;
        let keys = keys.ok_or(KeyError::BadSet)?;
        let jwk = |raw| std::str::from_utf8(raw).map_err(|_| KeyError::NotJson);
        Self::new(keys.into_iter().map(|key| PublicKey::from_jwk(jwk(key.raw())?)).collect::<Result<_, _>>()?)
    }

    /// The JWK Set document of these keys, in their order.
    pub fn to_jwks(&self) -> String {
        let keys: Vec<_> = self.keys.iter().map(PublicKey::to_jwk).collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    /// The key with this `kid`.
    pub fn get(&self, id: &str) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// The key whose access tokens have exactly this encoded header; `None` does not mean that the header is
    /// invalid.
    pub(crate) fn with_access_header(&self, header: &[u8]) -> Option<&PublicKey> {
        self.keys.iter().find(|key| key.access_header() == Some(header))
    }

    /// Every key.
    pub fn iter(&self) -> std::slice::Iter<'_, PublicKey> {
        self.keys.iter()
    }

    /// The number of keys.
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are no keys, so that no token verifies.
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl<'a> IntoIterator for &'a KeySet {
    type Item = &'a PublicKey;
    type IntoIter = std::slice::Iter<'a, PublicKey>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
