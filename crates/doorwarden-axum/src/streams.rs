//! Answers that do not end by themselves.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How many streams there may be at a time. Each holds a connection, and little else.
const PLACES: usize = 1024;

/// How long a stream lasts; the client comes again then. So a place that a vanished client holds becomes free.
pub(crate) const LIFETIME: Duration = Duration::from_mins(15);

/// The places for streams, and the word that ends them all.
#[derive(Debug)]
pub(crate) struct Streams {
    places: Arc<Semaphore>,
    ended: watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), ended: watch::Sender::new(false) }
    }
}

impl Streams {
    /// A place, which is free again when it is dropped; `None` if there is none.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Becomes `true` when streams have to end.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    pub(crate) fn end(&self) {
        self.ended.send_replace(true);
    }
}
