//! The audit log: what happened that matters to security, who did it, and from where. An event is written in the statement or transaction
//! that makes the change, so that there is no change without its event and no event without its change.

pub use crate::event::{Found, Outcome};

use crate::event::Event;
use crate::session::{ClientInfo, EndReason, SessionId};
use crate::time::Timestamp;
use crate::user::UserId;
use serde_json::{Map, Value};

/// Who makes a change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// Somebody who has not proved who they are: a registration, a login that fails.
    Anonymous,
    /// A user, who has shown a token or a password.
    User(UserId),
    /// Whoever runs the command line.
    Operator,
    /// The application around the library.
    Application,
    /// An OAuth client, by its id.
    Client(String),
    /// Doorwarden itself, in the background.
    System,
}

impl Actor {
    /// The word that is stored.
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

    /// Which one, where there is more than one.
    pub fn id(&self) -> Option<String> {
        match self {
            Self::User(user) => Some(user.to_string()),
            Self::Client(id) => Some(id.clone()),
            Self::Anonymous | Self::Operator | Self::Application | Self::System => None,
        }
    }

    /// Why sessions end that this actor ends all together although they are another's.
    pub const fn signs_out_for(&self) -> EndReason {
        match self {
            Self::Operator => EndReason::SignedOutByOperator,
            _ => EndReason::SignedOutByApplication,
        }
    }

    /// The actor that is stored as this [`kind`](Self::kind) and [`id`](Self::id); `None` if they are those of no actor.
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

/// Who asks for a change, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Who.
    pub actor: Actor,
    /// Where the request came from; unknown for what does not come over the network.
    pub client: ClientInfo,
}

impl Origin {
    /// This actor, with a request from there, as it is kept.
    pub fn new(actor: Actor, client: ClientInfo) -> Self {
        Self { actor, client: client.shortened() }
    }
}

impl From<Actor> for Origin {
    fn from(actor: Actor) -> Self {
        Self { actor, client: ClientInfo::default() }
    }
}

/// What a write causes besides its change. The store writes it with the change, all of it or nothing, and only if there is a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effects {
    /// When.
    pub at: Timestamp,
    /// Who caused it, and from where.
    pub origin: Origin,
    /// What happens.
    pub events: Vec<Event>,
}

impl Effects {
    /// These events.
    pub fn new(at: Timestamp, origin: &Origin, events: impl IntoIterator<Item = Event>) -> Self {
        Self { at, origin: origin.clone(), events: events.into_iter().collect() }
    }

    /// With what only the database knows.
    #[must_use]
    pub fn with(mut self, found: Found) -> Self {
        for event in &mut self.events {
            event.fill(found);
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
        Self { events: events.into_iter().collect(), ..self.clone() }
    }
}

/// An event as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Its number. Later events have higher ones, but for those that were written at the same time.
    pub id: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened: [`Event::name`].
    pub kind: String,
    /// Who did it.
    pub actor: Actor,
    /// Where the request came from.
    pub client: ClientInfo,
    /// Whose account it is about. The account may be gone.
    pub user: Option<UserId>,
    /// The session that it is about.
    pub session: Option<SessionId>,
    /// Whether it was done.
    pub outcome: Outcome,
    /// What else the event says: [`Event::data`].
    pub data: Map<String, Value>,
}
