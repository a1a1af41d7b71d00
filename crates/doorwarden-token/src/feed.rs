//! Signed revocation statements: what services that verify access tokens offline fetch, to learn which tokens no longer count.
//!
//! A compact JWS of its own type, `revocations+jwt`, under the same keys as access tokens; neither passes for the other. It names
//! what was revoked within the last `window` seconds; when that is as long as access tokens live, no valid token is missed.

use crate::json::Value;
use crate::jws::{self, Jws};
use crate::parts::{Parts, members};
use crate::times::{SKEW, Times};
use crate::{KeyPair, KeySet, Part, Refusal};
use serde_json::json;
use uuid::Uuid;

/// The media type of revocation statements, as `typ`.
pub const TYPE: &str = "revocations+jwt";

/// The longest statement that is looked at: room for some 40,000 sessions.
pub const MAX_BYTES: usize = 4 << 20;

/// What was revoked, as far as a token may still be valid. Times are in seconds since 1970 UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statement {
    /// Who says so: the issuer of the tokens.
    pub iss: String,
    /// When it was made.
    pub iat: i64,
    /// Until when it may be relied upon.
    pub exp: i64,
    /// How many seconds it looks back.
    pub window: i64,
    /// Sessions that ended, and when.
    pub sessions: Vec<(Uuid, i64)>,
    /// Users whose tokens count only if they were issued at or after this time.
    pub users: Vec<(i64, i64)>,
    /// The ids (`kid`) of keys that no longer count at all.
    pub keys: Vec<String>,
}

/// Signs a statement.
///
/// ```
/// use doorwarden_token::feed::{self, Statement};
/// use doorwarden_token::{Algorithm, KeyPair, KeySet};
///
/// let pair = KeyPair::generate(Algorithm::EdDsa)?;
/// let statement = Statement {
///     iss: "https://id.example".into(),
///     iat: 1_700_000_000,
///     exp: 1_700_000_030,
///     window: 300,
///     users: vec![(7, 1_699_999_990)],
///     ..Statement::default()
/// };
/// let signed = feed::sign_statement(&pair, &statement);
/// let keys = KeySet::new(vec![pair.public().clone()])?;
/// assert_eq!(feed::verify_statement(&signed, &keys, "https://id.example", 1_700_000_010), Ok(statement));
/// # Ok::<(), doorwarden_token::key::KeyError>(())
/// ```
pub fn sign_statement(key: &KeyPair, statement: &Statement) -> String {
    let claims = json!({
        "iss": statement.iss,
        "iat": statement.iat,
        "exp": statement.exp,
        "window": statement.window,
        "sessions": statement.sessions,
        "users": statement.users,
        "keys": statement.keys,
    });
    jws::sign(key, TYPE, claims.to_string().as_bytes())
}

/// The statement, if this issuer made it and it may be relied upon at `now`, give or take 60 seconds between two clocks. Every claim
/// is required; other claims are skipped, so that later versions can say more.
pub fn verify_statement(signed: &str, keys: &KeySet, issuer: &str, now: i64) -> Result<Statement, Refusal> {
    let jws = Jws::parse_parts(&Parts::of_at_most(MAX_BYTES, signed)?)?;
    if !jws.is_of_type(TYPE) {
        return Err(Refusal::WrongType);
    }
    jws.verify(keys)?;
    let (statement, times) = parse(&jws.payload)?;
    times.check(now, SKEW)?;
    if statement.iss == issuer { Ok(statement) } else { Err(Refusal::WrongIssuer) }
}

fn parse(payload: &[u8]) -> Result<(Statement, Times), Refusal> {
    let mut times = Times::default();
    let (mut iss, mut window, mut sessions, mut users, mut keys) = (None, None, None, None, None);
    members(payload, Part::Payload, |name, value| {
        match name {
            b"iss" => iss = Some(value.text().ok_or(Refusal::BadClaim("iss"))?.into_owned()),
            b"window" => {
                window = Some(value.seconds().filter(|w| *w >= 0).ok_or(Refusal::BadClaim("window"))?);
            }
            b"sessions" => sessions = Some(pairs(value, Value::uuid).ok_or(Refusal::BadClaim("sessions"))?),
            b"users" => users = Some(pairs(value, Value::integer).ok_or(Refusal::BadClaim("users"))?),
            b"keys" => keys = Some(value.texts().ok_or(Refusal::BadClaim("keys"))?),
            _ => _ = times.take(name, value)?,
        }
        Ok(())
    })?;
    let missing = Refusal::MissingClaim;
    let statement = Statement {
        iss: iss.ok_or(missing("iss"))?,
        iat: times.iat.ok_or(missing("iat"))?,
        exp: times.exp.ok_or(missing("exp"))?,
        window: window.ok_or(missing("window"))?,
        sessions: sessions.ok_or(missing("sessions"))?,
        users: users.ok_or(missing("users"))?,
        keys: keys.ok_or(missing("keys"))?,
    };
    Ok((statement, times))
}

/// An array of arrays of two: something that `first` reads, and a time.
fn pairs<'a, T>(value: Value<'a>, first: impl Fn(Value<'a>) -> Option<T>) -> Option<Vec<(T, i64)>> {
    let pair = |value: Value<'a>| match *value.elements()? {
        [one, time] => Some((first(one)?, time.seconds()?)),
        _ => None,
    };
    value.elements()?.into_iter().map(pair).collect()
}
