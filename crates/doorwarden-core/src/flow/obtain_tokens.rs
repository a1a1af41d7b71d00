//! Somebody wants an access token and a refresh token.

use super::authenticate::{AuthenticateError, Authenticated, TokenClaims, TokenRefused};
use super::finish::finish;
use super::log_in::{LoggedIn, Login, open_session};
use super::{FlowError, TokenPair};
use crate::audit::Origin;
use crate::authentication::Purpose;
use crate::context::Context;
use crate::refresh;
use crate::settings::AccessSettings;
use crate::store::{Change, Renewal};
use crate::token::Refusal;
use crate::user::{User, UserId};
use std::sync::Arc;

/// Whom an access token is to be for instead of whom the settings name: one or more of
/// [`AccessSettings::resources`](crate::settings::AccessSettings::resources), separated by blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources(pub(super) String);

impl Resources {
    /// Those that were asked for (`resource`, RFC 8707); `None` if there are none.
    ///
    /// # Errors
    /// [`FlowError::InvalidTarget`] if one is not among those that may be asked for.
    pub fn of(settings: &AccessSettings, named: &[String]) -> Result<Option<Self>, FlowError> {
        let mut distinct: Vec<&str> = Vec::with_capacity(named.len());
        for resource in named {
            if !settings.resources.contains(resource) {
                return Err(FlowError::InvalidTarget);
            }
            if !distinct.contains(&resource.as_str()) {
                distinct.push(resource);
            }
        }
        Ok((!distinct.is_empty()).then(|| Self(distinct.join(" "))))
    }
}

/// Logs in with an address and a password and answers with a token pair. Its access tokens are for `audience`, also those that a refresh
/// gives.
///
/// # Errors
/// As [`log_in`](super::log_in::log_in); [`FlowError::Sign`].
pub async fn obtain_tokens(
    context: &Arc<Context>,
    request: Login,
    audience: Option<Resources>,
) -> Result<(User, TokenPair), FlowError> {
    let LoggedIn { user, session } =
        open_session(context, request, |c, user, client| c.new_pair_session(user.id, client, audience))
            .await?;
    let pair = context.token_pair(&session).await?;
    Ok((user, pair))
}

/// A token pair for the session of the article's token, which goes on to count. Each exchange is a rotation: the refresh token is newer
/// than any that the session gave before. The limits of both hold from then on: the session is idle after the shorter of
/// [`refresh_idle`](crate::settings::AccessSettings::refresh_idle) and [`idle`](crate::settings::SessionSettings::idle), and ends after
/// [`refresh_lifetime`](crate::settings::AccessSettings::refresh_lifetime) at the latest. An access token does not do, or it would live
/// longer than it may.
///
/// # Errors
/// [`AuthenticateError::Refused`] if the token is of another kind, names no session, or its session has just ended.
pub async fn exchange_session_token(
    context: &Arc<Context>,
    who: &Authenticated,
    audience: Option<Resources>,
) -> Result<TokenPair, ExchangeError> {
    if !matches!(who.token, TokenClaims::Session(_)) {
        return Err(TokenRefused::Token(Refusal::WrongAlgorithm).into());
    }
    let session = who.session.ok_or(TokenRefused::WithoutSession)?;
    let now = context.now();
    let (pair, own) = (&context.settings.access, &context.settings.session);
    let renewal = Renewal {
        at: now,
        expires_at: now.after(pair.refresh_lifetime),
        idle_seconds: refresh::idle_seconds(
            own.idle.map_or(pair.refresh_idle, |idle| idle.min(pair.refresh_idle)),
        ),
        audience: audience.map(|named| named.0),
    };
    let renewing = Arc::clone(context);
    let renewed = finish(async move {
        let renewed = renewing.store.renew_refresh(session, renewal).await;
        // When it ends may have changed.
        renewing.live.forget(Change::Session(session));
        renewed
    });
    let session = renewed.await.map_err(AuthenticateError::from)?.ok_or(TokenRefused::SessionEnded)?;
    Ok(context.token_pair(&session).await?)
}

/// Why a session token was not exchanged for a pair.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExchangeError {
    /// The token will not do.
    #[error(transparent)]
    Token(#[from] AuthenticateError),
    /// No pair could be made.
    #[error(transparent)]
    Flow(#[from] FlowError),
}

impl From<TokenRefused> for ExchangeError {
    fn from(refused: TokenRefused) -> Self {
        Self::Token(refused.into())
    }
}

/// Opens a session for a user and makes its token pair, without a password: for the application's own ways in. The access tokens say that
/// nobody was authenticated: they have no `amr` and no `auth_time`, and `acr` is `0`.
///
/// # Errors
/// [`FlowError::NotFound`] if the user is gone or inactive.
pub async fn issue_pair(context: &Context, user: UserId, origin: &Origin) -> Result<TokenPair, FlowError> {
    let session = context.new_pair_session(user, origin.client.clone(), None);
    let session = context.open(session, Purpose::Issue, Vec::new(), origin).await?;
    context.token_pair(&session.ok_or(FlowError::NotFound)?).await
}
