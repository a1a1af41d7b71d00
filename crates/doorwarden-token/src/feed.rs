//! Signed revocation statements: what services that verify access tokens offline fetch, to learn which tokens no longer count.
//!
//! A compact JWS of its own type, [`TYPE`], under the same keys as access tokens; neither passes for the other. It names
//! what was revoked within the last `window` seconds; when that is as long as access tokens live, no valid token is missed.

use crate::json::Value;
use crate::jws::{self, Jws};
use crate::parts::{Parts, members};
use crate::times::{SKEW, Times};
use crate::{KeyPair, KeySet, Part, Refusal};
use serde_json::json;
use uuid::Uuid;

/// The media type of revocation statements, as `typ`. It names the second format: whoever knows only the first, in which a user's entry
/// says less, refuses a statement and does not misread it.
pub const TYPE: &str = "revocations.v2+jwt";

/// The longest statement that is looked at: room for some 50,000 sessions.
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
    /// Users whose tokens that name no session count only if they were issued at or after this time.
    pub users: Vec<(i64, i64)>,
    /// Users none of whose tokens that were issued at or before this time counts, but for those of one session. In the statement they
    /// stand among the users, as entries of three.
    pub all_of: Vec<(i64, i64, Option<Uuid>)>,
    /// No token of anybody that was issued at or before this time counts.
    pub before: Option<i64>,
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

/// The statement, if this issuer made it and it may be relied upon at `now`, give or take 60 seconds between two clocks. Every claim
/// but `before` is required; other claims, and further elements of entries, are skipped, so that later versions can say more.
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

/// What a statement says that one of these keys signed, for whichever issuer and however old: to say what is wrong with it, and never
/// to rely upon it.
///
/// # Errors
/// [`Refusal`]: it is no statement, or none of these keys signed it.
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

/// A session that ended, and when.
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

/// An array of arrays, each as `read` understands it.
fn entries<T>(value: Value<'_>, read: impl Fn(&[Value<'_>]) -> Option<T>) -> Option<Vec<T>> {
    value.elements()?.into_iter().map(|entry| read(&entry.elements()?)).collect()
}
