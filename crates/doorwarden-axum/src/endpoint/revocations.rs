use super::{Operation, Resource, document};
use crate::auth::Auth;
use crate::client::client_info;
use crate::error::ApiError;
use crate::settings::Endpoint;
use crate::streams::{Holder, LIFETIME, Place};
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use doorwarden_core::feed::{self, FeedError, HEARTBEAT};
use doorwarden_core::live::Counters;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long anybody may keep a statement.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Between two looks while changes are not heard, or the last one failed.
const DEAF: Duration = Duration::from_secs(1);

pub(super) fn statement() -> Resource {
    let operation = Operation {
        method: Method::GET,
        id: "read_revocations",
        summary: "What was revoked lately, as a signed statement.",
        authenticated: false,
        body: None,
        answers: &[
            (200, "The statement, a compact JWS.", Some("Statement")),
            (304, "It has not changed.", None),
        ],
        handler: |auth, request| Box::pin(get(auth, request)),
    };
    Resource { endpoint: Endpoint::Revocations, operations: vec![operation] }
}

pub(super) fn stream() -> Resource {
    let operation = Operation {
        method: Method::GET,
        id: "stream_revocations",
        summary: "The statement now, and a new one whenever something is revoked, at least every five seconds.",
        authenticated: false,
        body: None,
        answers: &[
            (200, "Server-sent events named `revocations`.", Some("Events")),
            (503, "There are too many streams, or the database is not available.", Some("Detail")),
        ],
        handler: |auth, request| Box::pin(open(auth, request)),
    };
    Resource { endpoint: Endpoint::RevocationStream, operations: vec![operation] }
}

async fn get(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let published = feed::current(auth.context()).await?;
    Ok(document(&headers, "application/jwt", MAX_AGE, &published.etag, published.statement.clone()))
}

async fn open(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let settings = auth.settings();
    let (parts, _) = request.into_parts();
    let holder = if settings.oauth_clients.authenticate(&parts.headers).is_some() {
        Holder::Known
    } else {
        let address = client_info(&parts, settings).address;
        Holder::Stranger(address.and_then(|address| address.parse().ok()))
    };
    let Some(place) = auth.streams().place(holder) else {
        let text = "There are too many streams. Try again later.";
        return Err(ApiError::unavailable("too_many_streams", text, DEAF));
    };
    // What cannot begin is refused with a status, as long as there can be one.
    feed::current(auth.context()).await?;
    let events = Events {
        changes: auth.context().live.watch(),
        ended: auth.streams().ended(),
        until: Instant::now() + LIFETIME,
        sent: String::new(),
        auth,
        _place: place,
    };
    let body = Body::from_stream(stream::unfold(events, |mut events| async move {
        events.next().await.map(|event| (Ok::<_, Infallible>(event), events))
    }));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx would gather events into blocks.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, body).into_response())
}

/// One client's stream.
struct Events {
    auth: Auth,
    changes: watch::Receiver<Counters>,
    ended: watch::Receiver<bool>,
    until: Instant,
    /// The tag of the last statement that was sent.
    sent: String,
    _place: Place,
}

impl Events {
    /// The next event, when there is one; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if *self.ended.borrow() || Instant::now() >= self.until {
                return None;
            }
            let context = self.auth.context();
            self.changes.mark_unchanged();
            let wait = match feed::current(context).await {
                Ok(published) if published.etag != self.sent => {
                    self.sent.clone_from(&published.etag);
                    return Some(self.auth.streams().event(&published));
                }
                Ok(_) if context.live.is_connected() => HEARTBEAT,
                Ok(_) => DEAF,
                Err(error) => {
                    tracing::warn!(%error, "a stream of revocations waits");
                    DEAF
                }
            };
            tokio::select! {
                _ = tokio::time::timeout(wait, self.changes.changed()) => {}
                _ = self.ended.wait_for(|ended| *ended) => {}
            }
        }
    }
}

impl From<FeedError> for ApiError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Store(error) => error.into(),
            FeedError::Sign(error) => {
                tracing::error!(%error, "no revocation statement can be made");
                Self::internal()
            }
        }
    }
}
