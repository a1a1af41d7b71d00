//! Answers that must not tell whether there is an account do the same work for everybody, and are given at
//! the same time after they were asked for: the work differs by microseconds (a foreign key that is checked,
//! a row that is read), and whoever asks often enough sees an average.

use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The instants at which an answer is given, counted from its beginning. Longer than the reads and the write
/// behind it take; unnoticed by people.
const GRID: Duration = Duration::from_millis(25);

/// Does the work, and returns at the first multiple of 25 ms after its beginning.
pub(super) async fn on_grid<T>(work: impl Future<Output = T>) -> T {
    let begin = Instant::now();
    let done = work.await;
    next_tick(begin).await;
    done
}

/// As [`on_grid`], but what succeeds is returned at once: it tells more than its time could.
pub(super) async fn failing_on_grid<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let begin = Instant::now();
    let done = work.await;
    if done.is_err() {
        next_tick(begin).await;
    }
    done
}

/// The end of a work that began at `begin`: waits for the next multiple of 25 ms.
pub(super) async fn next_tick(begin: Instant) {
    let ticks = begin.elapsed().as_nanos() / GRID.as_nanos();
    let next = u32::try_from(ticks).unwrap_or(u32::MAX).saturating_add(1);
    sleep_until(begin + GRID.saturating_mul(next)).await;
}
