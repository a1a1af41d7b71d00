use doorwarden_token::Refusal;

/// Why a token is not accepted. Safe to log: it repeats nothing of the token. A client should learn only whether another token
/// would help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The token itself is wrong: its form, signature, time, issuer or audience.
    #[error(transparent)]
    Token(#[from] Refusal),
    /// Its session has ended: logged out, revoked, or its refresh token was used twice.
    #[error("the session of the token has ended")]
    SessionEnded,
    /// It names no session, and its user's tokens of that time do not count any more.
    #[error("the token was issued before its user's tokens were revoked")]
    IssuedBefore,
    /// The key that signed it was revoked.
    #[error("the key of the token was revoked")]
    KeyRevoked,
    /// The issuer's keys could not be fetched yet. No fault of the token's.
    #[error("the keys of the issuer are not known yet")]
    NoKeys,
    /// Nothing was heard from the revocation feed for longer than the limit, and the policy is to refuse. No fault of the token's.
    #[error("nothing was heard from the revocation feed for too long")]
    Stale,
}

impl Refused {
    /// Whether the fault is the token's (401), and not that nothing can be decided at the moment (503).
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
