//! The outermost layer. One small layer of our own in place of nine: on a request that takes microseconds, each general layer costs more
//! than checking its token does.

use crate::auth::Auth;
use crate::error::ApiError;
use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// The most header fields of a request.
const MAX_FIELDS: usize = 100;
/// The most bytes of all header fields.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// The most bytes of the request's target.
const MAX_URI_BYTES: usize = 8 * 1024;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How many header fields the shell adds.
pub(crate) const HEADERS: usize = 6;

/// On every answer, unless the handler set its own.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); HEADERS - 1] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    ),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// Made by [`Auth::shell`].
#[derive(Debug, Clone)]
pub struct ShellLayer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    auth: Auth,
    ids: RequestIds,
}

impl ShellLayer {
    pub(crate) fn new(auth: Auth) -> Self {
        let ids = RequestIds(AtomicU64::new(u64::from_le_bytes(auth.context().random.bytes())));
        Self(Arc::new(Shared { auth, ids }))
    }
}

/// Numbers that look random and do not repeat: a counter from a random start, stirred.
#[derive(Debug)]
struct RequestIds(AtomicU64);

impl RequestIds {
    fn next(&self) -> HeaderValue {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut id = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        id ^= id >> 31;
        let text: [u8; 16] = std::array::from_fn(|i| HEX[usize::try_from(id >> (4 * i) & 15).unwrap_or(0)]);
        HeaderValue::from_bytes(&text).expect("hexadecimal digits are a header value")
    }
}

impl<S> Layer<S> for ShellLayer {
    type Service = Shell<S>;

    fn layer(&self, inner: S) -> Shell<S> {
        Shell { inner, shared: Arc::clone(&self.0) }
    }
}

/// The service of [`ShellLayer`].
#[derive(Debug, Clone)]
pub struct Shell<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Service<Request> for Shell<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let began = Instant::now();
        let id = self.shared.ids.next();
        let problem = ApiError::is_problem_wanted(request.headers());
        let counted = InFlight::begin(Arc::clone(&self.shared), began);
        if let Some(error) = over_limit(request.uri(), request.headers()) {
            let mut response = error.respond(problem);
            finish(&mut response, id);
            counted.end(response.status());
            return Box::pin(std::future::ready(Ok(response)));
        }
        request.extensions_mut().insert(self.shared.auth.clone());
        let method = request.method().clone();
        let answer = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        Box::pin(async move {
            let mut response = match answer.await {
                Ok(Ok(response)) => named(response, &method, problem),
                Err(_) => {
                    counted.shared.auth.metrics().panicked();
                    tracing::error!(request.id = ?id, "a request panicked");
                    ApiError::internal().respond(problem)
                }
            };
            if response.status().is_server_error() {
                tracing::warn!(request.id = ?id, status = response.status().as_u16(), "a request failed");
            }
            finish(&mut response, id);
            counted.end(response.status());
            Ok(response)
        })
    }
}

/// Counts a request as being answered, also if the client goes away before the end.
struct InFlight {
    shared: Arc<Shared>,
    began: Instant,
    status: Option<StatusCode>,
}

impl InFlight {
    fn begin(shared: Arc<Shared>, began: Instant) -> Self {
        shared.auth.metrics().begin();
        Self { shared, began, status: None }
    }

    fn end(mut self, status: StatusCode) {
        self.status = Some(status);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.shared.auth.metrics().end(self.status, self.began.elapsed());
    }
}

fn over_limit(uri: &Uri, headers: &HeaderMap) -> Option<ApiError> {
    let uri_bytes = uri.path().len() + uri.query().map_or(0, str::len);
    if uri_bytes > MAX_URI_BYTES {
        return Some(ApiError::detail(
            StatusCode::URI_TOO_LONG,
            "uri_too_long",
            "The address of the request is too long.",
        ));
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers.len() > MAX_FIELDS || bytes > MAX_HEADER_BYTES {
        let text = "The header fields of the request are too large.";
        return Some(ApiError::detail(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "header_fields_too_large",
            text,
        ));
    }
    None
}

/// Bare errors of the router get a body.
fn named(response: Response, method: &http::Method, problem: bool) -> Response {
    if response.headers().contains_key(header::CONTENT_TYPE) {
        return response;
    }
    match response.status() {
        StatusCode::NOT_FOUND => ApiError::not_found().respond(problem),
        StatusCode::METHOD_NOT_ALLOWED => {
            let allow =
                response.headers().get(header::ALLOW).and_then(|v| v.to_str().ok()).unwrap_or_default();
            ApiError::method_not_allowed(method, allow).respond(problem)
        }
        _ => response,
    }
}

fn finish(response: &mut Response, id: HeaderValue) {
    let headers = response.headers_mut();
    headers.reserve(HEADERS);
    headers.insert(REQUEST_ID, id);
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(value);
    }
}
