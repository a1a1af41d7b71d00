//! The revocation feed (`docs/revocation-feed.md`): its stream of events, and its newest statement once a second while nothing comes
//! through the stream.

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
/// Without an event of the stream for so long, more than a heartbeat, the statement is fetched.
const SILENCE: Duration = Duration::from_secs(7);
/// How long to do without a stream before it is tried again.
const WITHOUT_STREAM: Duration = Duration::from_secs(30);
/// Between two fetches of the key set that the feed asks for.
const REFRESH: Duration = Duration::from_millis(250);

#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the statement is refused: {0}")]
    Refused(Refusal),
    #[error("the statement is refused: {0}. {1:.400}")]
    Explained(Refusal, String),
    #[error("nothing came through the stream")]
    NothingCame,
    #[error("the stream fell silent")]
    Silent,
    #[error("an event of the stream is too long")]
    TooLong,
}

impl FeedError {
    /// Whether there is no stream, so that it need not be tried again soon.
    fn is_about_stream(&self) -> bool {
        match self {
            Self::NothingCame => true,
            Self::Fetch(error) => matches!(error, FetchError::Status(_) | FetchError::NotExpected),
            _ => false,
        }
    }
}

/// Follows the stream for good.
pub(super) async fn follow(shared: Arc<Shared>) {
    let mut failures = 0;
    loop {
        match shared.stream(&mut failures).await {
            // A stream ends now and then, so that nobody keeps a place for ever.
            Ok(()) => sleep(jittered(Duration::from_millis(50))).await,
            Err(error) => {
                shared.complain("the stream of revocations ended", &error);
                let without = if error.is_about_stream() { jittered(WITHOUT_STREAM) } else { Duration::ZERO };
                sleep(without.max(backoff(failures))).await;
                failures += 1;
            }
        }
    }
}

/// Fetches the statement now, once a second while the stream gives none, and when it is asked for.
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
                shared.complain("the revocations were not fetched", &error);
                failures += 1;
                backoff(failures).max(POLL)
            }
        };
        shared.statements.ended(is_asked, pause);
    }
}

impl Shared {
    /// Listens until the stream ends.
    async fn stream(&self, failures: &mut u32) -> Result<(), FeedError> {
        let accept = ["text/event-stream"];
        let mut body = self.issuer.get(STREAM_PATH, &accept, None, false).await?.into_body();
        let mut events = Events::default();
        let mut has_heard = false;
        // Somebody in between may keep the connection alive and the events to himself.
        let mut end = Instant::now() + SILENCE;
        loop {
            let silent = || if has_heard { FeedError::Silent } else { FeedError::NothingCame };
            let Some(frame) = timeout_at(end, body.frame()).await.map_err(|_| silent())? else {
                return if has_heard { Ok(()) } else { Err(FeedError::NothingCame) };
            };
            let frame = frame.map_err(FetchError::from)?;
            let Some(bytes) = frame.data_ref() else { continue };
            for statement in events.push(bytes).map_err(|_| FeedError::TooLong)? {
                self.hear(&statement).await?;
                self.statements.put_off(SILENCE);
                end = Instant::now() + SILENCE;
                has_heard = true;
                *failures = 0;
            }
        }
    }

    async fn fetch_statement(&self, etag: &mut Option<HeaderValue>, is_asked: bool) -> Result<(), FeedError> {
        let response = self.issuer.get(PATH, &["application/jwt"], etag.as_ref(), is_asked).await?;
        if response.status() == StatusCode::OK {
            let new = response.headers().get(ETAG).cloned();
            self.hear(&text(response, MAX_BYTES).await?).await?;
            *etag = new;
        }
        Ok(())
    }

    /// Takes a statement; fetches the keys first if it is signed by a new one, and afterwards if it revokes one.
    async fn hear(&self, statement: &str) -> Result<(), FeedError> {
        let mut heard = self.checker.hear(statement, self.now());
        if heard == Err(Refusal::UnknownKey) {
            sleep(self.keys.rest(REFRESH)).await;
            self.keys.ask(REFRESH, WAIT).await;
            heard = self.checker.hear(statement, self.now());
        }
        let revokes_key = heard.map_err(|refusal| {
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
