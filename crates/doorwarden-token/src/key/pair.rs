use super::jwk::Material;
use super::{Algorithm, KeyError, PublicKey, rsa};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use std::fmt;
use zeroize::Zeroizing;

/// A private key that signs, with its public key. Its id is the thumbprint of the public key (RFC 7638), so
/// that the same key has the same `kid` everywhere. `Debug` shows only the algorithm and the id.
///
/// ```
/// use doorwarden_token::{Algorithm, KeyPair};
///
/// let pair = KeyPair::generate(Algorithm::EdDsa)?;
/// let again = KeyPair::from_pkcs8(Algorithm::EdDsa, &pair.to_pkcs8())?;
/// assert_eq!(pair.id(), again.id());
/// assert!(again.public().verify(b"message", &pair.sign(b"message")));
/// # Ok::<(), doorwarden_token::key::KeyError>(())
/// ```
pub struct KeyPair {
    private: Private,
    public: PublicKey,
}

enum Private {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl KeyPair {
    /// Generates a key with randomness of the operating system. An RSA key has 3072 bits and takes up to a
    /// second.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        Self::new(
            match algorithm {
                Algorithm::EdDsa => Ed25519KeyPair::generate().map(Private::Ed25519),
                Algorithm::Es256 => {
                    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Private::P256)
                }
                Algorithm::Rs256 => RsaKeyPair::generate(KeySize::Rsa3072).map(Private::Rsa),
            }
            .map_err(|_| KeyError::Generation)?,
        )
    }

    /// The Ed25519 key of 32 random bytes (RFC 8032, section 5.1.5).
    pub fn ed25519(seed: &[u8; 32]) -> Result<Self, KeyError> {
        Self::new(Private::Ed25519(
            Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Generation)?,
        ))
    }

    /// Reads PKCS#8 in DER (RFC 5208, RFC 5958). Refuses weak RSA keys.
    pub fn from_pkcs8(algorithm: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        Self::new(
            match algorithm {
                Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Private::Ed25519),
                Algorithm::Es256 => {
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Private::P256)
                }
                Algorithm::Rs256 => RsaKeyPair::from_pkcs8(der).map(Private::Rsa),
            }
            .map_err(|_| KeyError::BadPkcs8)?,
        )
    }

    fn new(private: Private) -> Result<Self, KeyError> {
        let material = private.public_material().ok_or(KeyError::BadPkcs8)?;
        Ok(Self { private, public: PublicKey::new(material, None)? })
    }

    /// The key in PKCS#8, version 1 (RFC 5208), in DER. Seal it before storing it.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        const REASON: &str = "a key that signs can be encoded";
        Zeroizing::new(match &self.private {
            Private::Ed25519(pair) => pair.to_pkcs8v1().expect(REASON).as_ref().to_vec(),
            Private::P256(pair) => pair.to_pkcs8v1().expect(REASON).as_ref().to_vec(),
            Private::Rsa(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(pair).expect(REASON).as_ref().to_vec(),
        })
    }

    /// The public key.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The `kid`: the thumbprint of the public key.
    pub fn id(&self) -> &str {
        self.public.id()
    }

    /// The only algorithm that this key signs with.
    pub const fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// The signature of a message. The randomness that ES256 needs comes from the cryptographic library.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        const REASON: &str = "a valid key signs every message";
        match &self.private {
            Private::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Private::P256(pair) => pair.sign(&SystemRandom::new(), message).expect(REASON).as_ref().to_vec(),
            Private::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).expect(REASON);
                signature
            }
        }
    }
}

impl Private {
    fn public_material(&self) -> Option<Material> {
        match self {
            Self::Ed25519(pair) => Some(Material::Ed25519 { x: pair.public_key().as_ref().try_into().ok()? }),
            Self::P256(pair) => {
                let (&[4], point) = pair.public_key().as_ref().split_first_chunk()? else { return None };
                let (x, y) = point.split_first_chunk()?;
                Some(Material::P256 { x: *x, y: y.try_into().ok()? })
            }
            Self::Rsa(pair) => {
                let (n, e) = rsa::components(pair.public_key().as_ref())?;
                Some(Material::Rsa { n: n.to_vec(), e: e.to_vec() })
            }
        }
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({} {:?}, ..)", self.algorithm().as_str(), self.id())
    }
}
