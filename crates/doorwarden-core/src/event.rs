//! What happened that matters to security: one typed event for each, for the log, hooks and the [audit log](crate::audit).

use crate::session::{EndReason, SessionId};
use crate::user::UserId;
use serde_json::{Map, Value, json};

/// Something that matters to security happened. Holds no secret, no address and nothing that a client typed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An account was created, by its owner or by an operator.
    UserCreated {
        /// The new user.
        user: UserId,
    },
    /// Somebody logged in.
    LoggedIn {
        /// Who.
        user: UserId,
        /// The session that it opened.
        session: SessionId,
    },
    /// A session was opened without a login: after a registration or a change of the password, or by the application.
    SessionOpened {
        /// Whose.
        user: UserId,
        /// The session.
        session: SessionId,
    },
    /// Somebody did not get in.
    LoginFailed {
        /// Whose account it was about; `None` if there is none.
        user: Option<UserId>,
        /// Why.
        reason: LoginFailure,
    },
    /// A session ended before its time.
    SessionEnded {
        /// Whose.
        user: UserId,
        /// Which.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// All sessions of a user, or all but one, were ended.
    SessionsEnded {
        /// Whose.
        user: UserId,
        /// How many.
        count: u64,
        /// Why.
        reason: EndReason,
    },
    /// All sessions of all users were ended.
    EverybodySignedOut {
        /// Of how many users.
        users: u64,
        /// How many.
        sessions: u64,
    },
    /// A refresh token came back although it was not the newest, and got the newest again. It may have been a lost answer.
    RefreshRepeated {
        /// Whose.
        user: UserId,
        /// Which session.
        session: SessionId,
        /// What is noteworthy about it.
        sign: RepeatSign,
    },
    /// A refresh token came back that should not have: somebody has a copy. The session has ended.
    RefreshReused {
        /// Whose.
        user: UserId,
        /// Which session.
        session: SessionId,
    },
    /// A password was changed.
    PasswordChanged {
        /// Whose.
        user: UserId,
    },
    /// A profile was changed by its owner.
    ProfileChanged {
        /// Whose.
        user: UserId,
    },
    /// An account was deleted.
    UserDeleted {
        /// Whose.
        user: UserId,
    },
}

/// What is noteworthy about a refresh token that was repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepeatSign {
    /// It came after the grace, and was counted.
    Late,
    /// It came within the grace, but from another address network or user agent than the login.
    Elsewhere,
}

impl RepeatSign {
    /// The word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// Why a login failed. Told to the log, never to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginFailure {
    /// Nobody has this address.
    UnknownEmail,
    /// The password is wrong.
    WrongPassword,
    /// The account is switched off.
    Inactive,
    /// The account has no password.
    UnusablePassword,
    /// The stored hash cannot be read.
    UnreadableHash,
    /// The stored hash costs more than the ceilings allow.
    ExpensiveHash,
    /// A hook refused.
    Refused,
    /// The account was changed while its password was being checked.
    Raced,
}

impl LoginFailure {
    /// The word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownEmail => "unknown_email",
            Self::WrongPassword => "wrong_password",
            Self::Inactive => "inactive",
            Self::UnusablePassword => "unusable_password",
            Self::UnreadableHash => "unreadable_hash",
            Self::ExpensiveHash => "expensive_hash",
            Self::Refused => "refused",
            Self::Raced => "raced",
        }
    }
}

/// What only the database knows about a change. A flow leaves it out of an event ([`UserId::NEW`], a count of 0), and the store fills it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The id of the user who was created.
    User(UserId),
    /// How many there were.
    Count(u64),
}

/// Whether what was tried was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was refused.
    Failure,
}

impl Outcome {
    /// The word that is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }

    /// The outcome that is stored as this word, if it is one.
    pub fn from_stored(word: &str) -> Option<Self> {
        [Self::Success, Self::Failure].into_iter().find(|outcome| outcome.as_str() == word)
    }
}

impl Event {
    /// A stable name, in snake case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UserCreated { .. } => "user_created",
            Self::LoggedIn { .. } => "logged_in",
            Self::SessionOpened { .. } => "session_opened",
            Self::LoginFailed { .. } => "login_failed",
            Self::SessionEnded { .. } => "session_ended",
            Self::SessionsEnded { .. } => "sessions_ended",
            Self::EverybodySignedOut { .. } => "everybody_signed_out",
            Self::RefreshRepeated { .. } => "refresh_repeated",
            Self::RefreshReused { .. } => "refresh_reused",
            Self::PasswordChanged { .. } => "password_changed",
            Self::ProfileChanged { .. } => "profile_changed",
            Self::UserDeleted { .. } => "user_deleted",
        }
    }

    /// The ends of sessions of a user who had more than a user may have.
    pub fn surplus(user: UserId, ended: &[SessionId]) -> impl Iterator<Item = Self> {
        ended.iter().map(move |session| Self::SessionEnded {
            user,
            session: *session,
            reason: EndReason::Limit,
        })
    }

    /// Whose account it is about, if it is about one.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::UserCreated { user }
            | Self::LoggedIn { user, .. }
            | Self::SessionOpened { user, .. }
            | Self::SessionEnded { user, .. }
            | Self::SessionsEnded { user, .. }
            | Self::RefreshRepeated { user, .. }
            | Self::RefreshReused { user, .. }
            | Self::PasswordChanged { user }
            | Self::ProfileChanged { user }
            | Self::UserDeleted { user } => Some(*user),
            Self::LoginFailed { user, .. } => *user,
            Self::EverybodySignedOut { .. } => None,
        }
    }

    /// The session that it is about, if it is about one.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::LoggedIn { session, .. }
            | Self::SessionOpened { session, .. }
            | Self::SessionEnded { session, .. }
            | Self::RefreshRepeated { session, .. }
            | Self::RefreshReused { session, .. } => Some(*session),
            _ => None,
        }
    }

    /// Whether what was tried was done.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::LoginFailed { .. } | Self::RefreshReused { .. } => Outcome::Failure,
            _ => Outcome::Success,
        }
    }

    /// What the event says besides its name, user and session, as JSON.
    pub fn data(&self) -> Map<String, Value> {
        let data = match self {
            Self::LoginFailed { reason, .. } => json!({"reason": reason.as_str()}),
            Self::SessionEnded { reason, .. } => json!({"reason": reason.as_str()}),
            Self::SessionsEnded { count, reason, .. } => json!({"count": count, "reason": reason.as_str()}),
            Self::EverybodySignedOut { users, sessions } => json!({"users": users, "sessions": sessions}),
            Self::RefreshRepeated { sign, .. } => json!({"sign": sign.as_str()}),
            Self::UserCreated { .. }
            | Self::LoggedIn { .. }
            | Self::SessionOpened { .. }
            | Self::RefreshReused { .. }
            | Self::PasswordChanged { .. }
            | Self::ProfileChanged { .. }
            | Self::UserDeleted { .. } => return Map::new(),
        };
        match data {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// Takes what only the database knows.
    pub(crate) fn fill(&mut self, found: Found) {
        match (self, found) {
            (Self::UserCreated { user }, Found::User(id)) if *user == UserId::NEW => *user = id,
            (Self::SessionsEnded { count, .. }, Found::Count(n)) => *count = n,
            _ => {}
        }
    }

    /// Writes the event to the log: a sentence and fields.
    pub(crate) fn log(&self) {
        use tracing::{info, warn};
        match self {
            Self::UserCreated { user } => info!(user.id = user.0, "an account was created"),
            Self::LoggedIn { user, session } => {
                info!(user.id = user.0, session.id = %session, "a user logged in");
            }
            Self::SessionOpened { user, session } => {
                info!(user.id = user.0, session.id = %session, "a session was opened");
            }
            Self::LoginFailed {
                user: Some(user),
                reason: reason @ (LoginFailure::UnreadableHash | LoginFailure::ExpensiveHash),
            } => {
                warn!(user.id = user.0, ?reason, "a login failed because of the stored password hash");
            }
            Self::LoginFailed { user, reason } => {
                info!(user.id = user.map(|u| u.0), ?reason, "a login failed");
            }
            Self::SessionEnded { user, session, reason } => {
                info!(user.id = user.0, session.id = %session, reason = reason.as_str(), "a session ended");
            }
            Self::SessionsEnded { user, count, reason } => {
                info!(user.id = user.0, count, reason = reason.as_str(), "sessions ended");
            }
            Self::EverybodySignedOut { users, sessions } => {
                info!(users, sessions, "everybody was signed out");
            }
            Self::RefreshRepeated { user, session, sign: RepeatSign::Late } => {
                warn!(user.id = user.0, session.id = %session, "a refresh token came back late, and was counted");
            }
            Self::RefreshRepeated { user, session, sign: RepeatSign::Elsewhere } => {
                warn!(
                    user.id = user.0,
                    session.id = %session,
                    "a refresh token came back from another network or program than the login did"
                );
            }
            Self::RefreshReused { user, session } => {
                warn!(user.id = user.0, session.id = %session, "a refresh token was used again: the session has ended");
            }
            Self::PasswordChanged { user } => info!(user.id = user.0, "a password was changed"),
            Self::ProfileChanged { user } => info!(user.id = user.0, "a profile was changed"),
            Self::UserDeleted { user } => info!(user.id = user.0, "an account was deleted"),
        }
    }
}
