//! The claims exactly as [`SessionTokenKeys::sign`](super::SessionTokenKeys::sign) writes them, read without
//! a JSON parser. Most tokens have this form, and reading it takes a fifth of the time. Every other form is
//! left to the parser, so that this module never refuses a token.

use super::SessionClaims;
use crate::base64url;
use uuid::Uuid;

/// The claims, if all are present in the order and spelling of `sign`.
pub(super) fn read(payload: &[u8]) -> Option<SessionClaims> {
    let (id, rest) = integer(payload.strip_prefix(b"{\"id\":")?)?;
    let (exp, rest) = integer(rest.strip_prefix(b",\"exp\":")?)?;
    let (iat, rest) = integer(rest.strip_prefix(b",\"iat\":")?)?;
    let (jti, rest) = rest.strip_prefix(b",\"jti\":\"")?.split_first_chunk::<22>()?;
    let (sid, rest) = rest.strip_prefix(b"\",\"sid\":\"")?.split_first_chunk::<36>()?;
    if rest != b"\"}" {
        return None;
    }
    let jti = base64url::decode_array(jti)?;
    let sid = Uuid::try_parse_ascii(sid).ok()?;
    Some(SessionClaims { id, exp, iat: Some(iat), jti: Some(jti), sid: Some(sid) })
}

/// A positive integer of at most 15 digits (so below 2^53) and what follows it.
fn integer(text: &[u8]) -> Option<(i64, &[u8])> {
    let mut value = 0;
    let mut digits = 0;
    while let Some(digit @ b'0'..=b'9') = text.get(digits) {
        value = value * 10 + i64::from(digit - b'0');
        digits += 1;
        if digits > 15 {
            return None;
        }
    }
    (digits > 0 && text[0] != b'0').then(|| (value, &text[digits..]))
}
