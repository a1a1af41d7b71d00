use super::answer::{Answer, Described, Document, Media};
use super::operation::{Anybody, Call};
use super::types::Types;
use crate::auth::Auth;
use crate::error::ApiError;
use crate::streams::{Holder, LIFETIME, Place};
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use doorwarden_core::feed::{FeedError, HEARTBEAT};
use doorwarden_core::live::Counters;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long anybody may keep a statement.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Between two looks while changes are not heard, or the last one failed.
const DEAF: Duration = Duration::from_secs(1);

/// A signed statement of what was revoked.
#[derive(Debug)]
pub(super) struct Statement;

impl Media for Statement {
    const CONTENT_TYPE: &'static str = "application/jwt";

    fn schema(_: &mut Types) -> Option<Value> {
        None
    }
}

pub(super) async fn get(call: Call<Anybody>) -> Result<Document<Statement>, ApiError> {
    let published = call.auth.context().revocation_statement().await?;
    Ok(Document::new(&call.parts.headers, MAX_AGE, &published.etag, published.statement.clone()))
}

pub(super) async fn stream(call: Call<Anybody>) -> Result<EventStream, ApiError> {
    let auth = &call.auth;
    let holder = if auth.settings().oauth_clients.authenticate(&call.parts.headers).is_some() {
        Holder::Known
    } else {
        Holder::Stranger(call.client().address)
    };
    let Some(place) = auth.streams().place(holder) else {
        let text = "There are too many streams. Try again later.";
        return Err(ApiError::unavailable("too_many_streams", text, DEAF));
    };
    // What cannot begin is refused with a status, as long as there can be one.
    auth.context().revocation_statement().await?;
    Ok(EventStream(Events {
        changes: auth.context().live.watch(),
        ended: auth.streams().ended(),
        until: Instant::now() + LIFETIME,
        sent: String::new(),
        auth: call.auth,
        _place: place,
    }))
}

/// Server-sent events, each a statement.
pub(super) struct EventStream(Events);

impl Answer for EventStream {
    const IS_PUBLIC: bool = true;

    fn describe(_: &mut Types) -> Vec<Described> {
        let content = Some(("text/event-stream", Some(json!({"type": "string"}))));
        vec![Described { status: 200, content, headers: &[] }]
    }

    fn respond(self) -> Response {
        let body = Body::from_stream(stream::unfold(self.0, |mut events| async move {
            events.next().await.map(|event| (Ok::<_, Infallible>(event), events))
        }));
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            // nginx would gather events into blocks.
            (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        ];
        (headers, body).into_response()
    }
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
            let wait = match context.revocation_statement().await {
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
