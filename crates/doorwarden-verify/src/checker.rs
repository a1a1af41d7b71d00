use crate::revoked::{Now, Revoked};
use crate::{KeyError, Refusal, Refused};
use doorwarden_token::access::{self, AccessClaims, Expect};
use doorwarden_token::jws::Jws;
use doorwarden_token::{KeySet, VerifiedTokens, feed};
use parking_lot::{Mutex, RwLock};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The allowed difference between the clocks of two machines, in seconds.
const SKEW: i64 = Expect::SKEW_SECS as i64;

/// What to do with an otherwise valid token while the revocation feed has been silent for longer than the
/// limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenStale {
    /// Refuse it with [`Refused::Stale`]: the service stops with the feed instead of serving a user who may
    /// have been signed out.
    #[default]
    Refuse,
    /// Accept it: tokens revoked in the meantime are accepted until they expire, minutes later.
    Accept,
}

/// Verifies access tokens with the issuer's key set, revocation statements, and the time ([`Now`], or seconds
/// since 1970 UTC), all of which the caller supplies. Reads no clock, and does no input or output.
///
/// ```
/// use doorwarden_token::access::{self, AccessClaims};
/// use doorwarden_token::feed::{Statement, sign_statement};
/// use doorwarden_token::{Algorithm, KeyPair, KeySet};
/// use doorwarden_verify::{Checker, Refused};
///
/// let pair = KeyPair::generate(Algorithm::EdDsa)?;
/// let jwks = KeySet::new(vec![pair.public().clone()])?.to_jwks();
/// let (issuer, audience, now) = ("https://id.example", "https://api.example", 1_700_000_000);
/// # let session = None;
/// # let token = access::sign(&pair, &AccessClaims {
/// #     iss: issuer.into(), sub: "7".into(), aud: vec![audience.into()], exp: now + 300, iat: now,
/// #     jti: "a1".into(), client_id: "web".into(), id: Some(7), sid: session, ..AccessClaims::default()
/// # })?;
///
/// let checker = Checker::new(issuer, audience);
/// checker.set_keys(&jwks)?;
/// let (iss, exp) = (issuer.into(), now + 30);
/// let statement = Statement { iss, iat: now, exp, window: 300, ..Statement::default() };
/// checker.add_statement(&sign_statement(&pair, &statement), now)?;
/// assert_eq!(checker.verify(&token, now)?.sub, "7");
///
/// let signed_out = Statement { users: vec![(7, now + 1)], ..statement };
/// checker.add_statement(&sign_statement(&pair, &signed_out), now)?;
/// assert_eq!(checker.verify(&token, now), Err(Refused::IssuedBefore));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Checker {
    issuer: String,
    audience: String,
    expect: Expect,
    leeway: i64,
    remembered: usize,
    stale_limit: i64,
    when_stale: WhenStale,
    state: RwLock<Arc<State>>,
    changing: Mutex<()>,
}

#[derive(Clone)]
struct State {
    keys: Arc<Keys>,
    revoked: Arc<Revoked>,
}

/// The issuer's keys, and the tokens verified with them: a change of the keys clears the cache.
struct Keys {
    published: KeySet,
    /// The keys that are not revoked.
    usable: KeySet,
    verified: VerifiedTokens,
}

impl Checker {
    /// The default number of cached tokens, of about 1 KiB each.
    pub const REMEMBERED: usize = 20_000;
    /// The default limit of silence: six of the feed's heartbeats.
    pub const STALE_LIMIT: Duration = Duration::from_secs(30);
    /// The difference between clocks from which it is reported, in seconds.
    pub(crate) const NOTABLE_DIFFERENCE: i64 = 10;

    /// Accepts tokens of exactly this issuer (`iss`) for exactly this audience (`aud`). Knows no keys yet.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        let (issuer, audience) = (issuer.into(), audience.into());
        let keys = Keys::new(KeySet::default(), &Revoked::default(), Self::REMEMBERED);
        Self {
            expect: Expect::new(issuer.clone(), audience.clone()),
            issuer,
            audience,
            leeway: 0,
            remembered: Self::REMEMBERED,
            stale_limit: seconds(Self::STALE_LIMIT),
            when_stale: WhenStale::default(),
            state: RwLock::new(Arc::new(State { keys: Arc::new(keys), revoked: Arc::default() })),
            changing: Mutex::new(()),
        }
    }

    /// Checks `exp` and `nbf` with this many seconds of leeway, at most 60. By default none.
    #[must_use]
    pub fn leeway_secs(mut self, seconds: u32) -> Self {
        self.leeway = i64::from(seconds.min(Expect::MAX_LEEWAY_SECS));
        self.expect = self.expect.leeway_secs(seconds);
        self
    }

    /// The maximum number of cached verified tokens.
    #[must_use]
    pub fn remembered(mut self, tokens: usize) -> Self {
        self.remembered = tokens;
        let keys = Arc::new(Keys::new(KeySet::default(), &Revoked::default(), tokens));
        self.state = RwLock::new(Arc::new(State { keys, revoked: Arc::default() }));
        self
    }

    /// How long the feed may be silent before `policy` applies. The feed has a heartbeat every 5 seconds.
    #[must_use]
    pub fn when_stale(mut self, limit: Duration, policy: WhenStale) -> Self {
        self.stale_limit = seconds(limit);
        self.when_stale = policy;
        self
    }

    /// Replaces the issuer's key set (RFC 7517). `Ok(true)` if it has changed.
    ///
    /// # Errors
    /// If one key is weak, secret or malformed. The previous keys stay in use.
    pub fn set_keys(&self, jwks: &str) -> Result<bool, KeyError> {
        let published = KeySet::from_jwks(jwks)?;
        let _one_at_a_time = self.changing.lock();
        let state = self.state();
        if published.to_jwks() == state.keys.published.to_jwks() {
            return Ok(false);
        }
        let keys = Arc::new(Keys::new(published, &state.revoked, self.remembered));
        *self.state.write() = Arc::new(State { keys, revoked: Arc::clone(&state.revoked) });
        Ok(true)
    }

    /// Adds a signed revocation statement, received at `now`. `Ok(true)` if it revokes a key that was not
    /// revoked before: then fetch the key set again.
    ///
    /// # Errors
    /// If the statement is not of this issuer or has expired. With [`Refusal::UnknownKey`] it may be signed
    /// by a newer key.
    pub fn add_statement(&self, statement: &str, now: impl Into<Now>) -> Result<bool, Refusal> {
        let now = now.into();
        let _one_at_a_time = self.changing.lock();
        let state = self.state();
        let statement = feed::verify_statement(statement, &state.keys.usable, &self.issuer, now.unix_secs)?;
        let revokes_key = statement.keys.iter().any(|kid| !state.revoked.names_key(kid));
        let revoked = Arc::new(state.revoked.and(statement, now));
        let keys = match revokes_key {
            true => Arc::new(Keys::new(state.keys.published.clone(), &revoked, self.remembered)),
            false => Arc::clone(&state.keys),
        };
        *self.state.write() = Arc::new(State { keys, revoked });
        Ok(revokes_key)
    }

    /// The claims of an access token that is valid at `now`.
    ///
    /// # Errors
    /// If the token is not valid, or cannot be verified now. With [`Refusal::UnknownKey`] it may be signed by
    /// a key that was published since [`set_keys`](Self::set_keys).
    pub fn verify(&self, token: &str, now: impl Into<Now>) -> Result<Arc<AccessClaims>, Refused> {
        let now = now.into();
        if token.len() > Refusal::MAX_TOKEN_BYTES {
            return Err(Refusal::TooLong.into());
        }
        let state = self.state();
        let (keys, revoked) = (&state.keys, &state.revoked);
        let digest = VerifiedTokens::digest(token);
        let claims = if let Some(claims) = keys.verified.get(&digest) {
            let judged = self.judge_times(&claims, now.unix_secs).and_then(|()| revoked.check(&claims));
            judged.inspect_err(|_| keys.verified.remove(&digest))?;
            claims
        } else {
            let claims = access::verify(token, &keys.usable, &self.expect, now.unix_secs);
            let claims = Arc::new(claims.map_err(|refusal| state.explain(refusal, token))?);
            revoked.check(&claims)?;
            keys.verified.insert(digest, &claims);
            claims
        };
        if self.when_stale == WhenStale::Refuse && self.is_silent(revoked, now) {
            return Err(Refused::Stale);
        }
        Ok(claims)
    }

    /// When the newest statement was received, in seconds since 1970 UTC.
    pub fn statement_received_at(&self) -> Option<i64> {
        self.state().revoked.received.map(|received| received.unix_secs)
    }

    /// Seconds since the newest statement was received, by the clock that says more; `None` if none was.
    pub fn silence_secs(&self, now: impl Into<Now>) -> Option<i64> {
        self.state().revoked.silence(now.into())
    }

    /// Whether no statement was received for longer than the limit, or the newest one was issued longer ago
    /// than the limit and the allowed clock difference: a statement that arrives late says nothing of the
    /// time since it was issued.
    pub fn is_stale(&self, now: impl Into<Now>) -> bool {
        self.is_silent(&self.state().revoked, now.into())
    }

    /// How many seconds the clock of [`add_statement`](Self::add_statement) was ahead of the issuer's at the
    /// newest statement, including the time in transit.
    pub fn clock_difference_secs(&self) -> Option<i64> {
        let revoked = &self.state().revoked;
        Some(revoked.received?.unix_secs.saturating_sub(revoked.as_of?))
    }

    /// Why a token was refused, for the operator: the expected and the actual value. `None` if the reason is
    /// neither the configuration nor the clocks.
    pub fn explain(&self, refused: Refused, token: &str, now: impl Into<Now>) -> Option<String> {
        let claims = || access::read(token, &self.state().keys.usable).ok();
        match refused {
            Refused::Token(Refusal::WrongAudience) => {
                Some(format!("the audience {:?} was expected, and {:?} came", self.audience, claims()?.aud))
            }
            Refused::Token(Refusal::WrongIssuer) => {
                Some(format!("the issuer {:?} was expected, and {:?} came", self.issuer, claims()?.iss))
            }
            Refused::Token(Refusal::IssuedInFuture) => {
                let ahead = claims()?.iat.saturating_sub(now.into().unix_secs);
                Some(format!("it is of {ahead} s from now: clocks differ by that or more"))
            }
            Refused::Token(refusal @ (Refusal::Expired | Refusal::NotYetValid)) => {
                let difference =
                    self.clock_difference_secs().filter(|secs| secs.abs() > Self::NOTABLE_DIFFERENCE)?;
                Some(format!("{refusal}: clocks differ by about {} s", difference.abs()))
            }
            _ => None,
        }
    }

    /// Why a statement was refused, for the operator, like [`explain`](Self::explain).
    pub fn explain_statement(
        &self,
        refusal: Refusal,
        statement: &str,
        now: impl Into<Now>,
    ) -> Option<String> {
        let said = || feed::read(statement, &self.state().keys.usable).ok();
        match refusal {
            Refusal::WrongIssuer => {
                Some(format!("the issuer {:?} was expected, and {:?} came", self.issuer, said()?.iss))
            }
            Refusal::Expired | Refusal::IssuedInFuture => {
                let difference = now.into().unix_secs.saturating_sub(said()?.iat).abs();
                Some(format!("clocks differ by {difference} s, or it came late"))
            }
            _ => None,
        }
    }

    /// Whether there are keys.
    pub fn has_keys(&self) -> bool {
        !self.state().keys.published.is_empty()
    }

    fn judge_times(&self, claims: &AccessClaims, now: i64) -> Result<(), Refused> {
        if now >= claims.exp.saturating_add(self.leeway) {
            Err(Refusal::Expired.into())
        } else if claims.iat > now.saturating_add(SKEW) {
            Err(Refusal::IssuedInFuture.into())
        } else {
            Ok(())
        }
    }

    fn is_silent(&self, revoked: &Revoked, now: Now) -> bool {
        let is_old = |as_of| now.unix_secs.saturating_sub(as_of) > self.stale_limit.saturating_add(SKEW);
        revoked.silence(now).is_none_or(|silence| silence > self.stale_limit)
            || revoked.as_of.is_some_and(is_old)
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read())
    }
}

impl State {
    /// An unknown key may have been revoked, or there may be no keys yet.
    fn explain(&self, refusal: Refusal, token: &str) -> Refused {
        if refusal != Refusal::UnknownKey {
            return refusal.into();
        }
        if self.keys.published.is_empty() {
            return Refused::NoKeys;
        }
        let kid = Jws::parse(token).ok().and_then(|jws| jws.key_id);
        match kid.is_some_and(|kid| self.revoked.names_key(&kid)) {
            true => Refused::KeyRevoked,
            false => refusal.into(),
        }
    }
}

impl Keys {
    fn new(published: KeySet, revoked: &Revoked, remembered: usize) -> Self {
        let usable = published.iter().filter(|key| !revoked.names_key(key.id())).cloned().collect();
        let usable = KeySet::new(usable).expect("a part of a set is a set");
        Self { published, usable, verified: VerifiedTokens::new(remembered) }
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Checker")
            .field("issuer", &self.issuer)
            .field("keys", &state.keys.usable.len())
            .field("revoked_keys", &state.revoked.key_count())
            .field("received", &state.revoked.received)
            .finish_non_exhaustive()
    }
}
