//! Session tokens: the JSON Web Tokens that a login returns and that every request carries.
//!
//! A JWT signed with HS256 under the secret key itself, so that a Django application with the same
//! `SECRET_KEY` and Doorwarden accept each other's tokens. Header `{"typ":"JWT","alg":"HS256"}`; claims `id`
//! (the user), `exp`, and in Doorwarden's tokens also `iat`, `jti` and `sid`.
//!
//! Verification rules:
//!
//! - The algorithm is HS256 and nothing else, whatever the header says (RFC 8725, section 3.1). `typ` and
//!   `kid` are ignored: libraries differ in what they write there. An access token never passes for a session
//!   token, nor the other way round, because access tokens are never signed with HS256, and session tokens
//!   with nothing else.
//! - `exp` is required and checked without leeway, as in PyJWT: at that second the token is no longer valid.
//! - `exp`, `nbf` and `iat` are JSON numbers. A fraction is truncated, as in PyJWT (RFC 7519 allows one);
//!   beyond ±(2^53 − 1) is refused. `nbf` may not lie in the future. `iat` is checked only in tokens without
//!   `sid`, because a session is more reliable than a clock that may have been set back. It may lie up to 60
//!   seconds in the future, because the token may come from another machine whose clock is ahead; PyJWT
//!   allows no difference.
//! - `aud` must be absent, as PyJWT demands where no audience is expected: a token for another audience is
//!   refused.
//! - Header members that bring a key or change the rules are refused ([`Refusal::ForbiddenHeader`]).
//! - `id` is an integer of 64 bits. Missing or `null` is [`Refusal::NoSubject`], anything else
//!   [`Refusal::BadSubject`].
//! - `jti` must be a string and `sid` a UUID where they are present. A `jti` of another form than
//!   Doorwarden's is read as `None`.
//! - A token without `sid` has no other claims than `id`, `exp`, `iat` and `jti`: applications make tokens
//!   for other purposes, such as a link in an email, with the same key ([`Refusal::OtherPurpose`]; RFC 8725,
//!   section 3.12). In a token with `sid`, which Doorwarden issued, they are ignored. No member may be named
//!   twice, and everything must be valid JSON.

mod ours;

use crate::json::Value;
use crate::mac::Mac;
use crate::parts::{Parts, allowed_header, decoded, members};
use crate::times::Times;
use crate::{Part, Refusal, SecretKey, base64url};
use std::fmt::{self, Write};
use uuid::Uuid;

/// `{"typ":"JWT","alg":"HS256"}`, which Doorwarden and PyJWT 1 write.
const HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9";
/// `{"alg":"HS256","typ":"JWT"}`, which PyJWT 2 writes.
const HEADER_SORTED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";

/// The claims of a session token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionClaims {
    /// The id of the user.
    pub id: i64,
    /// When the token expires, in seconds since 1970 UTC.
    pub exp: i64,
    /// When the token was issued, in seconds since 1970 UTC.
    pub iat: Option<i64>,
    /// The unique id of the token: 16 random bytes, in the token as 22 characters of base64url.
    pub jti: Option<[u8; 16]>,
    /// The session that the token belongs to; `None` for a token of Django.
    pub sid: Option<Uuid>,
}

/// The keys of session tokens: one that signs, and older ones that still verify (Django's
/// `SECRET_KEY_FALLBACKS`).
#[derive(Clone)]
pub struct SessionTokenKeys {
    current: Mac,
    old: Vec<Mac>,
}

impl SessionTokenKeys {
    /// Signs with `current`, verifies also with any of `old`.
    pub fn new(current: &SecretKey, old: &[SecretKey]) -> Self {
        let keyed = |key: &SecretKey| Mac::new(key.expose());
        Self { current: keyed(current), old: old.iter().map(keyed).collect() }
    }

    /// The token with these claims, in the order `id`, `exp`, `iat`, `jti`, `sid`; those that are `None` are
    /// omitted.
    pub fn sign(&self, claims: &SessionClaims) -> String {
        let mut token = String::with_capacity(288);
        token.push_str(HEADER);
        token.push('.');
        base64url::encode_append(claims.to_json().as_bytes(), &mut token);
        let signature = self.current.tag(token.as_bytes());
        token.push('.');
        base64url::encode_append(&signature, &mut token);
        token
    }

    /// The claims of a token that is valid at `now`, in seconds since 1970 UTC. Does not allocate, except for
    /// hostile headers.
    pub fn verify(&self, token: &str, now: i64) -> Result<SessionClaims, Refusal> {
        let parts = Parts::of(token)?;
        if parts.header != HEADER.as_bytes() && parts.header != HEADER_SORTED.as_bytes() {
            decoded(parts.header, Part::Header, check_header)?;
        }
        self.check_signature(&parts)?;
        decoded(parts.payload, Part::Payload, |payload| read_claims(payload, now))
    }

    fn check_signature(&self, parts: &Parts<'_>) -> Result<(), Refusal> {
        let Some(given) = base64url::decode_array::<32>(parts.signature) else {
            return decoded(parts.signature, Part::Signature, |_| Err(Refusal::BadSignature));
        };
        let fits = |key: &Mac| key.fits(parts.signed, &given);
        if fits(&self.current) || self.old.iter().any(fits) { Ok(()) } else { Err(Refusal::BadSignature) }
    }
}

impl fmt::Debug for SessionTokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionTokenKeys(.., {} old)", self.old.len())
    }
}

impl SessionClaims {
    fn to_json(self) -> String {
        let mut json = String::with_capacity(160);
        let mut member = |text: fmt::Arguments<'_>| json.write_fmt(text).expect("a string takes every text");
        member(format_args!("{{\"id\":{},\"exp\":{}", self.id, self.exp));
        if let Some(iat) = self.iat {
            member(format_args!(",\"iat\":{iat}"));
        }
        if let Some(jti) = &self.jti {
            member(format_args!(",\"jti\":\"{}\"", base64url::encode(jti)));
        }
        if let Some(sid) = &self.sid {
            member(format_args!(",\"sid\":\"{sid}\""));
        }
        json.push('}');
        json
    }
}

fn check_header(header: &[u8]) -> Result<(), Refusal> {
    let mut algorithm = None;
    members(header, Part::Header, |name, value| {
        if name == b"alg" {
            algorithm = value.string();
        }
        allowed_header(name)
    })?;
    if algorithm == Some(b"HS256") { Ok(()) } else { Err(Refusal::WrongAlgorithm) }
}

fn read_claims(payload: &[u8], now: i64) -> Result<SessionClaims, Refusal> {
    if let Some(claims) = ours::read(payload) {
        Times { exp: Some(claims.exp), ..Times::default() }.check(now, 0)?;
        return Ok(claims);
    }
    parse_claims(payload, now)
}

fn parse_claims(payload: &[u8], now: i64) -> Result<SessionClaims, Refusal> {
    let mut times = Times::default();
    let (mut id, mut jti, mut sid) = (None, None, None);
    let mut is_of_another_purpose = false;
    members(payload, Part::Payload, |name, value| {
        match name {
            b"id" => id = Some(value),
            b"jti" => jti = read_jti(value)?,
            b"sid" => sid = Some(value.uuid().ok_or(Refusal::BadClaim("sid"))?),
            b"aud" => return Err(Refusal::WrongAudience),
            _ => is_of_another_purpose |= !times.take(name, value)? || name == b"nbf",
        }
        Ok(())
    })?;
    let exp = times.check(now, 0)?;
    let id = match id {
        None => return Err(Refusal::NoSubject),
        Some(id) if id.is_null() => return Err(Refusal::NoSubject),
        Some(id) => id.integer().ok_or(Refusal::BadSubject)?,
    };
    if sid.is_none() {
        if is_of_another_purpose {
            return Err(Refusal::OtherPurpose);
        }
        times.check_issued(now)?;
    }
    Ok(SessionClaims { id, exp, iat: times.iat, jti, sid })
}

fn read_jti(value: Value<'_>) -> Result<Option<[u8; 16]>, Refusal> {
    Ok(base64url::decode_array(value.string().ok_or(Refusal::BadClaim("jti"))?))
}

#[cfg(test)]
mod tests;
