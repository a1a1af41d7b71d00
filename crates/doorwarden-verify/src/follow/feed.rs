//! The revocation feed (`docs/revocation-feed.md`): its stream of events, or, where streams do not come through, its newest statement once a second.

use super::http::{FetchError, text};
use super::sse::Events;
use super::{Shared, backoff, jittered};
use crate::Refusal;
use doorwarden_token::feed::MAX_BYTES;
use http::StatusCode;
use http::header::ETAG;
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const PATH: &str = "/.well-known/revocations";
const STREAM_PATH: &str = "/.well-known/revocations/stream";
/// A stream without an event for that long is dead: three heartbeats.
const SILENCE: Duration = Duration::from_secs(15);
/// Between two statements where there is no stream.
const POLL: Duration = Duration::from_secs(1);
/// How long to do without a stream before it is tried again.
const WITHOUT_STREAM: Duration = Duration::from_secs(30);
/// Between two fetches of the key set that the feed asks for.
const REFRESH: Duration = Duration::from_millis(250);

#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the statement is refused: {0}")]
    Refused(#[from] Refusal),
    #[error("nothing came through the stream")]
    NothingCame,
    #[error("the stream fell silent")]
    Silent,
    #[error("an event of the stream is too long")]
    TooLong,
}

impl FeedError {
    /// Whether polling may work where the stream does not.
    fn is_about_stream(&self) -> bool {
        let of_fetch = |error: &FetchError| matches!(error, FetchError::Status(_) | FetchError::NotExpected);
        match self {
            Self::NothingCame => true,
            Self::Fetch(error) => of_fetch(error),
            _ => false,
        }
    }
}

/// Follows the feed for good.
pub(super) async fn follow(shared: Arc<Shared>) {
    let mut failures = 0;
    loop {
        match shared.stream(&mut failures).await {
            // A stream ends now and then, so that nobody keeps a place for ever.
            Ok(()) => sleep(jittered(Duration::from_millis(50))).await,
            Err(error) => {
                tracing::warn!(issuer = shared.issuer.url(), %error, "the stream of revocations ended");
                if error.is_about_stream()
                    && let Err(error) = shared.poll_for(WITHOUT_STREAM, &mut failures).await
                {
                    tracing::warn!(issuer = shared.issuer.url(), %error, "the revocations were not fetched");
                }
                sleep(backoff(failures)).await;
                failures += 1;
            }
        }
    }
}

impl Shared {
    /// Listens until the stream ends.
    async fn stream(&self, failures: &mut u32) -> Result<(), FeedError> {
        let mut body = self.issuer.get(STREAM_PATH, &["text/event-stream"], None).await?.into_body();
        let mut events = Events::default();
        let mut has_heard = false;
        loop {
            let silent = if has_heard { FeedError::Silent } else { FeedError::NothingCame };
            let Some(frame) = timeout(SILENCE, body.frame()).await.map_err(|_| silent)? else {
                return if has_heard { Ok(()) } else { Err(FeedError::NothingCame) };
            };
            let frame = frame.map_err(FetchError::from)?;
            let Some(bytes) = frame.data_ref() else { continue };
            for statement in events.push(bytes).map_err(|_| FeedError::TooLong)? {
                self.hear(&statement).await?;
                has_heard = true;
                *failures = 0;
            }
        }
    }

    async fn poll_for(&self, time: Duration, failures: &mut u32) -> Result<(), FeedError> {
        let begin = Instant::now();
        let mut etag = None;
        while begin.elapsed() < time {
            let response = self.issuer.get(PATH, &["application/jwt"], etag.as_ref()).await?;
            if response.status() == StatusCode::OK {
                etag = response.headers().get(ETAG).cloned();
                self.hear(&text(response, MAX_BYTES).await?).await?;
            }
            *failures = 0;
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Takes a statement; fetches the keys first if it is signed by a new one, and afterwards if it revokes one.
    async fn hear(&self, statement: &str) -> Result<(), FeedError> {
        let mut heard = self.checker.hear(statement, (self.clock)());
        if heard == Err(Refusal::UnknownKey) {
            let last = *self.refreshed.lock().await;
            sleep(last.map_or(Duration::ZERO, |at| REFRESH.saturating_sub(at.elapsed()))).await;
            self.refresh_keys(REFRESH).await;
            heard = self.checker.hear(statement, (self.clock)());
        }
        let revokes_key = heard?;
        self.announce();
        if revokes_key {
            tracing::warn!(issuer = self.issuer.url(), "a key was revoked");
            self.refresh_keys(REFRESH).await;
        }
        Ok(())
    }
}
