//! What an application may decide about accounts and tokens. The defaults are safe.

use crate::password::PasswordPolicy;
use crate::time::Timestamp;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// Every decision, with its default.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Session tokens, the answer of `/registration` and `/login`.
    pub session: SessionSettings,
    /// What a new password must be like.
    pub password_policy: PasswordPolicy,
    /// Which sessions a password change ends.
    pub password_change_ends: PasswordChangeEnds,
    /// How much the live view may hold.
    pub live: LiveSettings,
}

/// Session tokens.
#[derive(Debug, Clone)]
pub struct SessionSettings {
    /// How long a session and its token live. By default 60 days, as in the article.
    pub lifetime: Duration,
    /// After how long without a request a session counts as ended; `None`, the default: never.
    pub idle: Option<Duration>,
    /// Whether tokens that name no session are accepted, such as those that a Django application signed with the same
    /// secret key.
    pub without_session: WithoutSession,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { lifetime: 60 * DAY, idle: None, without_session: WithoutSession::Refuse }
    }
}

/// Whether tokens that name no session are accepted. Nothing can end such a token but its expiry, a password change or a sign-out
/// of its user.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WithoutSession {
    /// Never.
    #[default]
    Refuse,
    /// Until this instant.
    AcceptUntil(Timestamp),
    /// Always.
    Accept,
}

impl WithoutSession {
    /// Whether such a token is accepted at `now`.
    pub fn accepts(self, now: Timestamp) -> bool {
        match self {
            Self::Refuse => false,
            Self::AcceptUntil(end) => now < end,
            Self::Accept => true,
        }
    }
}

/// Which sessions a password change ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PasswordChangeEnds {
    /// All but the one that changed it.
    #[default]
    OtherSessions,
    /// All; the answer carries a new token.
    AllSessions,
}

/// How much the live view may hold; what is over is forgotten and read again.
#[derive(Debug, Clone, Copy)]
pub struct LiveSettings {
    /// Users, by default 100,000, each about 1 KiB.
    pub users: usize,
    /// Sessions, by default 1,000,000, each about 70 bytes.
    pub sessions: usize,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self { users: 100_000, sessions: 1_000_000 }
    }
}
