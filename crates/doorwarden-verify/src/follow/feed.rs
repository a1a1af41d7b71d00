//! The revocation feed (`docs/revocation-feed.md`): its event stream, and its newest statement once a second
//! while the stream delivers nothing.

use super::fetcher::WAIT;
use super::http::{FetchError, text};
use super::sse::Events;
use super::{POLL, Shared, backoff, jittered};
use crate::{Checker, Refusal};
use doorwarden_token::feed::MAX_BYTES;
use http::StatusCode;
use http::header::{ETAG, HeaderValue};
use http_body_util::BodyExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

const PATH: &str = "/.well-known/revocations";
const STREAM_PATH: &str = "/.well-known/revocations/stream";
/// Without an event for this long, which is more than a heartbeat, the statement is fetched.
const SILENCE: Duration = Duration::from_secs(7);
/// How long to wait before a stream is opened again.
const WITHOUT_STREAM: Duration = Duration::from_secs(30);
/// The minimum time between two fetches of the key set that the feed requests.
const REFRESH: Duration = Duration::from_millis(250);

#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the statement is refused: {0}")]
    Refused(Refusal),
    #[error("the statement is refused: {0}. {1:.400}")]
    Explained(Refusal, String),
    #[error("no event came through the stream")]
    NoEvents,
    #[error("no more events came through the stream")]
    Silent,
    #[error("an event of the stream is too long")]
    TooLong,
}

impl FeedError {
    /// Whether streams do not work, so that another one need not be opened soon.
    fn is_about_stream(&self) -> bool {
        match self {
            Self::NoEvents => true,
            Self::Fetch(error) => matches!(error, FetchError::Status(_) | FetchError::NotExpected),
            _ => false,
        }
    }
}

/// Follows the stream until the verifier is dropped.
pub(super) async fn follow(shared: Arc<Shared>) {
    let mut failures = 0;
    loop {
        match shared.stream(&mut failures).await {
            // The issuer ends every stream after a while, so that no client keeps a connection for ever.
            Ok(()) => sleep(jittered(Duration::from_millis(50))).await,
            Err(error) => {
                shared.warn("the stream of revocations ended", &error);
                let without = if error.is_about_stream() { jittered(WITHOUT_STREAM) } else { Duration::ZERO };
                sleep(without.max(backoff(failures))).await;
                failures += 1;
            }
        }
    }
}

/// Fetches the statement now, once a second while the stream delivers none, and on request.
pub(super) async fn poll(shared: Arc<Shared>) {
    let (mut failures, mut etag) = (0, None);
    loop {
        let is_asked = shared.statements.next().await;
        let pause = match shared.fetch_statement(&mut etag, is_asked).await {
            Ok(()) => {
                failures = 0;
                POLL
            }
            Err(error) => {
                shared.warn("the revocations were not fetched", &error);
                failures += 1;
                backoff(failures).max(POLL)
            }
        };
        shared.statements.ended(is_asked, pause);
    }
}

impl Shared {
    /// Reads events until the stream ends.
    async fn stream(&self, failures: &mut u32) -> Result<(), FeedError> {
        let accept = ["text/event-stream"];
        let mut body = self.issuer.get(STREAM_PATH, &accept, None, false).await?.into_body();
        let mut events = Events::default();
        let mut has_received = false;
        // A proxy may keep the connection alive and hold the events back.
        let mut end = Instant::now() + SILENCE;
        loop {
            let silent = || if has_received { FeedError::Silent } else { FeedError::NoEvents };
            let Some(frame) = timeout_at(end, body.frame()).await.map_err(|_| silent())? else {
                return if has_received { Ok(()) } else { Err(FeedError::NoEvents) };
            };
            let frame = frame.map_err(FetchError::from)?;
            let Some(bytes) = frame.data_ref() else { continue };
            for statement in events.push(bytes).map_err(|_| FeedError::TooLong)? {
                self.add_statement(&statement).await?;
                self.statements.put_off(SILENCE);
                end = Instant::now() + SILENCE;
                has_received = true;
                *failures = 0;
            }
        }
    }

    async fn fetch_statement(&self, etag: &mut Option<HeaderValue>, is_asked: bool) -> Result<(), FeedError> {
        let response = self.issuer.get(PATH, &["application/jwt"], etag.as_ref(), is_asked).await?;
        if response.status() == StatusCode::OK {
            let new = response.headers().get(ETAG).cloned();
            self.add_statement(&text(response, MAX_BYTES).await?).await?;
            *etag = new;
        }
        Ok(())
    }

    /// Adds a statement. Fetches the keys before if a new key signed it, and afterwards if it revokes a key.
    async fn add_statement(&self, statement: &str) -> Result<(), FeedError> {
        let mut added = self.checker.add_statement(statement, self.now());
        if added == Err(Refusal::UnknownKey) {
            sleep(self.keys.rest(REFRESH)).await;
            self.keys.ask(REFRESH, WAIT).await;
            added = self.checker.add_statement(statement, self.now());
        }
        let revokes_key = added.map_err(|refusal| {
            match self.checker.explain_statement(refusal, statement, self.now()) {
                Some(reason) => FeedError::Explained(refusal, reason),
                None => FeedError::Refused(refusal),
            }
        })?;
        self.announce();
        if revokes_key {
            tracing::warn!(issuer = self.issuer.url(), "a key was revoked");
            self.keys.ask(REFRESH, Duration::ZERO).await;
        }
        if let Some(ahead) = self.checker.clock_difference_secs()
            && ahead.abs() > Checker::NOTABLE_DIFFERENCE
            && self.minutely.allows("clocks")
        {
            let direction = if ahead > 0 { "ahead of" } else { "behind" };
            let issuer = self.issuer.url();
            tracing::warn!(
                issuer,
                "clocks differ by about {} s: this machine is {direction} the issuer",
                ahead.abs()
            );
        }
        Ok(())
    }
}
