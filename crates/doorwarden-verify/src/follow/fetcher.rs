//! Schedules the fetches of one resource: periodically and on request, one at a time.

use parking_lot::Mutex;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// The maximum time to wait for a fetch.
pub(super) const WAIT: Duration = Duration::from_secs(2);

pub(super) struct Fetcher {
    asked: Notify,
    /// The number of requested fetches that have ended.
    answers: watch::Sender<u64>,
    state: Mutex<State>,
}

struct State {
    is_asked: bool,
    /// When the next routine fetch is due.
    due: Instant,
    /// When the running fetch began.
    began: Option<Instant>,
    /// Whether further requests may share the running or the next fetch: it was requested, or is the first.
    is_shared: bool,
    /// When the last requested fetch ended.
    answered: Option<Instant>,
}

impl Fetcher {
    pub(super) fn new() -> Self {
        let state =
            State { is_asked: false, due: Instant::now(), began: None, is_shared: true, answered: None };
        Self { asked: Notify::new(), answers: watch::Sender::new(0), state: Mutex::new(state) }
    }

    /// Requests a fetch, unless the last requested one ended less than `interval` ago, and waits for its end
    /// for at most `wait`. Concurrent requests share one fetch; none waits for a fetch that has taken too
    /// long already.
    pub(super) async fn ask(&self, interval: Duration, wait: Duration) {
        let (mut answers, wait) = {
            let mut state = self.state.lock();
            // A routine fetch may have begun before the news was published.
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
        // After a timeout the caller goes on with what is known.
        let _ = timeout(wait, answers.changed()).await;
    }

    /// How much is left of `interval` since the last requested fetch.
    pub(super) fn rest(&self, interval: Duration) -> Duration {
        self.state.lock().answered.map_or(Duration::ZERO, |at| interval.saturating_sub(at.elapsed()))
    }

    /// Delays the next routine fetch by at least `duration`.
    pub(super) fn put_off(&self, duration: Duration) {
        let mut state = self.state.lock();
        state.due = state.due.max(Instant::now() + duration);
    }

    /// Records the end of a fetch; the next routine one is due after `pause`.
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

    /// Waits until it is time to fetch. Returns whether the fetch was requested. Call [`ended`](Self::ended)
    /// afterwards.
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
