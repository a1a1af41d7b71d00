//! Concurrent calls, and generated values.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestRunner};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::Barrier;
use tokio::task::{JoinSet, block_in_place};

/// Starts all calls at the same moment; returns their results in no particular order.
pub(super) async fn at_once<T, F>(calls: impl IntoIterator<Item = F>) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let calls: Vec<_> = calls.into_iter().collect();
    let barrier = Arc::new(Barrier::new(calls.len()));
    let mut running = JoinSet::new();
    for call in calls {
        let barrier = barrier.clone();
        running.spawn(async move {
            barrier.wait().await;
            call.await
        });
    }
    running.join_all().await
}

/// Checks `cases` generated values; panics with the smallest one found for which `check` panics.
pub(super) async fn for_all<S: Strategy>(cases: usize, values: S, check: impl AsyncFn(S::Value)) {
    let cases = u32::try_from(cases).unwrap();
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&values, |value| {
        block_in_place(|| Handle::current().block_on(check(value)));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
