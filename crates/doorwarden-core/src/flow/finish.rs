//! What has begun to change something is done to its end, also if whoever waits for it goes away: a client that hangs up must not keep a
//! hook from being asked, an event from being told, or an end from being heard here.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::runtime::Handle;

/// Does `work`. If the answer is dropped after its beginning and before its end, the work goes on in a task of its own; dropped before it
/// was ever polled, it does not begin. Only the end of the process ends it.
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
        // Taken out meanwhile, so that work that panics is not taken up again.
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
