use std::fmt;

/// A signature algorithm that is offered to authenticators, in the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256: every authenticator supports it.
    Es256,
    /// Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256, which is all that TPMs of older Windows machines support.
    Rs256,
    /// ECDSA with P-384 and SHA-384.
    Es384,
}

impl Algorithm {
    /// Every algorithm, the preferred one first.
    pub const ALL: [Self; 4] = [Self::Es256, Self::EdDsa, Self::Rs256, Self::Es384];

    /// The number in the registry of COSE algorithms (RFC 9053, RFC 8812).
    pub const fn cose(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::EdDsa => -8,
            Self::Rs256 => -257,
            Self::Es384 => -35,
        }
    }

    /// The algorithm of this number.
    pub fn from_cose(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.cose() == number)
    }

    /// The name in the registry of COSE algorithms.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Es384 => "ES384",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
