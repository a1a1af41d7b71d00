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
    /// Between requests, and before the first.
    pub(super) idle: Duration,
    /// From the first byte of a request's header to its last.
    pub(super) header: Duration,
    /// For a client that has to take some of an answer before more can be sent.
    pub(super) stall: Duration,
}

impl Patience {
    fn shortest(&self) -> Duration {
        self.idle.min(self.header).min(self.stall)
    }
}

/// What a connection does. Clones are the same connection.
#[derive(Debug, Clone)]
pub(super) struct Activity(Arc<Mutex<Now>>);

#[derive(Debug)]
struct Now {
    phase: Phase,
    /// Since when nothing could be written.
    stalled: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Idle(Instant),
    Header(Instant),
    /// A request is being answered.
    Busy,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Now { phase: Phase::Idle(Instant::now()), stalled: None })))
    }

    /// A request has arrived; until this is dropped, it is being answered.
    pub(super) fn busy(&self) -> Busy {
        self.0.lock().phase = Phase::Busy;
        Busy(self.clone())
    }

    /// Ends when the connection does not get on.
    pub(super) async fn expired(&self, patience: Patience) {
        // Whatever begins during a sleep is not over before the next look.
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
            // The end of an answer that the client took only now.
            now.phase = Phase::Idle(Instant::now());
        }
    }
}

/// A request is being answered.
#[derive(Debug)]
pub(super) struct Busy(Activity);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.lock().phase = Phase::Idle(Instant::now());
    }
}

/// The body of an answer, which is being given until it is dropped.
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

/// A connection that notes what it does.
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
