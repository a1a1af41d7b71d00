//! What flows leave to the background tasks.

use crate::user::UserId;
use parking_lot::Mutex;
use std::collections::HashSet;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Duties {
    over_limit: Mutex<HashSet<UserId>>,
}

impl Duties {
    /// Records that this user may be over the limit of sessions.
    pub fn limit_sessions_of(&self, user: UserId) {
        self.over_limit.lock().insert(user);
    }

    /// One of these users.
    pub(crate) fn next_over_limit(&self) -> Option<UserId> {
        self.over_limit.lock().iter().next().copied()
    }

    /// Records that this user is within the limit of sessions.
    pub(crate) fn is_within_limit(&self, user: UserId) {
        self.over_limit.lock().remove(&user);
    }
}
