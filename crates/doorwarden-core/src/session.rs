//! A session: what a login opens and a token carries.

use crate::authentication::AuthContext;
use crate::limit::device::SentMarks;
use crate::time::Timestamp;
use crate::user::UserId;
use std::fmt;
use std::net::IpAddr;
use uuid::Uuid;

/// The id of a session, a UUIDv7: its first 48 bits are the time of its creation, the rest is random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub Uuid);

impl SessionId {
    /// A session whose id only the database knows, in [`Effects`](crate::audit::Effects). No session has it.
    pub const UNKNOWN: Self = Self(Uuid::nil());

    /// A new id from the present instant and ten random bytes.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        Self(crate::random::uuid(now, random))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in the list of a user's sessions, newest first: after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionCursor {
    /// When the session was opened.
    pub created_at: Timestamp,
    /// The session.
    pub id: SessionId,
}

impl SessionCursor {
    /// The place behind this session.
    pub fn after(session: &Session) -> Self {
        Self { created_at: session.created_at, id: session.id }
    }
}

/// Microseconds since 1970, a point, and the id without hyphens.
impl fmt::Display for SessionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.as_micros(), self.id.0.simple())
    }
}

/// The text is not what a [`SessionCursor`] is displayed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid cursor in a list of sessions")]
pub struct ParseCursorError;

impl std::str::FromStr for SessionCursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (micros, id) = text.split_once('.').ok_or(ParseCursorError)?;
        let micros = micros.parse().map_err(|_| ParseCursorError)?;
        let id = Uuid::try_parse(id).map_err(|_| ParseCursorError)?;
        Ok(Self { created_at: Timestamp::from_micros(micros), id: SessionId(id) })
    }
}

/// Why a session ended. Stored as text, one word each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndReason {
    /// The user logged out of the session, or sent one of its tokens to be revoked.
    LoggedOut,
    /// The user logged out of all sessions, or of all others.
    LoggedOutEverywhere,
    /// The user ended the session from another session.
    Revoked,
    /// An OAuth client revoked one of its tokens (RFC 7009).
    RevokedByClient,
    /// A hook refused the login that had opened it.
    Refused,
    /// An operator ended all sessions of the user, or of all users.
    SignedOutByOperator,
    /// The application ended all sessions of the user, or of all users.
    SignedOutByApplication,
    /// All sessions of the user were ended by SQL, or by an operator or the application before the two were
    /// told apart.
    SignedOut,
    /// The database was restored from a copy, which cannot know whether the session had ended since.
    Restored,
    /// The password was changed.
    PasswordChanged,
    /// The account was deactivated.
    Deactivated,
    /// The account was deleted.
    UserDeleted,
    /// A refresh token came back that should not have: somebody else has a copy
    /// ([`refresh`](crate::refresh)).
    RefreshReused,
    /// The user opened another session and had reached the limit.
    Limit,
    /// The user got a first factor, which the session had not proved.
    FactorAdded,
    /// A factor of the user was removed.
    FactorRemoved,
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 16] = [
        Self::LoggedOut,
        Self::LoggedOutEverywhere,
        Self::Revoked,
        Self::RevokedByClient,
        Self::Refused,
        Self::SignedOutByOperator,
        Self::SignedOutByApplication,
        Self::SignedOut,
        Self::Restored,
        Self::PasswordChanged,
        Self::Deactivated,
        Self::UserDeleted,
        Self::RefreshReused,
        Self::Limit,
        Self::FactorAdded,
        Self::FactorRemoved,
    ];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LoggedOut => "logged_out",
            Self::LoggedOutEverywhere => "logged_out_everywhere",
            Self::Revoked => "revoked",
            Self::RevokedByClient => "revoked_by_client",
            Self::Refused => "refused",
            Self::SignedOutByOperator => "signed_out_by_operator",
            Self::SignedOutByApplication => "signed_out_by_application",
            Self::SignedOut => "signed_out",
            Self::Restored => "restored",
            Self::PasswordChanged => "password_changed",
            Self::Deactivated => "deactivated",
            Self::UserDeleted => "user_deleted",
            Self::RefreshReused => "refresh_reused",
            Self::Limit => "limit",
            Self::FactorAdded => "factor_added",
            Self::FactorRemoved => "factor_removed",
        }
    }

    /// The reason that is stored as this word, if it is one.
    pub fn from_stored(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == word)
    }
}

/// The client of a request, as far as the server knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The address of the client.
    pub address: Option<IpAddr>,
    /// The `User-Agent` header, at most 512 characters are kept.
    pub user_agent: Option<String>,
    /// The id of the request, at most 64 characters are kept, in the audit log only.
    pub request_id: Option<String>,
    /// The marks of the devices that the client says it is. Not kept.
    pub marks: SentMarks,
    /// A proof of work, in the form of ALTCHA. Not kept.
    pub proof_of_work: Option<String>,
}

/// A session, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// The id, which tokens carry as `sid`.
    pub id: SessionId,
    /// The user of the session.
    pub user: UserId,
    /// The session is live only while its user's
    /// [`sessions_generation`](crate::user::User::sessions_generation) is this number. The store assigns the
    /// number when it opens the session.
    pub generation: i64,
    /// When the session was opened.
    pub created_at: Timestamp,
    /// When the session was last used; a buffered write, so up to a minute late.
    pub last_seen_at: Timestamp,
    /// When the session expires.
    pub expires_at: Timestamp,
    /// How the user was authenticated; `None`: the application or an operator opened the session without
    /// authentication.
    pub auth: Option<AuthContext>,
    /// The counter of the newest refresh token; `None` if the session has none.
    pub refresh_counter: Option<i64>,
    /// When the counter last rose; `None` if it never did.
    pub rotated_at: Option<Timestamp>,
    /// Refresh tokens that came back although they were not the newest.
    pub repeats: Repeats,
    /// After how many seconds without a refresh the refresh token is refused; `None`: never.
    pub idle_seconds: Option<i64>,
    /// The OAuth client that the tokens are for.
    pub client_id: Option<String>,
    /// The audience of its access tokens, separated by spaces; `None`: that of the settings.
    pub audience: Option<String>,
    /// The client that opened the session.
    pub client: ClientInfo,
    /// When and why the session ended before it expired.
    pub ended: Option<(Timestamp, EndReason)>,
}

/// The repeats that are stored with a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repeats {
    /// How many late ones there were since the last quiet generation, at most
    /// [`MOST_LATE_REPEATS`](crate::refresh::MOST_LATE_REPEATS).
    pub late: u8,
    /// The row's counter when the last one came; noted only while some are counted.
    pub last_at_counter: Option<i64>,
    /// When the last late one came, also after the count has returned to 0.
    pub last_late_at: Option<Timestamp>,
}

impl Session {
    /// When a session was last used is written at most once in this many seconds.
    pub const SEEN_RESOLUTION: i64 = 60;

    /// A session that was opened without authentication by an unknown client, and has no refresh token.
    pub fn new(id: SessionId, user: UserId, created_at: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            id,
            user,
            generation: 0,
            created_at,
            last_seen_at: created_at,
            expires_at,
            auth: None,
            refresh_counter: None,
            rotated_at: None,
            repeats: Repeats::default(),
            idle_seconds: None,
            client_id: None,
            audience: None,
            client: ClientInfo::default(),
            ended: None,
        }
    }

    /// The assurance level as tokens and lists say it.
    pub fn assurance_level(&self) -> u8 {
        self.auth.map_or(AuthContext::UNAUTHENTICATED, |auth| auth.assurance_level)
    }
}

/// Maximum characters of a stored user agent.
const USER_AGENT_MAX_CHARS: usize = 512;
/// Maximum characters of a stored id of a request.
const REQUEST_ID_MAX_CHARS: usize = 64;

impl ClientInfo {
    /// With nothing that is too long to be kept.
    #[must_use]
    pub fn shortened(self) -> Self {
        let shorten = |text: Option<String>, most| text.map(|text| text.chars().take(most).collect());
        Self {
            user_agent: shorten(self.user_agent, USER_AGENT_MAX_CHARS),
            request_id: shorten(self.request_id, REQUEST_ID_MAX_CHARS),
            ..self
        }
    }

    /// As it is kept with a session: what is true of the client, and not of one request.
    #[must_use]
    pub fn of_session(self) -> Self {
        let Self { address, user_agent, .. } = self.shortened();
        Self { address, user_agent, ..Self::default() }
    }

    /// Whether a request comes from the same address network (IPv4: the first 24 bits, IPv6: 48) and the same
    /// user agent as the one that `kept` is of. What `kept` does not say makes no difference.
    pub fn is_like(&self, kept: &Self) -> bool {
        let agents = |client: &Self| client.clone().shortened().user_agent;
        let same_agent = kept.user_agent.is_none() || agents(self) == kept.user_agent;
        let same_network = kept.address.is_none() || self.address.map(network) == kept.address.map(network);
        same_agent && same_network
    }

    /// A name that people recognise, such as "Firefox on Linux", from the `User-Agent` header; `None` if
    /// there is none. Only for display: a client can send any value.
    ///
    /// ```
    /// use doorwarden_core::session::ClientInfo;
    /// let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    /// let client = ClientInfo { user_agent: Some(agent.into()), ..ClientInfo::default() };
    /// assert_eq!(client.device_name().as_deref(), Some("Firefox on Linux"));
    /// ```
    pub fn device_name(&self) -> Option<String> {
        // The first match decides: Edge and Opera also call themselves Chrome, Chrome also calls itself
        // Safari.
        const PROGRAMS: [(&str, &str); 13] = [
            ("Edg", "Edge"),
            ("OPR/", "Opera"),
            ("SamsungBrowser", "Samsung Internet"),
            ("Firefox/", "Firefox"),
            ("FxiOS", "Firefox"),
            ("CriOS", "Chrome"),
            ("Chrome/", "Chrome"),
            ("Safari/", "Safari"),
            ("curl/", "curl"),
            ("python-requests", "Python"),
            ("Python-urllib", "Python"),
            ("okhttp", "an Android app"),
            ("PostmanRuntime", "Postman"),
        ];
        const SYSTEMS: [(&str, &str); 7] = [
            ("iPhone", "iPhone"),
            ("iPad", "iPad"),
            ("Android", "Android"),
            ("Windows", "Windows"),
            ("Mac OS X", "macOS"),
            ("CrOS", "ChromeOS"),
            ("Linux", "Linux"),
        ];
        let agent = self.user_agent.as_deref()?;
        let find = |list: &[(&str, &'static str)]| {
            list.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name)
        };
        let program = find(&PROGRAMS).map_or_else(
            || agent.split(['/', ' ']).next().unwrap_or_default().chars().take(40).collect(),
            str::to_owned,
        );
        Some(match find(&SYSTEMS) {
            Some(system) => format!("{program} on {system}"),
            None => program,
        })
    }
}

/// The network of an address.
fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => v6.to_bits() >> 80 << 80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str, agent: &str) -> ClientInfo {
        let text = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
        ClientInfo { address: address.parse().ok(), user_agent: text(agent), ..ClientInfo::default() }
    }

    #[test]
    fn a_neighbour_in_the_network_is_like_and_another_network_or_program_is_not() {
        for (kept, given, alike) in [
            (("192.0.2.1", "a"), ("192.0.2.254", "a"), true),
            (("192.0.2.1", "a"), ("192.0.3.1", "a"), false),
            (("192.0.2.1", "a"), ("::ffff:192.0.2.9", "a"), true),
            (("2001:db8:1::1", "a"), ("2001:db8:1:ffff::2", "a"), true),
            (("2001:db8:1::1", "a"), ("2001:db8:2::1", "a"), false),
            (("192.0.2.1", "a"), ("2001:db8:1::1", "a"), false),
            (("192.0.2.1", "a"), ("192.0.2.1", "b"), false),
            (("192.0.2.1", "a"), ("192.0.2.1", ""), false),
            (("192.0.2.1", "a"), ("", "a"), false),
            (("", ""), ("192.0.2.1", "a"), true),
        ] {
            assert_eq!(
                client(given.0, given.1).is_like(&client(kept.0, kept.1)),
                alike,
                "{kept:?} {given:?}"
            );
        }
        let long = "x".repeat(2000);
        assert!(client("", &long).is_like(&client("", &long).shortened()), "only what is kept is compared");
    }
}
