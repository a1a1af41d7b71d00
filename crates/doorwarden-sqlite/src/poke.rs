use parking_lot::{Condvar, Mutex};
use std::time::Duration;

/// Wakes the thread that follows the changes: there is something to see, or it shall end.
#[derive(Debug, Default)]
pub(crate) struct Poke {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    poked: bool,
    closed: bool,
}

impl Poke {
    pub(crate) fn now(&self) {
        self.state.lock().poked = true;
        self.changed.notify_all();
    }

    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits for a poke, at most so long; `false` if this is the end.
    pub(crate) fn wait(&self, most: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.poked && !state.closed {
            self.changed.wait_for(&mut state, most);
        }
        state.poked = false;
        !state.closed
    }
}
