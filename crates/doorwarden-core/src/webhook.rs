//! Webhooks: events that are reported to other services by HTTP, signed as Standard Webhooks 1.0.0 defines
//! it. What is to be sent is written in the transaction of the event, and sent in the background.

use crate::audit::{Actor, Outcome};
use crate::event::Event;
use crate::session::SessionId;
use crate::time::Timestamp;
use crate::token::SecretKey;
use crate::token::seal::Sealer;
use crate::token::webhook::WebhookSecret;
use crate::user::UserId;
use async_trait::async_trait;
use serde_json::{Map, Value, json};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use uuid::Uuid;

/// The name of an endpoint: 1 to 64 lowercase letters, digits, `-` and `_`, the first one a letter or a
/// digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WebhookName(String);

impl WebhookName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name as it is stored.
    pub fn from_stored(name: impl Into<String>) -> Self {
        Self(name.into())
    }
}

impl FromStr for WebhookName {
    type Err = WebhookNameError;

    fn from_str(text: &str) -> Result<Self, WebhookNameError> {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let is_name = (1..=64).contains(&text.len())
            && text.starts_with(is_plain)
            && text.chars().all(|c| is_plain(c) || c == '-' || c == '_');
        if is_name { Ok(Self(text.to_owned())) } else { Err(WebhookNameError) }
    }
}

impl fmt::Display for WebhookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not the name of an endpoint of webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a webhook has 1 to 64 lowercase letters, digits, `-` and `_`, and begins with a letter or digit"
)]
pub struct WebhookNameError;

/// The events that an endpoint gets: all of them, or those of some kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventTypes(Option<Vec<String>>);

impl EventTypes {
    /// Those of these [types](Event::webhook_type), such as `user.created`; if there are none, all events.
    ///
    /// # Errors
    /// [`UnknownEventType`], with the first text that is none of the types.
    pub fn of_types<'a>(types: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownEventType> {
        let name = |given: &str| {
            let known = Event::NAMES.iter().find(|(_, webhook)| *webhook == given);
            known.map(|(name, _)| (*name).to_owned()).ok_or_else(|| UnknownEventType(given.to_owned()))
        };
        let mut names = types.into_iter().map(name).collect::<Result<Vec<_>, _>>()?;
        names.sort_unstable();
        names.dedup();
        Ok(Self(Some(names).filter(|names| !names.is_empty())))
    }

    /// The stored names of events; `None`: all.
    pub fn names(&self) -> Option<&[String]> {
        self.0.as_deref()
    }

    /// The filter that is stored as these names.
    pub fn from_stored(names: Option<Vec<String>>) -> Self {
        Self(names)
    }

    /// The types of the events; empty: all.
    pub fn types(&self) -> Vec<&str> {
        let names = self.0.iter().flatten();
        names.map(|name| Event::webhook_type(name).unwrap_or(name.as_str())).collect()
    }
}

/// There are no events of this type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are no events of the type `{0}`")]
pub struct UnknownEventType(pub String);

/// Whether an endpoint gets events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookState {
    /// Events are sent.
    Enabled,
    /// Every attempt failed for days. Events wait until an operator enables the endpoint again.
    Paused,
    /// Nothing is sent and nothing waits, except what waited before.
    Disabled,
}

impl WebhookState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Paused, Self::Disabled];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    /// The state that is stored as this word, if it is one.
    pub fn from_stored(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// An endpoint, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Webhook {
    /// The name.
    pub name: WebhookName,
    /// Where events are sent.
    pub url: String,
    /// Which events it gets.
    pub events: EventTypes,
    /// The secret, [sealed](WebhookVault).
    pub sealed: Vec<u8>,
    /// The secret before it, which also signs until the instant.
    pub former: Option<(Vec<u8>, Timestamp)>,
    /// Whether it gets events.
    pub state: WebhookState,
    /// Why it is paused or disabled.
    pub reason: Option<String>,
    /// Whether the configuration declares it.
    pub is_declared: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// Since when every attempt has failed; `None` if the last one succeeded.
    pub failing_since: Option<Timestamp>,
}

impl Webhook {
    /// An enabled endpoint that gets every event; a store sets the rest.
    pub fn new(name: WebhookName, url: String, sealed: Vec<u8>, created_at: Timestamp) -> Self {
        Self {
            name,
            url,
            events: EventTypes::default(),
            sealed,
            former: None,
            state: WebhookState::Enabled,
            reason: None,
            is_declared: false,
            created_at,
            failing_since: None,
        }
    }
}

/// The id of a message, the same for every attempt and every endpoint. Receivers recognize by it what they
/// have already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub Uuid);

impl FromStr for MessageId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.strip_prefix("msg_").unwrap_or(text).parse().map(Self)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg_{}", self.0.simple())
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits for its first attempt or for another.
    Queued,
    /// The endpoint answered 2xx.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Queued, Self::Delivered, Self::Failed];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The state that is stored as this word, if it is one.
    pub fn from_stored(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// An event for an endpoint.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Delivery {
    /// Its number. Later events have higher numbers.
    pub id: i64,
    /// The id of the message.
    pub message: MessageId,
    /// The endpoint.
    pub webhook: WebhookName,
    /// The name of the event: [`Event::name`].
    pub kind: String,
    /// When the event happened.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// The user whose account is concerned.
    pub user: Option<UserId>,
    /// The session that is concerned.
    pub session: Option<SessionId>,
    /// Whether the operation succeeded.
    pub outcome: Outcome,
    /// Further data of the event.
    pub data: Map<String, Value>,
    /// What became of it.
    pub state: DeliveryState,
    /// How many attempts were made, with the one that was begun.
    pub attempts: u32,
    /// When it is due, or when it was delivered or given up.
    pub due_at: Timestamp,
    /// The status of the last response.
    pub status: Option<u16>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl Delivery {
    /// A delivery that waits for its first attempt; a store sets the rest.
    pub fn new(
        id: i64,
        message: MessageId,
        webhook: WebhookName,
        kind: String,
        at: Timestamp,
        actor: Actor,
    ) -> Self {
        Self {
            id,
            message,
            webhook,
            kind,
            at,
            actor,
            user: None,
            session: None,
            outcome: Outcome::Success,
            data: Map::new(),
            state: DeliveryState::Queued,
            attempts: 0,
            due_at: at,
            status: None,
            error: None,
        }
    }

    /// The type of the event.
    pub fn event_type(&self) -> &str {
        Event::webhook_type(&self.kind).unwrap_or(&self.kind)
    }

    /// The body of the request. Every attempt has the same.
    pub fn body(&self) -> Vec<u8> {
        let actor = json!({"type": self.actor.kind(), "id": self.actor.id()});
        let data = json!({
            "user_id": self.user,
            "session_id": self.session.map(|session| session.to_string()),
            "actor": actor,
            "result": self.outcome.as_str(),
            "details": self.data,
        });
        payload(self.event_type(), self.at, &data)
    }
}

/// The body of a message that tests an endpoint, and is no event.
pub fn test_body(at: Timestamp) -> Vec<u8> {
    payload("webhook.test", at, &json!({}))
}

fn payload(kind: &str, at: Timestamp, data: &Value) -> Vec<u8> {
    json!({"type": kind, "timestamp": at, "data": data}).to_string().into_bytes()
}

/// Seals the secrets of endpoints at rest.
#[derive(Debug)]
pub struct WebhookVault(Sealer);

impl WebhookVault {
    /// Seals under a key of `secret`, opens also under those of `old`.
    pub fn new(secret: &SecretKey, old: &[SecretKey]) -> Self {
        Self(Sealer::of_webhooks(secret, old))
    }

    /// Seals the secret of an endpoint. The nonce must be random and fresh.
    pub fn seal(
        &self,
        nonce: [u8; Sealer::NONCE_BYTES],
        name: &WebhookName,
        secret: &WebhookSecret,
    ) -> Vec<u8> {
        self.0.seal(nonce, name.as_str().as_bytes(), secret.as_bytes())
    }

    /// The secret of an endpoint; `None` if it was sealed under another secret key.
    pub fn open(&self, name: &WebhookName, sealed: &[u8]) -> Option<WebhookSecret> {
        WebhookSecret::from_bytes(&self.0.open(name.as_str().as_bytes(), sealed).ok()?).ok()
    }

    /// The same secret sealed under the current key, if only an older one opens it.
    pub fn resealed(
        &self,
        nonce: [u8; Sealer::NONCE_BYTES],
        name: &WebhookName,
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        self.0.resealed(nonce, name.as_str().as_bytes(), sealed)
    }
}

/// A message that is sent once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRequest {
    /// Where to.
    pub url: String,
    /// The header field `webhook-id`.
    pub id: String,
    /// The header field `webhook-timestamp`, in seconds since 1970.
    pub seconds: i64,
    /// The header field `webhook-signature`.
    pub signature: String,
    /// The body, JSON.
    pub body: Vec<u8>,
}

impl WebhookRequest {
    /// A message that is sent now, signed with each of the secrets.
    pub fn new(url: &str, message: MessageId, body: Vec<u8>, now: Timestamp, by: &[WebhookSecret]) -> Self {
        let (id, seconds) = (message.to_string(), now.as_seconds());
        let signatures: Vec<_> = by.iter().map(|secret| secret.sign(&id, seconds, &body)).collect();
        Self { url: url.to_owned(), id, seconds, signature: signatures.join(" "), body }
    }
}

/// The response of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookResponse {
    /// The status.
    pub status: u16,
    /// `Retry-After` (RFC 9110, section 10.2.3).
    pub retry_after: Option<RetryAfter>,
}

impl WebhookResponse {
    /// A response without `Retry-After`.
    pub fn new(status: u16) -> Self {
        Self { status, retry_after: None }
    }
}

/// When an endpoint wants to be asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// Not before so much time has passed.
    In(Duration),
    /// Not before this instant.
    At(Timestamp),
}

/// Sends messages to endpoints. `doorwarden-webhook` implements the trait.
#[async_trait]
pub trait WebhookClient: fmt::Debug + Send + Sync + 'static {
    /// Whether messages may be sent to this URL, as far as the URL alone tells.
    ///
    /// # Errors
    /// The reason, for operators.
    fn check(&self, url: &str) -> Result<(), String>;

    /// Sends the message once and returns the response, whatever its status. Follows no redirect.
    ///
    /// # Errors
    /// There was no response. The reason is for operators.
    async fn send(&self, request: &WebhookRequest) -> Result<WebhookResponse, String>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_event_has_a_name_and_a_type_of_its_own() {
        let names: BTreeSet<_> = Event::NAMES.iter().map(|(name, _)| name).collect();
        let types: BTreeSet<_> = Event::NAMES.iter().map(|(_, webhook)| webhook).collect();
        assert_eq!((names.len(), types.len()), (Event::NAMES.len(), Event::NAMES.len()));
        for webhook in types {
            let parts: Vec<_> = webhook.split('.').collect();
            let is_word =
                |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            assert!(parts.len() == 2 && parts.iter().all(is_word), "{webhook}");
        }
    }

    #[test]
    fn a_filter_is_written_in_types_and_stored_in_names() {
        let filter = EventTypes::of_types(["user.logged_in", "user.created", "user.created"]).unwrap();
        assert_eq!(filter.names().unwrap(), ["logged_in", "user_created"]);
        assert_eq!(filter.types(), ["user.logged_in", "user.created"]);
        assert_eq!(EventTypes::of_types([]).unwrap(), EventTypes::default());
        let unknown = EventTypes::of_types(["user_created"]).unwrap_err();
        assert_eq!(unknown.to_string(), "there are no events of the type `user_created`");
    }

    #[test]
    fn a_name_can_be_part_of_a_command_and_of_a_variable() {
        for good in ["crm", "0", "a-b_c", &"x".repeat(64)] {
            assert!(good.parse::<WebhookName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "_a", "A", "a b", "a.b", "ä", &"x".repeat(65)] {
            assert!(bad.parse::<WebhookName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_message_has_type_time_and_data_and_an_id_without_a_dot() {
        let (message, name) = (MessageId(Uuid::from_u128(7)), WebhookName::from_stored("crm"));
        let at = Timestamp::from_seconds(1_795_435_200);
        let mut delivery =
            Delivery::new(1, message, name, "user_created".to_owned(), at, Actor::User(UserId(7)));
        delivery.user = Some(UserId(7));
        let body: Value = serde_json::from_slice(&delivery.body()).unwrap();
        assert_eq!(
            body,
            json!({"type": "user.created", "timestamp": "2026-11-23T12:00:00.000000Z", "data": {
                "user_id": 7, "session_id": null, "actor": {"type": "user", "id": "7"},
                "result": "success", "details": {},
            }})
        );
        assert_eq!(message.to_string(), "msg_00000000000000000000000000000007");
        assert_eq!(message.to_string().parse(), Ok(message));
    }
}
