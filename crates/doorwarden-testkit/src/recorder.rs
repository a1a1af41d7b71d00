use crate::wait_until;
use doorwarden_core::store::{Change, ChangeSink};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Far longer than a change may take, so that a busy machine fails no test. Another test checks the time
/// itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// A [`ChangeSink`] that records changes.
#[derive(Debug, Default)]
pub struct Recorder {
    heard: Mutex<Vec<Change>>,
    connected: AtomicBool,
}

impl Recorder {
    /// A recorder without changes, not connected.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The changes since the last [`clear`](Self::clear), in order.
    pub fn heard(&self) -> Vec<Change> {
        self.heard.lock().clone()
    }

    /// Forgets the recorded changes.
    pub fn clear(&self) {
        self.heard.lock().clear();
    }

    /// Whether the feed is connected.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::SeqCst)
    }

    /// Waits until the feed is connected. Panics after ten seconds.
    pub async fn until_connected(&self) {
        assert!(wait_until(PATIENCE, || self.is_connected()).await, "the change feed did not connect");
    }

    /// Waits until `change` was received. Panics after ten seconds.
    pub async fn until_heard(&self, change: Change) {
        let found = wait_until(PATIENCE, || self.heard.lock().contains(&change)).await;
        assert!(found, "heard {:?}, but not {change:?}", self.heard());
    }
}

impl ChangeSink for Recorder {
    fn changed(&self, change: Change) {
        self.heard.lock().push(change);
    }

    fn connected(&self) {
        self.connected.store(true, Ordering::SeqCst);
    }

    fn disconnected(&self) {
        self.connected.store(false, Ordering::SeqCst);
    }
}
