//! Something that is fetched from time to time, and when somebody cannot do without; one fetch at a time, whoever asks.

use parking_lot::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// How long anybody waits for a fetch at most.
pub(super) const WAIT: Duration = Duration::from_secs(2);

pub(super) struct Fetcher {
    asked: Notify,
    /// How many fetches have ended that were shared.
    answers: watch::Sender<u64>,
    state: Mutex<State>,
}

struct State {
    is_asked: bool,
    /// When the next routine fetch is due.
    due: Instant,
    /// When the one that is under way began.
    began: Option<Instant>,
    /// Whether those who ask may share that one, or the next: it was asked for, or is the first.
    is_shared: bool,
    /// When the last one that was asked for ended.
    answered: Option<Instant>,
}

impl Fetcher {
    pub(super) fn new() -> Self {
        let state =
            State { is_asked: false, due: Instant::now(), began: None, is_shared: true, answered: None };
        Self { asked: Notify::new(), answers: watch::Sender::new(0), state: Mutex::new(state) }
    }

    /// Has it fetched, unless somebody had that less than `interval` ago, and waits for the end as long as `wait`. Those who ask
    /// meanwhile share the fetch; nobody waits for one that has taken too long already.
    pub(super) async fn ask(&self, interval: Duration, wait: Duration) {
        let (mut answers, wait) = {
            let mut state = self.state.lock();
            // A routine fetch may have begun before there was anything to be learned.
            if !state.is_shared {
                if state.answered.is_some_and(|at| at.elapsed() < interval) {
                    return;
                }
                state.is_asked = true;
                self.asked.notify_one();
            }
            let wait = state.began.map_or(wait, |began| wait.min(WAIT.saturating_sub(began.elapsed())));
            (self.answers.subscribe(), wait)
        };
        // Whoever waited in vain goes on with what is known.
        let _ = timeout(wait, answers.changed()).await;
    }

    /// How much is left of `interval` since the last fetch that was asked for.
    pub(super) fn rest(&self, interval: Duration) -> Duration {
        self.state.lock().answered.map_or(Duration::ZERO, |at| interval.saturating_sub(at.elapsed()))
    }

    /// The next routine fetch is not due before.
    pub(super) fn put_off(&self, duration: Duration) {
        let mut state = self.state.lock();
        state.due = state.due.max(Instant::now() + duration);
    }

    /// A fetch has ended, and the next routine one is due after `pause`.
    pub(super) fn ended(&self, is_asked: bool, pause: Duration) {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.began = None;
        state.due = state.due.max(now + pause);
        if is_asked {
            state.answered = Some(now);
        }
        if std::mem::take(&mut state.is_shared) {
            self.answers.send_modify(|answers| *answers += 1);
        }
    }

    /// Waits until it is time to fetch; whether somebody asked for it. [`ended`](Self::ended) follows.
    pub(super) async fn next(&self) -> bool {
        loop {
            let left = {
                let mut state = self.state.lock();
                let left = state.due.saturating_duration_since(Instant::now());
                if state.is_asked || left.is_zero() {
                    state.began = Some(Instant::now());
                    let is_asked = std::mem::take(&mut state.is_asked);
                    state.is_shared |= is_asked;
                    return is_asked;
                }
                left
            };
            let _ = timeout(left, self.asked.notified()).await;
        }
    }
}
