//! How long one request waits for the database, all of its calls together. A limit for each call alone would
//! let a request with three of them wait three times as long as anybody was promised.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long a request waits for the database.
pub const REQUEST_LIMIT: Duration = Duration::from_millis(1800);

tokio::task_local! {
    static LEFT: Cell<Duration>;
}

/// Runs `work`, whose calls to a store share one [`REQUEST_LIMIT`]. Within work that is already limited, the
/// existing limit applies. Tasks that `work` spawns are not limited.
pub async fn one_request<T>(work: impl Future<Output = T>) -> T {
    match LEFT.try_with(|_| ()) {
        Ok(()) => work.await,
        Err(_) => LEFT.scope(Cell::new(REQUEST_LIMIT), work).await,
    }
}

/// Runs one call of a store with the time that it may take: `limit`, or what remains of the request's limit.
/// The elapsed time is subtracted from the request's limit.
pub async fn call<T, F: Future<Output = T>>(limit: Duration, call: impl FnOnce(Duration) -> F) -> T {
    let began = Instant::now();
    let result = call(LEFT.try_with(Cell::get).map_or(limit, |left| left.min(limit))).await;
    // Not within a request: there is no limit to subtract from.
    let _ = LEFT.try_with(|left| left.set(left.get().saturating_sub(began.elapsed())));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Duration = Duration::from_millis(1900);

    async fn allowed() -> Duration {
        call(CALL, |limit| async move { limit }).await
    }

    #[tokio::test]
    async fn the_calls_of_one_request_share_a_limit() {
        assert_eq!(allowed().await, CALL, "outside of requests each has its own");
        one_request(async {
            let first = allowed().await;
            assert!(first <= REQUEST_LIMIT && first > REQUEST_LIMIT / 2, "{first:?}");
            call(CALL, |_| tokio::time::sleep(Duration::from_millis(30))).await;
            let second = one_request(allowed()).await;
            assert!(second + Duration::from_millis(30) <= REQUEST_LIMIT, "{second:?}");
        })
        .await;
        assert_eq!(allowed().await, CALL);
    }
}
