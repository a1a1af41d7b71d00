//! The one place where an access token and its refresh token are issued: every flow that issues a token pair
//! ends here.

use super::obtain_tokens::Resources;
use super::open_session::new_session;
use crate::context::Context;
use crate::keys::SignError;
use crate::refresh;
use crate::session::{ClientInfo, Session, SessionId};
use crate::store::StoreError;
use crate::time::Timestamp;
use crate::token::access::AccessClaims;
use crate::user::{Account, UserId};
use serde_json::{Map, Value};
use std::time::Duration;
use uuid::Uuid;

/// An access token (RFC 9068) and the refresh token of its session. `Debug` shows neither.
#[derive(Clone)]
pub struct TokenPair {
    /// The compact JWT.
    pub access: String,
    /// The refresh token, `dwr_…`.
    pub refresh: String,
    /// Lifetime of the access token in seconds.
    pub expires_in: i64,
    /// Seconds after which an unused refresh token is refused.
    pub refresh_expires_in: i64,
    /// The session of the tokens.
    pub session: SessionId,
    /// The user of the session.
    pub user: UserId,
}

impl std::fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenPair").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Why a session has no token pair.
pub(super) enum PairError {
    /// The user is gone, or the session has no refresh token.
    Gone,
    /// The user must have a factor since the session was opened, which has proved none.
    BelowPolicy,
    Sign(SignError),
    Store(StoreError),
}

/// A session for a token pair that is not stored yet.
pub(super) fn new_pair_session(
    context: &Context,
    user: UserId,
    client: ClientInfo,
    audience: Option<Resources>,
) -> Session {
    let settings = &context.settings.access;
    Session {
        refresh_counter: Some(0),
        idle_seconds: Some(refresh::idle_seconds(settings.refresh_idle)),
        client_id: Some(settings.client_id.clone()),
        audience: audience.map(|named| named.0),
        ..new_session(context, user, client, settings.refresh_lifetime)
    }
}

/// The newest token pair of a stored session.
///
/// # Errors
/// [`PairError`] if the session has no refresh token, has proved less than its user must prove by now, or no
/// access token can be signed.
pub(super) async fn token_pair(context: &Context, session: &Session) -> Result<TokenPair, PairError> {
    let user = context.live.user(session.user).await.map_err(PairError::Store)?.ok_or(PairError::Gone)?;
    let counter = session.refresh_counter.ok_or(PairError::Gone)?;
    // The application vouches for a session without an authentication.
    let has_one_factor = session.auth.is_some_and(|auth| auth.assurance_level < 2);
    if has_one_factor && context.settings.factors.are_required_of(&user.account) {
        return Err(PairError::BelowPolicy);
    }
    let issued_at = issued_at(context, session).await;
    let now = context.now();
    // One system call for both.
    let random: [u8; 20] = context.random.bytes();
    let (shift, jti) = random.split_at(4);
    let lifetime = jittered(context.settings.access.lifetime, shift.try_into().expect("four bytes"));
    let claims = AccessClaims {
        iss: context.settings.access.issuer.clone(),
        sub: session.user.0.to_string(),
        aud: match &session.audience {
            Some(named) => named.split(' ').map(str::to_owned).collect(),
            None => context.settings.access.audience().to_vec(),
        },
        exp: issued_at + lifetime,
        iat: issued_at,
        jti: Uuid::from_slice(jti).expect("sixteen bytes").simple().to_string(),
        client_id: session.client_id.clone().unwrap_or_else(|| context.settings.access.client_id.clone()),
        id: Some(session.user.0),
        sid: Some(session.id.0),
        amr: session.auth.map_or_else(Vec::new, |auth| auth.methods.iter().map(str::to_owned).collect()),
        auth_time: session.auth.map(|auth| auth.auth_time.as_seconds()),
        acr: Some(session.assurance_level().to_string()),
        extra: extra_claims(context, &user.account, session).await,
    };
    let access = context.keys.sign(&claims, now).map_err(|error| {
        tracing::error!(user.id = session.user.0, %error, "an access token could not be signed");
        PairError::Sign(error)
    })?;
    let left = session.expires_at.as_seconds() - now.as_seconds();
    Ok(TokenPair {
        access,
        refresh: context.refresh_keys.issue(session.id.0, counter),
        expires_in: lifetime,
        refresh_expires_in: session.idle_seconds.map_or(left, |idle| left.min(idle)),
        session: session.id,
        user: session.user,
    })
}

/// The `iat` of a token that is issued now. If verifiers were just notified that no token of this second is
/// valid, although the session stays open, `iat` is the next second, and the token is not returned earlier.
async fn issued_at(context: &Context, session: &Session) -> i64 {
    let Some(ended) = context.feed.ended_until(session.user, session.id) else {
        return context.now().as_seconds();
    };
    let next = Timestamp::from_seconds(ended + 1);
    tokio::time::sleep(next.since(context.now()).min(Duration::from_secs(1))).await;
    context.now().as_seconds().max(ended + 1)
}

async fn extra_claims(context: &Context, account: &Account, session: &Session) -> Map<String, Value> {
    let mut extra = Map::new();
    if context.settings.access.include_permissions {
        extra.insert("permissions".to_owned(), account.permissions.clone().into());
    }
    for hook in &context.hooks {
        for (name, value) in hook.access_claims(account, session).await {
            extra.entry(name).or_insert(value);
        }
    }
    extra
}

/// Between 95 and 105 % of a lifetime, in seconds, so that tokens that were issued together do not expire
/// together.
fn jittered(lifetime: Duration, random: [u8; 4]) -> i64 {
    let seconds = lifetime.as_secs();
    let spread = seconds / 10;
    let shift = (u64::from(u32::from_le_bytes(random)) * (spread + 1)) >> 32;
    (seconds - spread / 2 + shift).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_differ_by_at_most_five_percent() {
        let lifetime = Duration::from_mins(5);
        assert_eq!(jittered(lifetime, [0; 4]), 285);
        assert_eq!(jittered(lifetime, [0xff; 4]), 315);
        assert_eq!(jittered(Duration::from_secs(9), [0xff; 4]), 9);
    }
}
