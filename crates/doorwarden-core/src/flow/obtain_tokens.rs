//! Somebody wants an access token and a refresh token.

use super::authenticate::{AuthenticateError, Authenticated, TokenClaims, TokenRefused};
use super::log_in::{LoggedIn, Login, open_session};
use super::{FlowError, TokenPair};
use crate::context::Context;
use crate::session::ClientInfo;
use crate::token::Refusal;
use crate::user::{User, UserId};

/// Logs in with an address and a password and answers with a token pair.
///
/// # Errors
/// As [`log_in`](super::log_in::log_in); [`FlowError::Sign`].
pub async fn obtain_tokens(context: &Context, request: Login) -> Result<(User, TokenPair), FlowError> {
    let LoggedIn { user, session } =
        open_session(context, request, |c, user, client| c.new_pair_session(user.id, client)).await?;
    let pair = context.token_pair(&session).await?;
    Ok((user, pair))
}

/// A token pair for the session of the article's token, which goes on to count. Asked again, it gives the newest refresh token
/// again. An access token does not do, or it would live longer than it may.
///
/// # Errors
/// [`AuthenticateError::Refused`] if the token is of another kind, names no session, or its session has just ended.
pub async fn exchange_session_token(
    context: &Context,
    who: &Authenticated,
) -> Result<TokenPair, ExchangeError> {
    if !matches!(who.token, TokenClaims::Session(_)) {
        return Err(TokenRefused::Token(Refusal::WrongAlgorithm).into());
    }
    let session = who.session.ok_or(TokenRefused::WithoutSession)?;
    let started =
        context.store.start_refresh(session, context.now()).await.map_err(AuthenticateError::from)?;
    let session = started.ok_or(TokenRefused::SessionEnded)?;
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

/// Opens a session for a user and makes its token pair, without a password: for the application's own ways in.
///
/// # Errors
/// [`FlowError::NotFound`] if the user is gone or inactive.
pub async fn issue_pair(context: &Context, user: UserId, client: ClientInfo) -> Result<TokenPair, FlowError> {
    let session = context.new_pair_session(user, client);
    match context.open(session, None).await {
        Err(FlowError::WrongCredentials) => Err(FlowError::NotFound),
        opened => context.token_pair(&opened?).await,
    }
}
