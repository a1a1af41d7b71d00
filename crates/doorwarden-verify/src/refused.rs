use doorwarden_token::Refusal;

/// Why a token is not accepted. Safe to log: it repeats nothing of the token. Tell clients only whether
/// another token would help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The token itself is wrong: its form, signature, time, issuer or audience.
    #[error(transparent)]
    Token(#[from] Refusal),
    /// The session of the token has ended: by logout, revocation, or a refresh token used twice.
    #[error("the session of the token has ended")]
    SessionEnded,
    /// The token has no session, and its user's tokens of that time were revoked.
    #[error("the token was issued before its user's tokens were revoked")]
    IssuedBefore,
    /// The key that signed the token was revoked.
    #[error("the key of the token was revoked")]
    KeyRevoked,
    /// The issuer's keys could not be fetched yet. The token may be valid.
    #[error("the keys of the issuer are not known yet")]
    NoKeys,
    /// The revocation feed has been silent for longer than the limit, and the policy is to refuse. The token
    /// may be valid.
    #[error("the revocation feed has been silent for too long")]
    Stale,
}

impl Refused {
    /// Whether the token is not valid (401). Otherwise no token can be verified at the moment (503).
    pub const fn is_fault_of_token(self) -> bool {
        !matches!(self, Self::NoKeys | Self::Stale)
    }

    /// The reason as a stable word, for logs, metrics and audit records.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Token(refusal) => refusal.code(),
            Self::SessionEnded => "session_ended",
            Self::IssuedBefore => "issued_before",
            Self::KeyRevoked => "key_revoked",
            Self::NoKeys => "no_keys",
            Self::Stale => "stale",
        }
    }
}
