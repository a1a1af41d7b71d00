//! What the key of a link and a login token are good for. Looking consumes nothing: mail scanners open links.

use super::alike::failing_on_grid;
use super::pending::{State, WantedTokens, mask};
use super::throttle::{self, throttled_as};
use crate::audit::{Actor, Origin};
use crate::challenge::{Challenge, ChallengePurpose, Code, Secret, SecretHash};
use crate::context::Context;
use crate::error::Input;
use crate::event::Event;
use crate::limit::{Limit, Throttled};
use crate::session::ClientInfo;
use crate::store::StoreError;
use crate::time::Timestamp;

/// What a link is for.
#[derive(Debug, Clone)]
pub struct Link {
    /// The purpose.
    pub purpose: ChallengePurpose,
    /// The address to which it was sent, as [`mask`] shows it.
    pub email: String,
    /// Which tokens it gives, if it logs in.
    pub tokens: WantedTokens,
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

/// What the link with this key is for; `None` if it was used, has expired, or never was one.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn inspect_link(context: &Context, key: &str) -> Result<Option<Link>, StoreError> {
    let Some(challenge) = by_key(context, key).await? else { return Ok(None) };
    let (email, tokens) = (mask(challenge.email.as_str()), State::read(&challenge).tokens);
    Ok(Some(Link { purpose: challenge.purpose, email, tokens, expires_at: challenge.expires_at }))
}

/// Why a link or code is refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RedeemError {
    /// The link was used, has expired, or is for something else.
    #[error("this link was used already or has expired; ask for another one")]
    LinkInvalid,
    /// The login token was used, has expired, or is for something else.
    #[error("the login has expired; begin again")]
    LoginExpired,
    /// The code is wrong.
    #[error("this code is wrong")]
    CodeInvalid {
        /// How many more may be tried.
        attempts_left: u32,
    },
    /// Too many codes came before this one.
    #[error(transparent)]
    Throttled(Box<Throttled>),
    /// Neither a key nor a login token with a code was sent.
    #[error("send `key`, or `login_token` and `code`")]
    Missing,
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

throttled_as!(RedeemError);

/// How somebody shows that a mail was read: by the key of its link, or by its code with the login token of
/// the client that asked. Each as it was sent.
#[derive(Debug, Default)]
pub struct Answer {
    /// The key of the link.
    pub key: Input<String>,
    /// The login token.
    pub login_token: Input<String>,
    /// The code.
    pub code: Input<String>,
    /// The password of the account, where a link is opened without the login token: it shows that whoever
    /// opens it has also set the password, which therefore stays.
    pub password: Input<String>,
}

/// A challenge that was answered, and is not spent yet.
pub(super) struct Answered {
    pub(super) challenge: Challenge,
    /// Whether the client is the one that asked, because it has the login token.
    pub(super) is_asker: bool,
}

/// The challenge that this answers. A wrong code counts.
pub(super) async fn answered(
    context: &Context,
    answer: Answer,
    client: &ClientInfo,
) -> Result<Answered, RedeemError> {
    let given = |input: Input<String>| match input {
        Input::Given(text) => Some(text),
        _ => None,
    };
    let (key, token, code) = (given(answer.key), given(answer.login_token), given(answer.code));
    if let Some(key) = key {
        let challenge = by_key(context, &key).await?.ok_or(RedeemError::LinkInvalid)?;
        let token = token.and_then(|token| SecretHash::of(Secret::LOGIN, &token));
        let is_asker = token.is_some() && token == challenge.token;
        return Ok(Answered { challenge, is_asker });
    }
    let (Some(token), Some(code)) = (token, code) else { return Err(RedeemError::Missing) };
    let token = SecretHash::of(Secret::LOGIN, &token).ok_or(RedeemError::LoginExpired)?;
    Ok(Answered { challenge: by_code(context, token, &code, client).await?, is_asker: true })
}

/// The challenge with this login token, if this is its code. A wrong one counts.
pub(super) async fn by_code(
    context: &Context,
    token: SecretHash,
    code: &str,
    client: &ClientInfo,
) -> Result<Challenge, RedeemError> {
    failing_on_grid(async {
        let now = context.now();
        let guess = throttle::guess(context, client, Limit::CodeAddress).await?;
        let Some(challenge) = context.store.attempt_challenge(token, now).await? else {
            return Err(match context.store.challenge_by_token(token, now).await? {
                Some(_) => RedeemError::CodeInvalid { attempts_left: 0 },
                None => RedeemError::LoginExpired,
            });
        };
        let typed = Code::typed(code).map(|code| context.codes.hash(challenge.id, &code));
        let is_right = typed.zip(challenge.code).is_some_and(|(typed, right)| typed.is(&right));
        if !is_right {
            let event = Event::CodeRefused { user: challenge.user };
            let stranger = Origin::new(Actor::Anonymous, client.clone());
            context.refused(context.effects(&stranger, [event])).await;
            let attempts_left = Challenge::MOST_ATTEMPTS.saturating_sub(challenge.attempts);
            return Err(RedeemError::CodeInvalid { attempts_left });
        }
        guess.was_right();
        Ok(challenge)
    })
    .await
}

/// The open challenge of a link.
pub(super) async fn by_key(context: &Context, key: &str) -> Result<Option<Challenge>, StoreError> {
    match SecretHash::of(Secret::LINK, key) {
        Some(hash) => context.store.challenge_by_key(hash, context.now()).await,
        None => Ok(None),
    }
}

/// The open challenge of a login token.
pub(super) async fn by_token(context: &Context, token: &str) -> Result<Option<Challenge>, StoreError> {
    match SecretHash::of(Secret::LOGIN, token) {
        Some(hash) => context.store.challenge_by_token(hash, context.now()).await,
        None => Ok(None),
    }
}
