//! The audit log: what happened that matters to security, who did it, and from where. An event is written in
//! the statement or transaction that makes the change, so that there is no change without its event and no
//! event without its change.

pub mod seal;

pub use crate::event::{Found, Outcome};

use crate::challenge::ChallengeId;
use crate::event::Event;
use crate::mail::NewMail;
use crate::session::{ClientInfo, EndReason, SessionId};
use crate::time::Timestamp;
use crate::user::UserId;
use serde_json::{Map, Value};

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// An unauthenticated client: a registration, a login that fails.
    Anonymous,
    /// A user, authenticated by a token or a password.
    User(UserId),
    /// An operator on the command line.
    Operator,
    /// The application around the library.
    Application,
    /// An OAuth client, by client id.
    Client(String),
    /// Doorwarden itself, in the background.
    System,
}

impl Actor {
    /// The stored word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User(_) => "user",
            Self::Operator => "operator",
            Self::Application => "application",
            Self::Client(_) => "client",
            Self::System => "system",
        }
    }

    /// The id of the actor, where there is more than one of its kind.
    pub fn id(&self) -> Option<String> {
        match self {
            Self::User(user) => Some(user.to_string()),
            Self::Client(id) => Some(id.clone()),
            Self::Anonymous | Self::Operator | Self::Application | Self::System => None,
        }
    }

    /// The reason with which this actor ends all sessions of another user.
    pub const fn signs_out_for(&self) -> EndReason {
        match self {
            Self::Operator => EndReason::SignedOutByOperator,
            _ => EndReason::SignedOutByApplication,
        }
    }

    /// The actor that is stored as this [`kind`](Self::kind) and [`id`](Self::id); `None` if there is no such
    /// actor.
    pub fn from_stored(kind: &str, id: Option<&str>) -> Option<Self> {
        Some(match (kind, id) {
            ("anonymous", None) => Self::Anonymous,
            ("user", Some(id)) => Self::User(UserId(id.parse().ok()?)),
            ("operator", None) => Self::Operator,
            ("application", None) => Self::Application,
            ("client", Some(id)) => Self::Client(id.to_owned()),
            ("system", None) => Self::System,
            _ => return None,
        })
    }
}

/// Who requests a change, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Who requests the change.
    pub actor: Actor,
    /// Where the request came from; unknown for what does not come over the network.
    pub client: ClientInfo,
}

impl Origin {
    /// This actor with this client, shortened as it is stored.
    pub fn new(actor: Actor, client: ClientInfo) -> Self {
        Self { actor, client: client.shortened() }
    }
}

impl From<Actor> for Origin {
    fn from(actor: Actor) -> Self {
        Self { actor, client: ClientInfo::default() }
    }
}

/// The side effects of a write. The store writes them together with the change, or not at all if nothing
/// changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effects {
    /// The time of the operation.
    pub at: Timestamp,
    /// Who caused it, and from where.
    pub origin: Origin,
    /// What happens.
    pub events: Vec<Event>,
    /// The mails that it causes.
    pub mails: Vec<NewMail>,
    /// The challenge that allows the change. If it is no longer open, nothing happens, and the write fails
    /// with [`StoreError::Spent`](crate::store::StoreError::Spent).
    pub spends: Option<ChallengeId>,
}

impl Effects {
    /// These events.
    pub fn new(at: Timestamp, origin: &Origin, events: impl IntoIterator<Item = Event>) -> Self {
        let (origin, events) = (origin.clone(), events.into_iter().collect());
        Self { at, origin, events, mails: Vec::new(), spends: None }
    }

    /// With this mail.
    #[must_use]
    pub fn mailing(mut self, mail: NewMail) -> Self {
        self.mails.push(mail);
        self
    }

    /// With this mail, if there is one.
    #[must_use]
    pub fn mailing_all(self, mails: impl IntoIterator<Item = NewMail>) -> Self {
        mails.into_iter().fold(self, Self::mailing)
    }

    /// Allowed by this challenge, and spending it.
    #[must_use]
    pub fn spending(self, challenge: ChallengeId) -> Self {
        Self { spends: Some(challenge), ..self }
    }

    /// With what only the database knows.
    #[must_use]
    pub fn with(mut self, found: Found) -> Self {
        for event in &mut self.events {
            event.fill(found);
        }
        if let Found::User(user) = found {
            for mail in self.mails.iter_mut().filter(|mail| mail.user == Some(UserId::NEW)) {
                mail.user = Some(user);
            }
        }
        self
    }

    /// Writes the events to the program's log.
    pub(crate) fn log(&self) {
        for event in &self.events {
            event.log();
        }
    }

    /// The same cause with other events.
    #[must_use]
    pub fn causing(&self, events: impl IntoIterator<Item = Event>) -> Self {
        Self::new(self.at, &self.origin, events)
    }
}

/// An event as it was written.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AuditRecord {
    /// The number of the event. Later events have higher numbers, except for events that were written at the
    /// same time.
    pub id: i64,
    /// When the event happened.
    pub at: Timestamp,
    /// The name of the event: [`Event::name`].
    pub kind: String,
    /// Who caused the event.
    pub actor: Actor,
    /// Where the request came from.
    pub client: ClientInfo,
    /// The user whose account is concerned. The account may be gone.
    pub user: Option<UserId>,
    /// The session that is concerned.
    pub session: Option<SessionId>,
    /// Whether the operation succeeded.
    pub outcome: Outcome,
    /// Further data of the event: [`Event::data`].
    pub data: Map<String, Value>,
}

impl AuditRecord {
    /// A record that concerns no user and no session, without a client or further data.
    pub fn new(id: i64, at: Timestamp, kind: String, actor: Actor, outcome: Outcome) -> Self {
        Self {
            id,
            at,
            kind,
            actor,
            client: ClientInfo::default(),
            user: None,
            session: None,
            outcome,
            data: Map::new(),
        }
    }
}
