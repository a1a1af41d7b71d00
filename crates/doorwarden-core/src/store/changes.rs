use crate::session::SessionId;
use crate::user::UserId;
use std::sync::Arc;

/// Something changed that a live view may hold. Written by triggers, so that SQL by hand counts too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Who wants to hear of changes: the live view.
pub trait ChangeSink: Send + Sync + 'static {
    /// A change was committed.
    fn changed(&self, change: Change);

    /// From now on every committed change will be heard, and all earlier ones have been.
    fn connected(&self);

    /// From now on changes may be missed.
    fn disconnected(&self);
}

/// Announces committed changes, whoever made them: this process, another one, or SQL by hand.
pub trait ChangeFeed {
    /// Follows the changes until the store is closed, and tells `sink`: [`connected`](ChangeSink::connected) when the channel
    /// lives, [`disconnected`](ChangeSink::disconnected) within half a second when it does not (also when the peer vanishes without
    /// a word), and after a reconnect everything that was missed before the next `connected`. A change is told within
    /// 100 ms of its commit while the channel lives. Called once.
    fn follow(&self, sink: Arc<dyn ChangeSink>);
}
