use crate::session::SessionId;
use crate::time::{Clock, SystemClock, Timestamp};
use crate::user::UserId;
use std::sync::Arc;
use std::time::Duration;

/// Something changed that a live view may hold. Written by triggers, so that SQL by hand counts too.
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
    /// Changes may have been missed: forget everything.
    Everything,
}

impl Change {
    /// What a row of the change log says, by its kind and the id that goes with it. [`Everything`](Self::Everything) if the row cannot be
    /// understood, such as one that a newer program has written.
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

/// Who wants to hear of changes: the live view.
pub trait ChangeSink: Send + Sync + 'static {
    /// A change was committed.
    fn changed(&self, change: Change);

    /// From now on every committed change will be heard, and all earlier ones have been.
    fn connected(&self);

    /// From now on changes may be missed.
    fn disconnected(&self);

    /// A look at the log of changes begins.
    fn look(&self) -> Look {
        Look::begin(&SystemClock)
    }

    /// Everything that was committed before this look began has been told.
    fn heard(&self, look: Look) {
        let _ = look;
    }
}

/// A feed that is connected, until this is dropped.
pub struct Connected(Arc<dyn ChangeSink>);

impl Connected {
    /// Says so to the sink, and when it is dropped, that the feed is disconnected.
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

/// When a look at the log of changes began, by the clock of whoever listens.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    uptime: Duration,
    now: Timestamp,
}

impl Look {
    /// A look that begins now.
    pub fn begin(clock: &dyn Clock) -> Self {
        Self::at(clock.uptime(), clock.now())
    }

    /// A look that begins when the two clocks show this.
    pub const fn at(uptime: Duration, now: Timestamp) -> Self {
        Self { uptime, now }
    }

    /// What [`Clock::uptime`] was.
    pub const fn uptime(self) -> Duration {
        self.uptime
    }

    /// What the wall clock showed beyond the uptime, in microseconds. It changes when somebody sets the clock, and when both stood
    /// still and only one was put right.
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
    /// Follows the changes until the store is closed, and tells `sink`: [`connected`](ChangeSink::connected) when the channel
    /// lives, [`disconnected`](ChangeSink::disconnected) within half a second when it does not (also when the peer vanishes without
    /// a word), and after a reconnect everything that was missed before the next `connected`. A change is told within
    /// 100 ms of its commit while the channel lives. Looks at the log several times within [`LEASE`](crate::live::LEASE), and
    /// says what was [`heard`](ChangeSink::heard) after each look, also if nothing has changed. Called once.
    fn follow(&self, sink: Arc<dyn ChangeSink>);
}
