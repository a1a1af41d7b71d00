use std::fmt;

/// Why a token is refused: one closed list for every kind of token.
///
/// The text names the reason precisely, for an operator who asks what is wrong with a token. It never repeats
/// anything of the token itself, so it is safe to log. Do not send the text to clients: an honest client does
/// not need it, and it helps an attacker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Longer than [`Refusal::MAX_TOKEN_BYTES`], or a statement longer than
    /// [`feed::MAX_BYTES`](crate::feed::MAX_BYTES). The token was not parsed.
    #[error("the token is too long")]
    TooLong,
    /// Not three parts with two dots between them: unsigned, encrypted (five parts), or no JWS at all.
    #[error("the token is not three parts separated by dots")]
    NotThreeParts,
    /// A part is not base64url without padding in its one canonical spelling (RFC 7515, section 2; RFC 4648,
    /// section 3.5).
    #[error("the {0} is not canonical base64url without padding")]
    BadBase64(Part),
    /// A part is not one JSON object, or is not valid JSON, or is nested deeper than [`Refusal::MAX_DEPTH`].
    #[error("the {0} is not one JSON object")]
    BadJson(Part),
    /// A part names a member twice, in the same or in another spelling (RFC 7515, section 4; RFC 7519,
    /// section 4).
    #[error("the {0} has the same member twice")]
    DuplicateMember(Part),
    /// A part has more than [`Refusal::MAX_MEMBERS`] members.
    #[error("the {0} has more than {max} members", max = Self::MAX_MEMBERS)]
    TooManyMembers(Part),
    /// The header names no algorithm, or one that is not that of the key.
    #[error("the algorithm is missing or not the one of the key")]
    WrongAlgorithm,
    /// The header's `typ` is not that of this kind of token.
    #[error("the type of the token (typ) is missing or not the expected one")]
    WrongType,
    /// A header member that is never allowed: `crit`, `b64`, `zip`, a key or the address of one, and their
    /// like.
    #[error("the header has the member {0:?}, which is not allowed")]
    ForbiddenHeader(&'static str),
    /// The header has no `kid`, or one that is not a string.
    #[error("the header names no key (kid)")]
    NoKeyId,
    /// The header's `kid` names no key of the set.
    #[error("the header names a key (kid) that is not known")]
    UnknownKey,
    /// The signature does not verify with the key.
    #[error("the signature is wrong")]
    BadSignature,
    /// A required claim is missing.
    #[error("the claim {0:?} is missing")]
    MissingClaim(&'static str),
    /// A claim has the wrong type or a value out of its range.
    #[error("the claim {0:?} has the wrong type or an impossible value")]
    BadClaim(&'static str),
    /// The current time is at or after `exp`.
    #[error("the token has expired (exp)")]
    Expired,
    /// The current time is before `nbf`.
    #[error("the token is not valid yet (nbf)")]
    NotYetValid,
    /// `iat` lies further in the future than clocks may differ.
    #[error("the token was issued in the future (iat)")]
    IssuedInFuture,
    /// `iss` is not the expected issuer.
    #[error("the issuer (iss) is not the expected one")]
    WrongIssuer,
    /// `aud` does not contain the expected audience, or is present although none is expected.
    #[error("the audience (aud) is not the expected one")]
    WrongAudience,
    /// A session token without `sid` that has claims of a token for another purpose.
    #[error(
        "the token names no session and has other claims than id, exp, iat and jti: it was made for another purpose"
    )]
    OtherPurpose,
    /// A session token without `id`, or with `null`: it names no user.
    #[error("the token names no user (id)")]
    NoSubject,
    /// A session token whose `id` is not an integer of 64 bits.
    #[error("the token names a user (id) by something that is not an integer of 64 bits")]
    BadSubject,
    /// Not the form of a refresh token.
    #[error("not a refresh token: it does not have the form dwr_ and 64 characters of base64url")]
    NotRefreshToken,
}

impl Refusal {
    /// The maximum length of a token, in bytes.
    pub const MAX_TOKEN_BYTES: usize = 8192;
    /// The maximum number of members of a header or payload.
    pub const MAX_MEMBERS: usize = 32;
    /// The maximum nesting of arrays and objects inside a header or payload.
    pub const MAX_DEPTH: usize = 32;

    /// The reason as a stable word, for logs, metrics and audit records.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::NotThreeParts => "not_three_parts",
            Self::BadBase64(_) => "bad_base64",
            Self::BadJson(_) => "bad_json",
            Self::DuplicateMember(_) => "duplicate_member",
            Self::TooManyMembers(_) => "too_many_members",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::WrongType => "wrong_type",
            Self::ForbiddenHeader(_) => "forbidden_header",
            Self::NoKeyId => "no_key_id",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::MissingClaim(_) => "missing_claim",
            Self::BadClaim(_) => "bad_claim",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::OtherPurpose => "other_purpose",
            Self::NoSubject => "no_subject",
            Self::BadSubject => "bad_subject",
            Self::NotRefreshToken => "not_refresh_token",
        }
    }
}

/// A part of a compact JWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The first: the JOSE header.
    Header,
    /// The second: the claims.
    Payload,
    /// The third.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
        })
    }
}
