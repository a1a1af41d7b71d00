//! Access tokens: JSON Web Tokens of RFC 9068 (`typ: at+jwt`) for services that verify offline with published
//! keys.
//!
//! Verification rules, besides the strict form of a [`Jws`]:
//!
//! - `typ` must be `at+jwt` (RFC 9068, section 4): no other token signed with the same key passes for an
//!   access token.
//! - `kid` must name a key of the set, and the algorithm is that of the key (RFC 8725, section 3.1).
//! - `iss` is compared exactly; `aud` is a string or an array of strings and must contain one of the expected
//!   audiences exactly.
//! - `exp` and `nbf` are judged with at most 60 seconds of leeway; `iat` may lie up to 60 seconds in the
//!   future.
//! - `iss`, `sub`, `aud`, `exp`, `iat`, `jti` and `client_id` are required. A claim of the wrong type is
//!   refused, never treated as absent.

use crate::json::Value;
use crate::jws::{self, Jws};
use crate::parts::{Parts, decoded, members};
use crate::times::Times;
use crate::{KeyPair, KeySet, Part, Refusal};
use serde::ser::{SerializeMap, Serializer};
use serde_json::Map;
use uuid::Uuid;

/// The media type of access tokens, as `typ`.
pub const TYPE: &str = "at+jwt";

/// The maximum length of a signed token, in bytes: intermediaries commonly limit a header line to 8 KiB,
/// which holds more than the token.
pub const MAX_BYTES: usize = 4096;

/// The claims that are not read from [`AccessClaims::extra`].
const NAMES: [&str; 13] =
    ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "id", "sid", "amr", "auth_time", "acr"];

/// The claims of an access token (RFC 9068, section 2.2). Times are in seconds since 1970 UTC.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccessClaims {
    /// The issuer, as a URL.
    pub iss: String,
    /// The subject: the id of the user, as text.
    pub sub: String,
    /// The audiences.
    pub aud: Vec<String>,
    /// When the token expires.
    pub exp: i64,
    /// When the token was issued.
    pub iat: i64,
    /// The unique id of the token.
    pub jti: String,
    /// The client that the token was issued to.
    pub client_id: String,
    /// The id of the user as a number, as in session tokens.
    pub id: Option<i64>,
    /// The session that the token belongs to.
    pub sid: Option<Uuid>,
    /// The methods by which the user was authenticated (RFC 8176); omitted if empty.
    pub amr: Vec<String>,
    /// When the user was authenticated.
    pub auth_time: Option<i64>,
    /// The assurance level of the authentication.
    pub acr: Option<String>,
    /// All other claims. `nbf` and the claims above are neither written from nor read into this map.
    pub extra: Map<String, serde_json::Value>,
}

/// An access token would be longer than [`MAX_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the access token would have {bytes} bytes, more than {MAX_BYTES}")]
pub struct TooLarge {
    /// The length that the token would have.
    pub bytes: usize,
}

/// Signs an access token.
///
/// ```
/// use doorwarden_token::access::{self, AccessClaims, Expect};
/// use doorwarden_token::{Algorithm, KeyPair, KeySet};
///
/// let pair = KeyPair::generate(Algorithm::EdDsa)?;
/// let claims = AccessClaims {
///     iss: "https://id.example".into(),
///     sub: "7".into(),
///     aud: vec!["https://api.example".into()],
///     exp: 1_700_000_300,
///     iat: 1_700_000_000,
///     jti: "a1".into(),
///     client_id: "web".into(),
///     ..AccessClaims::default()
/// };
/// let token = access::sign(&pair, &claims)?;
///
/// let keys = KeySet::new(vec![pair.public().clone()])?;
/// let expect = Expect::new("https://id.example", "https://api.example");
/// assert_eq!(access::verify(&token, &keys, &expect, 1_700_000_100), Ok(claims));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sign(key: &KeyPair, claims: &AccessClaims) -> Result<String, TooLarge> {
    let token = jws::sign(key, TYPE, &claims.to_json());
    if token.len() > MAX_BYTES { Err(TooLarge { bytes: token.len() }) } else { Ok(token) }
}

/// The issuer, the audiences and the leeway that a service accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    issuer: String,
    audiences: Vec<String>,
    leeway: i64,
}

impl Expect {
    /// The maximum leeway, in seconds.
    pub const MAX_LEEWAY_SECS: u32 = 60;
    /// The allowed difference between the clocks of two machines, in seconds: `iat` may lie this far in the
    /// future.
    pub const SKEW_SECS: u32 = 60;

    /// Accepts exactly this issuer and this audience, without leeway.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), audiences: vec![audience.into()], leeway: 0 }
    }

    /// Also accepts this audience: a token must be for at least one of them.
    #[must_use]
    pub fn or_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Checks `exp` and `nbf` with this many seconds of leeway, at most [`Self::MAX_LEEWAY_SECS`].
    #[must_use]
    pub fn leeway_secs(mut self, seconds: u32) -> Self {
        self.leeway = i64::from(seconds.min(Self::MAX_LEEWAY_SECS));
        self
    }
}

/// The claims of an access token that is valid at `now`, in seconds since 1970 UTC.
pub fn verify(token: &str, keys: &KeySet, expect: &Expect, now: i64) -> Result<AccessClaims, Refusal> {
    let parts = Parts::of(token)?;
    // The usual header need not be parsed: the key and the type that it names are known.
    if let Some(key) = keys.with_access_header(parts.header) {
        return decoded(parts.payload, Part::Payload, |payload| {
            decoded(parts.signature, Part::Signature, |signature| {
                match key.verify(parts.signed, signature) {
                    true => Ok(()),
                    false => Err(Refusal::BadSignature),
                }
            })?;
            judge(payload, expect, now)
        });
    }
    let jws = Jws::parse_parts(&parts)?;
    if !jws.is_of_type(TYPE) {
        return Err(Refusal::WrongType);
    }
    jws.verify(keys)?;
    judge(&jws.payload, expect, now)
}

/// The claims of an access token that one of these keys signed, whatever its issuer, audience and age. For
/// diagnostics only: the token may not be valid.
///
/// # Errors
/// If the text is not an access token, or none of these keys signed it.
pub fn read(token: &str, keys: &KeySet) -> Result<AccessClaims, Refusal> {
    let jws = Jws::parse(token)?;
    if !jws.is_of_type(TYPE) {
        return Err(Refusal::WrongType);
    }
    jws.verify(keys)?;
    AccessClaims::parse(&jws.payload).map(|(claims, _)| claims)
}

/// The checks that follow a valid signature.
fn judge(payload: &[u8], expect: &Expect, now: i64) -> Result<AccessClaims, Refusal> {
    let (claims, times) = AccessClaims::parse(payload)?;
    times.check(now, expect.leeway)?;
    times.check_issued(now)?;
    if claims.iss != expect.issuer {
        return Err(Refusal::WrongIssuer);
    }
    if !claims.aud.iter().any(|audience| expect.audiences.contains(audience)) {
        return Err(Refusal::WrongAudience);
    }
    Ok(claims)
}

impl AccessClaims {
    fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(512);
        self.write(&mut serde_json::Serializer::new(&mut json)).expect("claims are JSON");
        json
    }

    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut claims = to.serialize_map(None)?;
        claims.serialize_entry("iss", &self.iss)?;
        claims.serialize_entry("sub", &self.sub)?;
        match &*self.aud {
            [aud] => claims.serialize_entry("aud", aud)?,
            aud => claims.serialize_entry("aud", aud)?,
        }
        claims.serialize_entry("exp", &self.exp)?;
        claims.serialize_entry("iat", &self.iat)?;
        claims.serialize_entry("jti", &self.jti)?;
        claims.serialize_entry("client_id", &self.client_id)?;
        if let Some(id) = self.id {
            claims.serialize_entry("id", &id)?;
        }
        if let Some(sid) = &self.sid {
            claims.serialize_entry("sid", sid)?;
        }
        if !self.amr.is_empty() {
            claims.serialize_entry("amr", &self.amr)?;
        }
        if let Some(auth_time) = self.auth_time {
            claims.serialize_entry("auth_time", &auth_time)?;
        }
        if let Some(acr) = &self.acr {
            claims.serialize_entry("acr", acr)?;
        }
        for (name, value) in self.extra.iter().filter(|(name, _)| !NAMES.contains(&name.as_str())) {
            claims.serialize_entry(name, value)?;
        }
        claims.end()
    }

    fn parse(payload: &[u8]) -> Result<(Self, Times), Refusal> {
        let mut times = Times::default();
        let mut claims = Self::default();
        let (mut iss, mut sub, mut aud, mut jti, mut client_id) = (None, None, None, None, None);
        members(payload, Part::Payload, |name, value| {
            match name {
                b"iss" => iss = Some(text(value, "iss")?),
                b"sub" => sub = Some(text(value, "sub")?),
                b"aud" => aud = Some(read_audience(value)?),
                b"jti" => jti = Some(text(value, "jti")?),
                b"client_id" => client_id = Some(text(value, "client_id")?),
                b"id" => claims.id = Some(value.integer().ok_or(Refusal::BadSubject)?),
                b"sid" => claims.sid = Some(value.uuid().ok_or(Refusal::BadClaim("sid"))?),
                b"amr" => claims.amr = value.texts().ok_or(Refusal::BadClaim("amr"))?,
                b"auth_time" => {
                    claims.auth_time = Some(value.seconds().ok_or(Refusal::BadClaim("auth_time"))?);
                }
                b"acr" => claims.acr = Some(text(value, "acr")?),
                _ if times.take(name, value)? => {}
                _ => _ = claims.extra.insert(String::from_utf8_lossy(name).into_owned(), read_extra(value)?),
            }
            Ok(())
        })?;
        let required = |claim: Option<String>, name| claim.ok_or(Refusal::MissingClaim(name));
        claims.iss = required(iss, "iss")?;
        claims.sub = required(sub, "sub")?;
        claims.aud = aud.ok_or(Refusal::MissingClaim("aud"))?;
        claims.jti = required(jti, "jti")?;
        claims.client_id = required(client_id, "client_id")?;
        claims.exp = times.exp.ok_or(Refusal::MissingClaim("exp"))?;
        claims.iat = times.iat.ok_or(Refusal::MissingClaim("iat"))?;
        Ok((claims, times))
    }
}

fn text(value: Value<'_>, name: &'static str) -> Result<String, Refusal> {
    value.text().map(Into::into).ok_or(Refusal::BadClaim(name))
}

fn read_audience(value: Value<'_>) -> Result<Vec<String>, Refusal> {
    let one = value.text().map(|audience| vec![audience.into_owned()]);
    one.or_else(|| value.texts()).ok_or(Refusal::BadClaim("aud"))
}

fn read_extra(value: Value<'_>) -> Result<serde_json::Value, Refusal> {
    // The only JSON that reaches this line and does not parse is a number outside the range of `serde_json`.
    serde_json::from_slice(value.raw()).map_err(|_| Refusal::BadJson(Part::Payload))
}
