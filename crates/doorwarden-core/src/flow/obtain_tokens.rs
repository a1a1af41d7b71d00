//! Token pairs: by a password login, or in exchange for a session token.

use super::authenticate::{Authenticated, TokenClaims, TokenRefused};
use super::finish::finish;
use super::log_in::{LoggedIn, Login, LoginError, open_session};
use super::pending::WantedTokens;
use super::token_pair;
use super::token_pair::{PairError, TokenPair};
use crate::audit::{Actor, Origin};
use crate::context::Context;
use crate::event::Event;
use crate::keys::SignError;
use crate::refresh;
use crate::session::ClientInfo;
use crate::settings::AccessSettings;
use crate::store::{Change, Renewal, StoreError};
use crate::token::Refusal;
use crate::user::User;
use std::sync::Arc;

/// The audience of an access token instead of that of the settings: one or more of
/// [`AccessSettings::resources`](crate::settings::AccessSettings::resources), separated by spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resources(pub(super) String);

/// A resource is not among those that may be requested (RFC 8707).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tokens are not issued for this resource")]
pub struct InvalidTarget;

impl Resources {
    /// The requested resources (`resource`, RFC 8707); `None` if there are none.
    ///
    /// # Errors
    /// [`InvalidTarget`] if a resource is not among the configured ones.
    pub fn of(settings: &AccessSettings, named: &[String]) -> Result<Option<Self>, InvalidTarget> {
        let mut distinct: Vec<&str> = Vec::with_capacity(named.len());
        for resource in named {
            if !settings.resources.contains(resource) {
                return Err(InvalidTarget);
            }
            if !distinct.contains(&resource.as_str()) {
                distinct.push(resource);
            }
        }
        Ok((!distinct.is_empty()).then(|| Self(distinct.join(" "))))
    }
}

/// Why a login yielded no token pair.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ObtainTokensError {
    /// The login failed.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// No access token can be signed. The reason is logged.
    #[error("the access token could not be signed: {0}")]
    Sign(#[from] SignError),
}

/// Logs in with an email address and a password and returns a token pair. Its access tokens are for
/// `audience`, also those of a refresh.
///
/// # Errors
/// [`ObtainTokensError`] if the login failed, or no access token can be signed.
pub async fn obtain_tokens(
    context: &Arc<Context>,
    request: Login,
    audience: Option<Resources>,
) -> Result<(User, TokenPair), ObtainTokensError> {
    let LoggedIn { user, session } = open_session(context, request, WantedTokens::pair(audience)).await?;
    match token_pair::token_pair(context, &session).await {
        Ok(pair) => Ok((user, pair)),
        Err(PairError::Gone | PairError::BelowPolicy) => Err(LoginError::WrongCredentials.into()),
        Err(PairError::Sign(error)) => Err(error.into()),
        Err(PairError::Store(error)) => Err(LoginError::Store(error).into()),
    }
}

/// Why a session token was not exchanged for a token pair.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExchangeError {
    /// The token is not accepted.
    #[error(transparent)]
    Refused(#[from] TokenRefused),
    /// No access token can be signed. The reason is logged.
    #[error("the access token could not be signed: {0}")]
    Sign(#[from] SignError),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A token pair for the session of a session token, which stays valid. Each exchange is a rotation: the
/// refresh token is newer than any that was issued for the session before. The limits of both kinds apply
/// from then on: the session is idle after the shorter of
/// [`refresh_idle`](crate::settings::AccessSettings::refresh_idle) and
/// [`idle`](crate::settings::SessionSettings::idle), and ends after
/// [`refresh_lifetime`](crate::settings::AccessSettings::refresh_lifetime) at the latest. An access token is
/// not accepted, because it could extend its own lifetime.
///
/// # Errors
/// [`ExchangeError::Refused`] if the token is of another kind, names no session, its session has just ended,
/// or has proved no factor, which its user must have by now.
pub async fn exchange_session_token(
    context: &Arc<Context>,
    who: &Authenticated,
    audience: Option<Resources>,
    client: ClientInfo,
) -> Result<TokenPair, ExchangeError> {
    if !matches!(who.claims(), TokenClaims::Session(_)) {
        return Err(TokenRefused::Token(Refusal::WrongAlgorithm).into());
    }
    let session = who.session().ok_or(TokenRefused::WithoutSession)?;
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
    let user = who.id();
    let origin = Origin::new(Actor::User(user), client);
    let effects = context.effects(&origin, [Event::TokenExchanged { user, session }]);
    let renewing = Arc::clone(context);
    let renewed = finish(async move {
        let renewed = renewing.store.renew_refresh(session, renewal, effects.clone()).await;
        // The end of the session may have changed.
        renewing.live.forget(Change::Session(session));
        if let Ok(Some(_)) = &renewed {
            renewing.notify(&effects).await;
        }
        renewed
    });
    let session = renewed.await?.ok_or(TokenRefused::SessionEnded)?;
    token_pair::token_pair(context, &session).await.map_err(|error| match error {
        PairError::Gone | PairError::BelowPolicy => TokenRefused::NoUser.into(),
        PairError::Sign(error) => error.into(),
        PairError::Store(error) => error.into(),
    })
}
