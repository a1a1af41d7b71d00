//! Signed revocation statements, from which services that verify access tokens offline learn which tokens are
//! no longer valid.
//!
//! A statement is a compact JWS of its own type, [`TYPE`], signed with the same keys as access tokens;
//! neither passes for the other. It lists what was revoked within the last `window` seconds. If the window is
//! as long as the lifetime of access tokens, no revoked token is missed.

use crate::json::Value;
use crate::jws::{self, Jws};
use crate::parts::{Parts, members};
use crate::times::{SKEW, Times};
use crate::{KeyPair, KeySet, Part, Refusal};
use serde_json::json;
use uuid::Uuid;

/// The media type of revocation statements, as `typ`. It names the second format of statements: a verifier
/// that knows only the first, in which the entry of a user says less, refuses a statement instead of
/// misreading it.
pub const TYPE: &str = "revocations.v2+jwt";

/// The maximum length of a statement, in bytes: enough for about 50,000 sessions.
pub const MAX_BYTES: usize = 4 << 20;

/// What was revoked while a token of it may not have expired yet. Times are in seconds since 1970 UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statement {
    /// The issuer of the tokens.
    pub iss: String,
    /// When the statement was issued.
    pub iat: i64,
    /// When the statement expires.
    pub exp: i64,
    /// How far the statement looks back, in seconds.
    pub window: i64,
    /// Sessions that ended, and when each of them ended.
    pub sessions: Vec<(Uuid, i64)>,
    /// Users whose tokens without a session are valid only if issued at or after this time.
    pub users: Vec<(i64, i64)>,
    /// Users whose tokens issued at or before this time are not valid, except those of one session. The
    /// statement lists them among the users, as entries of three elements.
    pub all_of: Vec<(i64, i64, Option<Uuid>)>,
    /// No token issued at or before this time is valid, of any user.
    pub before: Option<i64>,
    /// The ids (`kid`) of revoked keys.
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
    let users = statement.users.iter().map(|user| json!(user));
    let users = users.chain(statement.all_of.iter().map(|user| json!(user)));
    let mut claims = json!({
        "iss": statement.iss,
        "iat": statement.iat,
        "exp": statement.exp,
        "window": statement.window,
        "sessions": statement.sessions,
        "users": users.collect::<Vec<_>>(),
        "keys": statement.keys,
    });
    if let Some(before) = statement.before {
        claims["before"] = before.into();
    }
    jws::sign(key, TYPE, claims.to_string().as_bytes())
}

/// The claims of a statement of this issuer that is valid at `now`, with 60 seconds of leeway. Every claim
/// but `before` is required. Other claims and further elements of entries are ignored, so that later versions
/// can add some.
pub fn verify_statement(signed: &str, keys: &KeySet, issuer: &str, now: i64) -> Result<Statement, Refusal> {
    let jws = Jws::parse_parts(&Parts::of_at_most(MAX_BYTES, signed)?)?;
    if !jws.is_of_type(TYPE) {
        return Err(Refusal::WrongType);
    }
    jws.verify(keys)?;
    let (statement, times) = parse(&jws.payload)?;
    times.check(now, SKEW)?;
    times.check_issued(now)?;
    if statement.iss == issuer { Ok(statement) } else { Err(Refusal::WrongIssuer) }
}

/// The claims of a statement that one of these keys signed, whatever its issuer and age. For diagnostics
/// only: the statement may not be valid.
///
/// # Errors
/// If the text is not a statement, or none of these keys signed it.
pub fn read(signed: &str, keys: &KeySet) -> Result<Statement, Refusal> {
    let jws = Jws::parse_parts(&Parts::of_at_most(MAX_BYTES, signed)?)?;
    if !jws.is_of_type(TYPE) {
        return Err(Refusal::WrongType);
    }
    jws.verify(keys)?;
    parse(&jws.payload).map(|(statement, _)| statement)
}

fn parse(payload: &[u8]) -> Result<(Statement, Times), Refusal> {
    let mut times = Times::default();
    let (mut iss, mut window, mut sessions, mut users, mut keys) = (None, None, None, None, None);
    let mut before = None;
    members(payload, Part::Payload, |name, value| {
        match name {
            b"iss" => iss = Some(value.text().ok_or(Refusal::BadClaim("iss"))?.into_owned()),
            b"window" => {
                window = Some(value.seconds().filter(|w| *w >= 0).ok_or(Refusal::BadClaim("window"))?);
            }
            b"sessions" => sessions = Some(entries(value, session).ok_or(Refusal::BadClaim("sessions"))?),
            b"users" => users = Some(entries(value, user).ok_or(Refusal::BadClaim("users"))?),
            b"before" => before = Some(value.seconds().ok_or(Refusal::BadClaim("before"))?),
            b"keys" => keys = Some(value.texts().ok_or(Refusal::BadClaim("keys"))?),
            _ => _ = times.take(name, value)?,
        }
        Ok(())
    })?;
    let missing = Refusal::MissingClaim;
    let (mut without_session, mut all_of) = (Vec::new(), Vec::new());
    for entry in users.ok_or(missing("users"))? {
        match entry {
            OfUser::WithoutSession(entry) => without_session.push(entry),
            OfUser::All(entry) => all_of.push(entry),
        }
    }
    let statement = Statement {
        iss: iss.ok_or(missing("iss"))?,
        iat: times.iat.ok_or(missing("iat"))?,
        exp: times.exp.ok_or(missing("exp"))?,
        window: window.ok_or(missing("window"))?,
        sessions: sessions.ok_or(missing("sessions"))?,
        users: without_session,
        all_of,
        before,
        keys: keys.ok_or(missing("keys"))?,
    };
    Ok((statement, times))
}

/// An entry of `sessions`: the session, and when it ended.
fn session(entry: &[Value<'_>]) -> Option<(Uuid, i64)> {
    let [id, time, ..] = entry else { return None };
    Some((id.uuid()?, time.seconds()?))
}

/// An entry of `users`.
enum OfUser {
    WithoutSession((i64, i64)),
    All((i64, i64, Option<Uuid>)),
}

fn user(entry: &[Value<'_>]) -> Option<OfUser> {
    let [id, time, rest @ ..] = entry else { return None };
    let (id, time) = (id.integer()?, time.seconds()?);
    Some(match rest.first() {
        None => OfUser::WithoutSession((id, time)),
        Some(kept) if kept.is_null() => OfUser::All((id, time, None)),
        Some(kept) => OfUser::All((id, time, Some(kept.uuid()?))),
    })
}

/// Reads an array of arrays, each with `read`.
fn entries<T>(value: Value<'_>, read: impl Fn(&[Value<'_>]) -> Option<T>) -> Option<Vec<T>> {
    value.elements()?.into_iter().map(|entry| read(&entry.elements()?)).collect()
}
