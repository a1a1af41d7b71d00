//! Turns: how many attempts at one account are in progress at once.

use super::Guesser;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How many attempts of one guesser are in progress at once. Each counts before it is compared, so that of
/// many at once no more are compared than one after the other; more right ones than may be wrong must wait
/// for each other, not be refused.
const AT_ONCE: usize = 4;
/// How many more wait for their turn. Whoever comes after them is counted at once, and so may be refused.
const MOST_WAITING: usize = 64;
/// How long an attempt waits for its turn at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// The attempts in progress.
#[derive(Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<Guesser, Arc<Semaphore>>>>);

/// The turn of an attempt, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Mutex<HashMap<Guesser, Arc<Semaphore>>>>,
    guesser: Guesser,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Waits for the turn of an attempt, but not for long.
    pub(crate) async fn wait(&self, guesser: Guesser) -> Turn {
        let semaphore = {
            let mut turns = self.0.lock();
            Arc::clone(turns.entry(guesser).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
        };
        let mut turn = Turn { turns: Arc::clone(&self.0), guesser, permit: None };
        // Each has one, and the map.
        if Arc::strong_count(&semaphore) - 1 <= AT_ONCE + MOST_WAITING {
            turn.permit = timeout(PATIENCE, semaphore.acquire_owned()).await.ok().and_then(Result::ok);
        }
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.turns.lock();
        self.permit = None;
        // One is the map's own.
        if turns.get(&self.guesser).is_some_and(|semaphore| Arc::strong_count(semaphore) == 1) {
            turns.remove(&self.guesser);
        }
    }
}
