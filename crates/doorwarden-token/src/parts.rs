use crate::json::{self, Flaw, Value};
use crate::{Part, Refusal, base64url};
use memchr::memchr;

/// The three parts of a compact JWS (RFC 7515, section 7.1), not decoded yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) header: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) signature: &'a [u8],
    /// The signed text: header, dot, payload.
    pub(crate) signed: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(crate) fn of(token: &'a str) -> Result<Self, Refusal> {
        Self::of_at_most(Refusal::MAX_TOKEN_BYTES, token)
    }

    pub(crate) fn of_at_most(max: usize, token: &'a str) -> Result<Self, Refusal> {
        let token = token.as_bytes();
        if token.len() > max {
            return Err(Refusal::TooLong);
        }
        let first = memchr(b'.', token).ok_or(Refusal::NotThreeParts)?;
        let (header, rest) = (&token[..first], &token[first + 1..]);
        let second = memchr(b'.', rest).ok_or(Refusal::NotThreeParts)?;
        let (payload, signature) = (&rest[..second], &rest[second + 1..]);
        if memchr(b'.', signature).is_some() {
            return Err(Refusal::NotThreeParts);
        }
        Ok(Self { header, payload, signature, signed: &token[..first + 1 + second] })
    }
}

/// Calls `read` with the decoded bytes of a part; they are on the stack, short ones in a small buffer that is
/// cheap to clear.
pub(crate) fn decoded<T>(
    text: &[u8],
    part: Part,
    read: impl FnOnce(&[u8]) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    const SHORT: usize = 384;
    if text.len() <= SHORT / 3 * 4 {
        let mut buffer = [0; SHORT];
        read(base64url::decode_into(text, &mut buffer).ok_or(Refusal::BadBase64(part))?)
    } else {
        let mut buffer = [0; Refusal::MAX_TOKEN_BYTES];
        read(base64url::decode_into(text, &mut buffer).ok_or(Refusal::BadBase64(part))?)
    }
}

/// Reads the members of a header or payload; see [`json::members`].
pub(crate) fn members<'a>(
    text: &'a [u8],
    part: Part,
    mut member: impl FnMut(&[u8], Value<'a>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut refused = None;
    let scanned = json::members(text, |name, value| {
        member(name, value).map_err(|refusal| {
            refused = Some(refusal);
            Flaw::Syntax
        })
    });
    scanned.map_err(|flaw| {
        refused.unwrap_or(match flaw {
            Flaw::Syntax => Refusal::BadJson(part),
            Flaw::Duplicate => Refusal::DuplicateMember(part),
            Flaw::TooMany => Refusal::TooManyMembers(part),
        })
    })
}

/// Refuses header members that could change what is verified, or how, or with which key. None of them is
/// supported: `crit` and `b64` (RFC 7797) change the rules, `zip`, `enc` and `cty` announce something other
/// than plain claims, the others supply a key (RFC 8725, section 3.10).
pub(crate) fn allowed_header(name: &[u8]) -> Result<(), Refusal> {
    const FORBIDDEN: [&str; 11] =
        ["b64", "crit", "cty", "enc", "jku", "jwk", "x5c", "x5t", "x5t#S256", "x5u", "zip"];
    match FORBIDDEN.into_iter().find(|forbidden| forbidden.as_bytes() == name) {
        Some(forbidden) => Err(Refusal::ForbiddenHeader(forbidden)),
        None => Ok(()),
    }
}
