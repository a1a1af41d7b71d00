//! Exchange of a refresh token for a new token pair.

use super::finish::finish;
use super::sessions::end_one;
use super::throttle::{self, throttled_as};
use super::token_pair;
use super::token_pair::{PairError, TokenPair};
use crate::audit::{Actor, Origin};
use crate::context::Context;
use crate::event::{Event, RepeatSign};
use crate::keys::SignError;
use crate::limit::{Limit, Throttled};
use crate::refresh::{Presented, Repeat};
use crate::session::{ClientInfo, EndReason, Session, SessionId};
use crate::store::{Change, Rotation, StoreError};
use crate::token::Refusal;
use std::sync::Arc;

/// Why a refresh token was not exchanged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RefreshError {
    /// Not a refresh token issued by this server.
    #[error("{0}")]
    Token(#[from] Refusal),
    /// The token's session has ended, expired or was idle for too long, its user is inactive or gone, or must
    /// have a factor by now that the session has not proved.
    #[error("the session of the refresh token has ended")]
    Ended,
    /// The token was reused, so somebody has a copy. The session has been ended.
    #[error("the refresh token was used before; its session has ended")]
    Reused,
    /// Too many refreshes came before this one.
    #[error(transparent)]
    Throttled(Box<Throttled>),
    /// No access token can be signed. The reason is logged.
    #[error("the access token could not be signed: {0}")]
    Sign(#[from] SignError),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

throttled_as!(RefreshError);

/// Exchanges a refresh token for a new pair (RFC 9700, section 4.14.2).
///
/// The rule is that of [`refresh`](crate::refresh). All concurrent requests with the same token get the same
/// successor. A late repeat, or one in the grace period but from another address network or user agent than
/// the login, is an event.
///
/// # Errors
/// [`RefreshError`] if the token is not valid, its session has ended, no access token can be signed, or the
/// database operation failed.
pub async fn refresh_tokens(
    context: &Arc<Context>,
    token: &str,
    client: ClientInfo,
) -> Result<TokenPair, RefreshError> {
    let guess = throttle::guess(context, &client, Limit::RefreshAddress).await?;
    let pair = exchange(context, token, client).await;
    // What was not exchanged for another reason than the token's is no guess.
    match pair {
        Err(RefreshError::Token(_) | RefreshError::Ended | RefreshError::Reused) => guess.count().await,
        _ => guess.was_right(),
    }
    pair
}

async fn exchange(
    context: &Arc<Context>,
    token: &str,
    client: ClientInfo,
) -> Result<TokenPair, RefreshError> {
    let (id, counter) = context.refresh_keys.parse(token)?;
    throttle::refresh(context, SessionId(id)).await.map_err(RefreshError::Throttled)?;
    let shown = Presented {
        session: SessionId(id),
        counter,
        at: context.now(),
        grace: context.settings.access.refresh_grace,
    };
    let rotating = Arc::clone(context);
    let session = finish(async move { rotate(&rotating, shown, &client).await }).await?;
    match token_pair::token_pair(context, &session).await {
        Ok(pair) => Ok(pair),
        Err(PairError::BelowPolicy) => {
            end_one(context, session.user, session.id, EndReason::Refused, &Actor::System.into()).await?;
            Err(RefreshError::Ended)
        }
        Err(PairError::Gone) => Err(RefreshError::Ended),
        Err(PairError::Sign(error)) => Err(error.into()),
        Err(PairError::Store(error)) => Err(error.into()),
    }
}

/// The session with the successor of the presented token.
async fn rotate(context: &Context, shown: Presented, client: &ClientInfo) -> Result<Session, RefreshError> {
    let effects = context.effects(&Origin::new(Actor::Anonymous, client.clone()), []);
    Ok(match context.store.rotate_refresh(shown, effects.clone()).await? {
        Rotation::Rotated(session) => session,
        Rotation::Repeated(session, repeat) => {
            let repeated = |sign| {
                effects.causing([Event::RefreshRepeated { user: session.user, session: session.id, sign }])
            };
            match repeat {
                // The store has written this event together with the counter.
                Repeat::Late => context.notify(&repeated(RepeatSign::Late)).await,
                Repeat::InGrace if !client.is_like(&session.client) => {
                    context.record(repeated(RepeatSign::Elsewhere)).await;
                }
                Repeat::InGrace => {}
            }
            session
        }
        Rotation::Reused(session) => {
            context.live.forget(Change::Session(session.id));
            let event = Event::RefreshReused { user: session.user, session: session.id };
            context.notify(&effects.causing([event])).await;
            return Err(RefreshError::Reused);
        }
        Rotation::Refused | Rotation::Unknown => {
            context.live.reread_session(shown.session);
            return Err(RefreshError::Ended);
        }
    })
}
