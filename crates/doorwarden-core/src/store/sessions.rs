use super::StoreError;
use crate::audit::Effects;
use crate::authentication::{AuthContext, Completed, PasswordProof, Purpose};
use crate::password::PasswordHash;
use crate::refresh::{self, Presented, Repeat};
use crate::session::{EndReason, Session, SessionCursor, SessionId};
use crate::time::Timestamp;
use crate::user::UserId;
use async_trait::async_trait;

/// Sessions in the store.
#[async_trait]
pub trait SessionStore {
    /// Opens a session and, for a login, records it, all at once. `None` if the user is gone or inactive, or
    /// if the password that was verified is no longer the stored one, or they have got a factor that was not
    /// proved: a login that races with a password change, a deactivation or an enrolment opens nothing.
    ///
    /// Of more sessions than [`OpenSession::most`] at most [`Opened::MOST_ENDED`] end with
    /// [`EndReason::Limit`] in the same step, the least recently used. Ended and expired sessions are not
    /// counted. The time of last use is [written late](Session::last_seen_at), so a session that was used
    /// after it was opened is taken as used 90 seconds later than is written. Each of these ends is an event
    /// with the cause of `effects`.
    async fn open_session(&self, open: OpenSession, effects: Effects) -> Result<Option<Opened>, StoreError>;

    /// Ends with [`EndReason::Limit`] at most `limit` of the sessions that a user has beyond `most`, the
    /// least recently used; returns these. Looks at 10,000 of the user's sessions at most. Each end is an
    /// event with the cause of `effects`.
    async fn limit_sessions(
        &self,
        user: UserId,
        most: u32,
        at: Timestamp,
        limit: u32,
        effects: Effects,
    ) -> Result<Vec<SessionId>, StoreError>;

    /// The session with this id, ended or not; `None` if there is no such session. A session whose
    /// [generation](Session::generation) is not that of its user has ended.
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError>;

    /// The sessions of a user that have neither ended nor expired at `now`, newest first, those behind
    /// `after` and at most `limit`.
    async fn sessions_of(
        &self,
        user: UserId,
        now: Timestamp,
        after: Option<SessionCursor>,
        limit: usize,
    ) -> Result<Vec<Session>, StoreError>;

    /// Records that the user of a live session was authenticated once more, now, if `verified` is still the
    /// stored password; `false` if it is not, if the user has a factor and the level is below 2, or if there
    /// is no such session.
    async fn authenticate_session(
        &self,
        id: SessionId,
        user: UserId,
        auth: AuthContext,
        verified: Option<&PasswordHash>,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Ends a session of `user`; `false` if there is none that has not ended.
    async fn end_session(
        &self,
        id: SessionId,
        user: UserId,
        reason: EndReason,
        at: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Ends the sessions of a user except `except`, in constant time; returns how many, or only that there
    /// were more than 1,000. `None`, and nothing happens, if `except` is given and is not live at `at`, or
    /// the user is gone: of two sessions that end all others at the same time, one stays open. If there are
    /// no others, nothing happens either.
    async fn end_sessions_of(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: EndReason,
        at: Timestamp,
        effects: Effects,
    ) -> Result<Option<u64>, StoreError>;

    /// Rotates a refresh token as [`refresh::decide`](crate::refresh::decide) says and stores the result, all
    /// at once: of two calls with the same token one comes first. Concurrent calls are gathered into few
    /// commits. A rotation is no event; a late repeat and a reuse are
    /// ([`Event::of_decision`](crate::event::Event::of_decision)), with the cause of `effects`.
    async fn rotate_refresh(&self, shown: Presented, effects: Effects) -> Result<Rotation, StoreError>;

    /// Gives a session a refresh token newer than any that was ever issued for it
    /// ([`refresh::renewed`](crate::refresh::renewed)), within the given limits; the session keeps its own
    /// limits where they are narrower. Returns the updated session; `None` if the session is not live.
    async fn renew_refresh(
        &self,
        id: SessionId,
        renewal: Renewal,
        effects: Effects,
    ) -> Result<Option<Session>, StoreError>;

    /// What was revoked at `since` or later, for the revocation feed.
    async fn revocations(&self, since: Timestamp) -> Result<Revocations, StoreError>;

    /// Writes when sessions were last seen; never moves an instant back, and does not notify the change feed.
    async fn touch_sessions(&self, seen: &[(SessionId, Timestamp)]) -> Result<(), StoreError>;

    /// Marks the rows of at most `limit` sessions as ended that ended together with all others of their user
    /// at `before` or earlier; returns whether there may be more. Does not notify the change feed. The record
    /// of the common end is deleted when the last of the sessions would have expired before `before`.
    async fn settle_ends(&self, before: Timestamp, limit: u32) -> Result<bool, StoreError>;

    /// Deletes at most `limit` sessions that ended or expired before `before`; returns how many. Sessions
    /// that ended or expired within the last day by the database's clock are kept, so that an instance with a
    /// wrong clock deletes no live session.
    async fn purge_sessions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Deletes at most `limit` entries of the change log that are older than `before`, and the records of
    /// sessions whose rows were deleted; returns the larger of the two numbers. Entries of the last five
    /// minutes stay: a follower that was disconnected for a moment must find what it missed.
    async fn purge_changes(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// A session to be opened, for which every required factor was verified.
#[derive(Debug, Clone)]
pub struct OpenSession {
    session: Session,
    completed: Completed,
    most: Option<u32>,
}

impl OpenSession {
    /// To open `session`, which becomes authenticated as `completed` says and gets its generation from the
    /// store. The user may have at most `most` sessions including this one; `None`: any number.
    pub fn new(session: Session, completed: Completed, most: Option<u32>) -> Self {
        Self { session: Session { auth: completed.auth(), ..session }, completed, most }
    }

    /// The session as it is to be stored, but for its generation.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What was verified, and must still be the stored password.
    pub fn password(&self) -> Option<&PasswordProof> {
        self.completed.password()
    }

    /// Whether a mail to the address of the account was answered.
    pub fn proves_email(&self) -> bool {
        self.completed.proves_email()
    }

    /// Whether the session is opened by a login, which is recorded with the user.
    pub fn is_login(&self) -> bool {
        self.completed.purpose() == Purpose::LogIn
    }

    /// Whether the session may be opened for a user who has a [factor](crate::factor): it was proved, or the
    /// application vouches for the user.
    pub fn may_have_factor(&self) -> bool {
        self.completed.purpose() == Purpose::Issue || self.session.assurance_level() >= 2
    }

    /// Maximum number of sessions of the user, including this one; `None`: any number.
    pub fn most(&self) -> Option<u32> {
        self.most
    }
}

/// A session was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The session's generation.
    pub generation: i64,
    /// The sessions that ended because there were more than the user may have.
    pub ended: Vec<SessionId>,
}

impl Opened {
    /// Maximum number of sessions that end when one is opened. If there are that many in
    /// [`ended`](Self::ended), there may be more to end.
    pub const MOST_ENDED: u32 = 10;
}

/// What was revoked in a span of time, each list by instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Sessions that ended before they expired, with the time and the user. Only sessions that have or had
    /// refresh tokens: others have no access tokens.
    pub sessions: Vec<(SessionId, Timestamp, UserId)>,
    /// Users whose [`tokens_valid_after`](crate::user::User::tokens_valid_after) was set, and its value,
    /// which concerns tokens without a session.
    pub users: Vec<(UserId, Timestamp)>,
    /// Users of whom more than [`ONE_BY_ONE`](Self::ONE_BY_ONE) sessions ended together: their tokens that
    /// were issued at or before the instant are not valid, except those of the session that stayed open.
    /// Their sessions are not in the other list.
    pub all_of: Vec<(UserId, Timestamp, Option<SessionId>)>,
    /// More was revoked than [`MOST`](Self::MOST) entries: no token that was issued at or before this instant
    /// is valid, and the lists have what was revoked later.
    pub before: Option<Timestamp>,
}

impl Revocations {
    /// How many sessions of a user that ended together are listed one by one.
    pub const ONE_BY_ONE: u32 = 1_000;

    /// How many entries each list has at most.
    pub const MOST: u32 = 100_000;

    /// Builds the value from lists that begin with the newest entry and have at most one entry more than
    /// [`MOST`](Self::MOST).
    pub fn from_newest(
        mut sessions: Vec<(SessionId, Timestamp, UserId)>,
        mut users: Vec<(UserId, Timestamp)>,
        mut all_of: Vec<(UserId, Timestamp, Option<SessionId>)>,
    ) -> Self {
        let most = Self::MOST as usize;
        let surplus = [
            sessions.get(most).map(|(_, at, _)| *at),
            users.get(most).map(|(_, at)| *at),
            all_of.get(most).map(|(_, at, _)| *at),
        ];
        let before = surplus.into_iter().flatten().max();
        let is_later = |at: Timestamp| before.is_none_or(|before| at > before);
        sessions.retain(|(_, at, _)| is_later(*at));
        users.retain(|(_, at)| is_later(*at));
        all_of.retain(|(_, at, _)| is_later(*at));
        sessions.reverse();
        users.reverse();
        all_of.reverse();
        Self { sessions, users, all_of, before }
    }

    /// Adds that it is not known which sessions there were until `at`.
    #[must_use]
    pub fn and_all_until(mut self, at: Option<Timestamp>) -> Self {
        self.before = self.before.max(at);
        if let Some(before) = self.before {
            self.sessions.retain(|(_, at, _)| *at > before);
            self.users.retain(|(_, at)| *at > before);
            self.all_of.retain(|(_, at, _)| *at > before);
        }
        self
    }
}

/// The limits of a session that is given a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The time of the operation.
    pub at: Timestamp,
    /// The latest time at which the session ends.
    pub expires_at: Timestamp,
    /// Maximum idle time of the session, in seconds.
    pub idle_seconds: i64,
    /// The audience of the session's access tokens from now on; `None`: unchanged.
    pub audience: Option<String>,
}

impl Renewal {
    /// The session as it is to be stored; `None` if the session is not live.
    pub fn of(&self, session: &Session, has_owner: bool) -> Option<Session> {
        let renewed = refresh::renewed(session, has_owner, self.at)?;
        Some(Session {
            expires_at: renewed.expires_at.min(self.expires_at),
            idle_seconds: Some(
                renewed.idle_seconds.map_or(self.idle_seconds, |own| own.min(self.idle_seconds)),
            ),
            audience: self.audience.clone().or_else(|| renewed.audience.clone()),
            ..renewed
        })
    }
}

/// The result of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// The token was the newest; the session has the new counter.
    Rotated(Session),
    /// The token was the one before the newest (a lost response, a second tab); the session is unchanged, and
    /// its counter names the newest token.
    Repeated(Session, Repeat),
    /// The token was reused, so somebody has a copy: the session has been ended.
    Reused(Session),
    /// The session has ended, expired or was idle for too long, belongs to an inactive user, or never had
    /// this counter.
    Refused,
    /// There is no such session.
    Unknown,
}
