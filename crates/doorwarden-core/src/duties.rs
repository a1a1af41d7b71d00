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
    /// This user may have more sessions than a user may have.
    pub fn limit_sessions_of(&self, user: UserId) {
        self.over_limit.lock().insert(user);
    }

    /// One of these users.
    pub(crate) fn next_over_limit(&self) -> Option<UserId> {
        self.over_limit.lock().iter().next().copied()
    }

    /// This user has no more than a user may have.
    pub(crate) fn is_within_limit(&self, user: UserId) {
        self.over_limit.lock().remove(&user);
    }
}
