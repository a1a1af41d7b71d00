//! Work that has begun to change something is completed even if its caller goes away: a client that
//! disconnects must not prevent a hook from being called, an event from being emitted, or an ended session
//! from being noticed here.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Handle;

/// Runs `work`. If the future is dropped after it has begun and before it has completed, the work continues
/// in its own task; if the future is dropped before it was ever polled, the work does not begin. Only the end
/// of the process stops the work.
pub(super) fn finish<F>(work: F) -> Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    Finish { work: Some(Box::pin(work)), has_begun: false }
}

/// The future of [`finish`].
pub(super) struct Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    work: Option<Pin<Box<F>>>,
    has_begun: bool,
}

impl<F> Future for Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.has_begun = true;
        // Taken out while it is polled, so that work that panics is not resumed.
        let mut work = self.work.take().expect("a future is not polled after its end");
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<F> Drop for Finish<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        if let (Some(work), true, Ok(runtime)) = (self.work.take(), self.has_begun, Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn work_that_has_begun_goes_on_and_work_that_has_not_does_not() {
        let (gate, done) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
        let work = || {
            let (gate, done) = (Arc::clone(&gate), Arc::clone(&done));
            finish(async move {
                gate.notified().await;
                done.fetch_add(1, Ordering::SeqCst);
            })
        };
        drop(work());
        let mut begun = work();
        assert!(poll_once(&mut begun).await.is_pending());
        drop(begun);
        gate.notify_one();
        while done.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        gate.notify_one();
        work().await;
        assert_eq!(done.load(Ordering::SeqCst), 2);
    }

    async fn poll_once<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
        std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
    }
}
