use super::StoreError;
use crate::password::PasswordHash;
use crate::session::{EndReason, Session, SessionId};
use crate::time::Timestamp;
use crate::user::UserId;
use async_trait::async_trait;

/// Sessions in the store.
#[async_trait]
pub trait SessionStore {
    /// Opens a session and, for a login, records it, all at once. `false` if the user is gone or inactive, or if the
    /// password that was verified is no longer the stored one: a login that races with a password change or a
    /// deactivation opens nothing.
    async fn open_session(&self, open: OpenSession) -> Result<bool, StoreError>;

    /// The session of this id, ended or not; `None` if there is none.
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError>;

    /// The sessions of a user that have neither ended nor expired at `now`, newest first.
    async fn sessions_of(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>, StoreError>;

    /// Ends a session of `user`; `false` if there is none that has not ended.
    async fn end_session(
        &self,
        id: SessionId,
        user: UserId,
        reason: EndReason,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Ends the sessions of a user but `except`; how many.
    async fn end_sessions_of(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: EndReason,
        at: Timestamp,
    ) -> Result<u64, StoreError>;

    /// Takes a refresh token for what it is, by its counter: one conditional update. The newest (n) rotates: the row's
    /// counter becomes n+1. The one before the newest gets the newest again. Anything older ends the session with
    /// [`EndReason::RefreshReused`]. Sets `last_seen_at` when it rotates. Concurrent calls are gathered into few commits.
    async fn rotate_refresh(
        &self,
        id: SessionId,
        counter: i64,
        at: Timestamp,
    ) -> Result<Rotation, StoreError>;

    /// Gives a session that has none a refresh token: its counter becomes 0. Returns the session as it then is, also if it had a counter
    /// already; `None` if it has ended or expired at `at`, or if there is none.
    async fn start_refresh(&self, id: SessionId, at: Timestamp) -> Result<Option<Session>, StoreError>;

    /// What was revoked at `since` or later: what the revocation feed says.
    async fn revocations(&self, since: Timestamp) -> Result<Revocations, StoreError>;

    /// Writes when sessions were last seen; never moves an instant back, and tells no change feed.
    async fn touch_sessions(&self, seen: &[(SessionId, Timestamp)]) -> Result<(), StoreError>;

    /// Deletes at most `limit` sessions that ended or expired before `before`, and entries of the change log older than that;
    /// how many sessions were deleted.
    async fn purge_sessions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// A session to be opened.
#[derive(Debug, Clone)]
pub struct OpenSession {
    /// The session.
    pub session: Session,
    /// For a login: what was verified, and what to store with it.
    pub login: Option<LoginProof>,
}

/// What a login proved, and what it leaves behind.
#[derive(Debug, Clone)]
pub struct LoginProof {
    /// The hash that the password was verified against; it must still be the stored one.
    pub verified: PasswordHash,
    /// The same password hashed with the current settings, to be stored in its place. Not a password change: no token
    /// ends.
    pub rehashed: Option<PasswordHash>,
}

/// What was revoked in a span of time, each list by instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Sessions that ended before their time, and when.
    pub sessions: Vec<(SessionId, Timestamp)>,
    /// Users whose [`tokens_valid_after`](crate::user::User::tokens_valid_after) was set, and to what: it concerns tokens without a session.
    pub users: Vec<(UserId, Timestamp)>,
}

/// What became of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// It was the newest; the session with its new counter.
    Rotated(Session),
    /// It was the one before the newest (a lost answer, a second tab); the session as it is, its counter names the newest.
    Repeated(Session),
    /// It was older: the session has ended just now.
    Reused(Session),
    /// The session has ended, expired, was idle too long, belongs to an inactive user, or never had this counter.
    Refused,
    /// There is no such session.
    Unknown,
}
