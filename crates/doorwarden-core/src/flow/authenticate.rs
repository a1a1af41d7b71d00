//! Authentication of a request by its token.

use crate::context::Context;
use crate::live::{LEASE, LiveUser, Memory};
use crate::session::SessionId;
use crate::settings::AccessSettings;
use crate::store::StoreError;
use crate::time::Timestamp;
use crate::token::Refusal;
use crate::token::access::AccessClaims;
use crate::token::session::SessionClaims;
use crate::user::{Account, User, UserId};
use std::sync::Arc;

/// The user of a valid token.
#[derive(Debug, Clone)]
pub struct Authenticated {
    user: Arc<LiveUser>,
    session: Option<SessionId>,
    claims: TokenClaims,
}

/// The recipient of a token: an access token is valid only for its audience (RFC 9068, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownTo {
    /// A user's own account: session tokens, and access tokens whose audience is the issuer.
    Account,
    /// The application around this library: also tokens for its own audience ([`AccessSettings::audience`]).
    Application,
    /// An endpoint that judges other services' tokens: tokens of every audience.
    TokenEndpoint,
}

impl ShownTo {
    fn accepts(self, claims: &AccessClaims, settings: &AccessSettings) -> bool {
        let is_for = |audience: &String| claims.aud.contains(audience);
        match self {
            Self::Account => is_for(&settings.issuer),
            Self::Application => is_for(&settings.issuer) || settings.audience().iter().any(is_for),
            Self::TokenEndpoint => true,
        }
    }
}

impl Authenticated {
    /// The user's current state, not a snapshot from when the token was issued.
    pub fn user(&self) -> &User {
        &self.user.account.user
    }

    /// The user's id.
    pub fn id(&self) -> UserId {
        self.user().id
    }

    /// The user with their groups and permissions.
    pub fn account(&self) -> &Account {
        &self.user.account
    }

    /// The user's entry in the live cache.
    pub fn live_user(&self) -> &LiveUser {
        &self.user
    }

    /// Django's `has_perm`; see [`Account::has_perm`].
    pub fn has_perm(&self, permission: &str) -> bool {
        self.account().has_perm(permission)
    }

    /// The session of the token; `None` for a token without a session.
    pub fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// The verified claims of the token.
    pub fn claims(&self) -> &TokenClaims {
        &self.claims
    }

    /// The assurance level that the token states; see [`TokenClaims::acr`].
    pub fn acr(&self) -> Option<&str> {
        self.claims.acr()
    }

    /// Whether the token, which was accepted for another recipient before, is valid here.
    ///
    /// # Errors
    /// [`Refusal::WrongAudience`] if the token is not for this audience.
    pub fn counts_for(&self, shown_to: ShownTo, settings: &AccessSettings) -> Result<(), TokenRefused> {
        match &self.claims {
            TokenClaims::Access(claims) if !shown_to.accepts(claims, settings) => {
                Err(Refusal::WrongAudience.into())
            }
            _ => Ok(()),
        }
    }
}

/// The verified claims of a token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TokenClaims {
    /// A session token.
    Session(SessionClaims),
    /// An access token.
    Access(Arc<AccessClaims>),
}

impl TokenClaims {
    /// When the token expires, in seconds since 1970 UTC: `exp`.
    pub fn exp(&self) -> i64 {
        match self {
            Self::Session(claims) => claims.exp,
            Self::Access(claims) => claims.exp,
        }
    }

    /// When the token was issued, in seconds since 1970 UTC: `iat`. `None` if the token does not say, as
    /// Django's may not.
    pub fn iat(&self) -> Option<i64> {
        match self {
            Self::Session(claims) => claims.iat,
            Self::Access(claims) => Some(claims.iat),
        }
    }

    /// The session that the token belongs to: `sid`.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Session(claims) => claims.sid,
            Self::Access(claims) => claims.sid,
        }
        .map(SessionId)
    }

    /// The assurance level of the user's authentication: `acr` (OpenID Connect Core, section 2). `None` for a
    /// session token: its session in the database has the level.
    pub fn acr(&self) -> Option<&str> {
        match self {
            Self::Session(_) => None,
            Self::Access(claims) => claims.acr.as_deref(),
        }
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRefused {
    /// The token is malformed, expired, forged, or of another kind.
    #[error("{0}")]
    Token(#[from] Refusal),
    /// The token names no user, or one that does not exist.
    #[error("no user matches the token")]
    NoUser,
    /// The user is inactive.
    #[error("the user is inactive")]
    Inactive,
    /// The token's session has ended or expired, or belongs to another user.
    #[error("the session has ended")]
    SessionEnded,
    /// The token names no session, and such tokens are not accepted.
    #[error("the token has no session, and tokens without a session are not accepted")]
    WithoutSession,
    /// The token names no session and was issued before the user's password changed or the user was signed
    /// out, or does not say when it was issued.
    #[error("the token was issued before the user's tokens were revoked")]
    IssuedBefore,
}

impl TokenRefused {
    /// A stable code, in snake case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Token(refusal) => refusal.code(),
            Self::NoUser => "user_not_found",
            Self::Inactive => "user_inactive",
            Self::SessionEnded => "session_ended",
            Self::WithoutSession => "token_without_session",
            Self::IssuedBefore => "token_issued_before",
        }
    }
}

/// Why nobody was authenticated.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AuthenticateError {
    /// The token is refused.
    #[error(transparent)]
    Refused(#[from] TokenRefused),
    /// The database would have to be read, and is not available.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Refusal> for AuthenticateError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal.into())
    }
}

/// Verifies a token and finds its user. What is in the live view is used without reading the database.
///
/// # Errors
/// [`AuthenticateError`] if the token is refused, or the database would have to be read and is not available.
pub async fn authenticate(
    context: &Context,
    token: &str,
    shown_to: ShownTo,
) -> Result<Authenticated, AuthenticateError> {
    let now = context.now();
    let memory = context.live.memory(now);
    let claims = match context.session_keys.verify(token, now.as_seconds()) {
        Ok(claims) => TokenClaims::Session(claims),
        Err(Refusal::NoSubject) => return Err(TokenRefused::NoUser.into()),
        // The header names another algorithm than that of session tokens.
        Err(Refusal::WrongAlgorithm) => {
            if memory.is_none() {
                // The cached keys are not trusted either: one of them may have been revoked.
                context.keys.read_again(context.store.as_ref(), context.clock.as_ref(), LEASE).await?;
            }
            let claims = context.keys.verify(token, now)?;
            if !shown_to.accepts(&claims, &context.settings.access) {
                return Err(Refusal::WrongAudience.into());
            }
            TokenClaims::Access(claims)
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let id = match &claims {
        TokenClaims::Session(claims) => UserId(claims.id),
        TokenClaims::Access(claims) => UserId(claims.id.ok_or(TokenRefused::NoUser)?),
    };
    let session = claims.session();

    let (mut user, memory) = match memory.and_then(|memory| memory.user(id)) {
        Some(user) => (active(user)?, memory),
        // While the database is read, the cache may become stale.
        None => (read_user(context, id).await?, None),
    };
    match session {
        Some(session) if !session_lives(context, memory, session, &user, &claims, now).await? => {
            // If the user has just ended their other sessions, the change of the user may be known here
            // before that of the remaining session, or the other way round.
            context.live.reread(id, session);
            user = read_user(context, id).await?;
            if !session_lives(context, None, session, &user, &claims, now).await? {
                return Err(TokenRefused::SessionEnded.into());
            }
        }
        Some(_) => {}
        None => counts_without_session(context, &user, &claims, now)?,
    }
    Ok(Authenticated { user, session, claims })
}

async fn read_user(context: &Context, id: UserId) -> Result<Arc<LiveUser>, AuthenticateError> {
    Ok(active(context.live.user(id).await?.ok_or(TokenRefused::NoUser)?)?)
}

fn active(user: Arc<LiveUser>) -> Result<Arc<LiveUser>, TokenRefused> {
    if user.account.user.is_active { Ok(user) } else { Err(TokenRefused::Inactive) }
}

/// Whether a session is live and valid for its user; marks it as seen. `false` only if user and session do
/// not go together.
async fn session_lives(
    context: &Context,
    memory: Option<Memory<'_>>,
    id: SessionId,
    user: &LiveUser,
    claims: &TokenClaims,
    now: Timestamp,
) -> Result<bool, AuthenticateError> {
    let session = match memory.and_then(|memory| memory.session(id)) {
        Some(session) => session,
        None => context.live.session(id).await?,
    };
    // An access token's idle time is that of its refresh token.
    let idle = match claims {
        TokenClaims::Session(_) => context.settings.session.idle,
        TokenClaims::Access(_) => None,
    };
    if !session.is_live(now.as_seconds(), idle) {
        return Err(TokenRefused::SessionEnded.into());
    }
    let counts = session.counts_for(&user.account.user);
    if counts {
        context.live.saw(id, session, now.as_seconds());
    }
    Ok(counts)
}

fn counts_without_session(
    context: &Context,
    user: &LiveUser,
    claims: &TokenClaims,
    now: Timestamp,
) -> Result<(), TokenRefused> {
    let issued = match claims {
        TokenClaims::Session(claims) if context.settings.session.without_session.accepts(now) => claims.iat,
        TokenClaims::Session(_) => return Err(TokenRefused::WithoutSession),
        TokenClaims::Access(claims) => Some(claims.iat),
    };
    match (user.account.user.tokens_valid_after, issued) {
        (None, _) => Ok(()),
        (Some(after), Some(issued)) if issued > after.as_seconds() => Ok(()),
        _ => Err(TokenRefused::IssuedBefore),
    }
}
