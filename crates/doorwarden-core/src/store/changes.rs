use crate::session::SessionId;
use crate::time::{Clock, SystemClock, Timestamp};
use crate::user::UserId;
use std::sync::Arc;
use std::time::Duration;

/// Something changed that a live view may hold. Written by triggers, so that changes by SQL are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A user's row, groups or direct permissions changed, or the user is gone.
    User(UserId),
    /// A group, its permissions, or a permission changed: any user may be concerned.
    AllUsers,
    /// A session ended or is gone.
    Session(SessionId),
    /// The signing keys changed.
    Keys,
    /// Changes may have been missed: everything cached must be dropped.
    Everything,
}

impl Change {
    /// Reads a row of the change log from its kind and id. [`Everything`](Self::Everything) if the row cannot
    /// be understood, such as one that a newer program has written.
    pub fn parse(
        kind: &str,
        user: impl FnOnce() -> Option<UserId>,
        session: impl FnOnce() -> Option<SessionId>,
    ) -> Self {
        match kind {
            "user" => user().map_or(Self::Everything, Self::User),
            "all_users" => Self::AllUsers,
            "session" => session().map_or(Self::Everything, Self::Session),
            "keys" => Self::Keys,
            _ => Self::Everything,
        }
    }
}

/// Receives the changes: the live view.
pub trait ChangeSink: Send + Sync + 'static {
    /// A change was committed.
    fn changed(&self, change: Change);

    /// From now on every committed change is received, and all earlier changes have been.
    fn connected(&self);

    /// From now on changes may be missed.
    fn disconnected(&self);

    /// A read of the change log begins.
    fn look(&self) -> Look {
        Look::begin(&SystemClock)
    }

    /// Everything that was committed before this read began has been passed to the sink.
    fn heard(&self, look: Look) {
        let _ = look;
    }
}

/// A connected feed; dropping the value disconnects the feed.
pub struct Connected(Arc<dyn ChangeSink>);

impl Connected {
    /// Notifies the sink that the feed is connected and, when the value is dropped, that the feed is
    /// disconnected.
    pub fn tell(sink: Arc<dyn ChangeSink>) -> Self {
        sink.connected();
        Self(sink)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connected(..)")
    }
}

/// When a read of the change log began, by the clock of the receiver.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    uptime: Duration,
    now: Timestamp,
}

impl Look {
    /// A read that begins now.
    pub fn begin(clock: &dyn Clock) -> Self {
        Self::at(clock.uptime(), clock.now())
    }

    /// A read that begins when the two clocks show these values.
    pub const fn at(uptime: Duration, now: Timestamp) -> Self {
        Self { uptime, now }
    }

    /// What [`Clock::uptime`] was.
    pub const fn uptime(self) -> Duration {
        self.uptime
    }

    /// What the wall clock showed beyond the uptime, in microseconds. It changes when somebody sets the
    /// clock, and when both stood still and only one was put right.
    pub fn ahead(self) -> i64 {
        self.now.as_micros().saturating_sub_unsigned(micros(self.uptime))
    }
}

/// In microseconds.
fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Announces committed changes, whoever made them: this process, another one, or SQL by hand.
pub trait ChangeFeed {
    /// Follows the changes until the store is closed, and notifies `sink`:
    /// [`connected`](ChangeSink::connected) when the connection is up,
    /// [`disconnected`](ChangeSink::disconnected) within half a second when the connection is lost (also when
    /// it drops silently), and after a reconnect all missed changes before the next `connected`. While the
    /// connection is up, a change is passed on within 100 ms of its commit. Reads the log several times
    /// within [`LEASE`](crate::live::LEASE), and calls [`heard`](ChangeSink::heard) after each read, even if
    /// nothing has changed. Called once.
    fn follow(&self, sink: Arc<dyn ChangeSink>);
}
