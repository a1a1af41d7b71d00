//! The handle that an application holds. A method that makes something, such as a router, a layer or the
//! OpenAPI document, is in the module of that thing.

use crate::error::ApiError;
use crate::hint::Said;
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::settings::HttpSettings;
use crate::streams::Streams;
use bytes::Bytes;
use doorwarden_core::context::Context;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Accounts and tokens for an axum application. Cheap to clone; two instances in one process are independent.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    settings: HttpSettings,
    metrics: Metrics,
    openapi: OnceLock<Bytes>,
    streams: Streams,
    readiness: Readiness,
    said: Said,
}

impl Auth {
    /// A handle on the accounts of `context`.
    pub fn new(context: Arc<Context>, settings: HttpSettings) -> Self {
        Self(Arc::new(Inner {
            context,
            settings,
            metrics: Metrics::default(),
            openapi: OnceLock::new(),
            streams: Streams::default(),
            readiness: Readiness::default(),
            said: Said::default(),
        }))
    }

    /// Whether both are handles on one instance.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What the flows of the core take as their first argument.
    pub fn context(&self) -> &Arc<Context> {
        &self.0.context
    }

    /// The cached readiness of the database.
    pub(crate) fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    /// The settings of the HTTP interface.
    pub fn settings(&self) -> &HttpSettings {
        &self.0.settings
    }

    /// The counters of requests.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The metrics in Prometheus' text format. [`router`](Self::router) does not serve them: serve them where
    /// only the operator can read them.
    pub fn render_metrics(&self) -> String {
        self.metrics().render(self.context())
    }

    /// Logs mistakes of clients, each kind at most once a minute.
    pub(crate) fn note(&self, error: &ApiError) {
        let Some(hint) = error.hint() else { return };
        if self.0.said.is_due(hint, self.context().now().as_seconds()) {
            let (status, code) = (error.status().as_u16(), error.code());
            tracing::info!(status, code, hint = hint.text(), "a request was refused; said once a minute");
        }
    }

    pub(crate) fn streams(&self) -> &Streams {
        &self.0.streams
    }

    /// Ends the streams of the revocation feed, which otherwise last until the client disconnects. Call it
    /// when the server begins to stop, before it waits for requests in progress.
    pub fn end_streams(&self) {
        self.0.streams.end();
    }

    /// The cache of [`openapi`](Self::openapi).
    pub(crate) fn openapi_cell(&self) -> &OnceLock<Bytes> {
        &self.0.openapi
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}
