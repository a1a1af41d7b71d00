//! Timeouts of connections that make no progress.

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// The limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// The longest time between requests, and before the first.
    pub(super) idle: Duration,
    /// The longest time from the first byte of a request's header to its last.
    pub(super) header: Duration,
    /// The longest time in which a client reads nothing of a response.
    pub(super) stall: Duration,
}

impl Patience {
    fn shortest(&self) -> Duration {
        self.idle.min(self.header).min(self.stall)
    }
}

/// The activity of a connection. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<Now>>);

#[derive(Debug)]
struct Now {
    phase: Phase,
    /// The time since which nothing could be written.
    stalled: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Idle(Instant),
    Header(Instant),
    /// A request that is being served.
    Busy,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Now { phase: Phase::Idle(Instant::now()), stalled: None })))
    }

    /// Notes that a request has arrived. It is being served until the result is dropped.
    pub(super) fn busy(&self) -> Busy {
        self.0.lock().phase = Phase::Busy;
        Busy(self.clone())
    }

    /// Returns when the connection makes no progress.
    pub(super) async fn expired(&self, patience: Patience) {
        // A state that begins during a sleep cannot expire before the next check.
        let mut look = Instant::now() + patience.shortest();
        loop {
            tokio::time::sleep_until(look).await;
            let now = Instant::now();
            let deadline = self.deadline(patience);
            if deadline.is_some_and(|deadline| deadline <= now) {
                return;
            }
            let next = now + patience.shortest();
            look = deadline.map_or(next, |deadline| deadline.min(next));
        }
    }

    fn deadline(&self, patience: Patience) -> Option<Instant> {
        let now = self.0.lock();
        match (now.stalled, now.phase) {
            (Some(since), _) => Some(since + patience.stall),
            (None, Phase::Idle(since)) => Some(since + patience.idle),
            (None, Phase::Header(since)) => Some(since + patience.header),
            (None, Phase::Busy) => None,
        }
    }

    fn was_read(&self) {
        let mut now = self.0.lock();
        if matches!(now.phase, Phase::Idle(_)) {
            now.phase = Phase::Header(Instant::now());
        }
    }

    fn was_written(&self, written: &Poll<Result<usize>>) {
        let mut now = self.0.lock();
        if written.is_pending() {
            now.stalled.get_or_insert_with(Instant::now);
        } else if now.stalled.take().is_some() && matches!(now.phase, Phase::Idle(_)) {
            // The end of a response that the client read only now.
            now.phase = Phase::Idle(Instant::now());
        }
    }
}

/// A request that is being served.
#[derive(Debug)]
pub(super) struct Busy(Activity);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.lock().phase = Phase::Idle(Instant::now());
    }
}

/// The body of a response, which is being sent until it is dropped.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) _busy: Busy,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that records its activity.
#[derive(Debug)]
pub(super) struct Noted<S> {
    pub(super) stream: S,
    pub(super) activity: Activity,
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.was_read();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.activity.was_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.activity.was_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
