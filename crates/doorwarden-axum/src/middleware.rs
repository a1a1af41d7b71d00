//! The outermost layer. One layer instead of nine general ones: on a request that takes microseconds, each
//! general layer costs more than verifying its token.

use crate::auth::Auth;
use crate::client::RequestId;
use crate::cors::Grant;
use crate::error::ApiError;
use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::{CatchUnwind, Either, Ready, ready};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use pin_project_lite::pin_project;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// The maximum number of header fields of a request.
const MAX_FIELDS: usize = 100;
/// The maximum size of all header fields, in bytes.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// The maximum size of the request target, in bytes.
const MAX_URI_BYTES: usize = 8 * 1024;

/// The allowed methods in the response to a preflight of a path that does not exist, so that the page can
/// read the 404.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The number of header fields that the middleware adds by default.
pub(crate) const HEADERS: usize = 6;

impl Auth {
    /// The outermost layer of an application: request ids, security headers, limits, metrics, 500 when a
    /// handler panics, errors as JSON, and the extractor [`CurrentUser`](crate::CurrentUser) on every route.
    ///
    /// It refuses a request target over 8 KiB with 414, and more than 100 header fields or more than 16 KiB
    /// of them with 431. A header that a handler sets itself is kept. Around the router instead of inside it,
    /// the layer costs one allocation less: `auth.layer().layer(router)`.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use doorwarden_axum::{Auth, CurrentUser};
    ///
    /// fn app(auth: &Auth) -> Router {
    ///     Router::new()
    ///         .route("/", get(async |user: Option<CurrentUser>| format!("known: {}", user.is_some())))
    ///         .layer(auth.layer())
    /// }
    /// ```
    pub fn layer(&self) -> MiddlewareLayer {
        MiddlewareLayer::new(self.clone())
    }
}

/// Made by [`Auth::layer`].
#[derive(Debug, Clone)]
pub struct MiddlewareLayer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    auth: Auth,
    ids: RequestIds,
}

impl MiddlewareLayer {
    pub(crate) fn new(auth: Auth) -> Self {
        let ids = RequestIds { start: u64::from_le_bytes(auth.context().random.bytes()) };
        Self(Arc::new(Shared { auth, ids }))
    }

    /// Wraps services that need no extractors.
    pub(crate) fn around<S>(self, inner: S) -> Middleware<S> {
        Middleware { inner, auth: None, shared: self.0 }
    }
}

/// Numbers that look random and do not repeat: a counter with a random start, mixed.
#[derive(Debug)]
struct RequestIds {
    start: u64,
}

impl RequestIds {
    fn of(&self, number: u64) -> HeaderValue {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut id = self.start.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        id = (id ^ (id >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        id = (id ^ (id >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        id ^= id >> 31;
        let text: [u8; 16] = std::array::from_fn(|i| HEX[usize::try_from(id >> (4 * i) & 15).unwrap_or(0)]);
        HeaderValue::from_bytes(&text).expect("hexadecimal digits are a header value")
    }
}

impl<S> Layer<S> for MiddlewareLayer {
    type Service = Middleware<S>;

    fn layer(&self, inner: S) -> Middleware<S> {
        Middleware { inner, auth: Some(self.0.auth.clone()), shared: Arc::clone(&self.0) }
    }
}

/// The service of [`MiddlewareLayer`].
#[derive(Debug, Clone)]
pub struct Middleware<S> {
    inner: S,
    /// For the extractors of the application's handlers, if it has any.
    auth: Option<Auth>,
    shared: Arc<Shared>,
}

impl<S> Service<Request> for Middleware<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, ResponseFuture<S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let in_flight = InFlight::new(Arc::clone(&self.shared), &request);
        if let Some(error) = over_limit(request.uri(), request.headers()) {
            let response = in_flight.refusal(error);
            return Either::Left(ready(Ok(in_flight.end(response))));
        }
        if let Some(auth) = &self.auth {
            request.extensions_mut().insert(auth.clone());
        }
        request.extensions_mut().insert(RequestId(in_flight.id.clone()));
        let response = AssertUnwindSafe(self.inner.call(request)).catch_unwind();
        Either::Right(ResponseFuture { response, in_flight: Some(in_flight) })
    }
}

pin_project! {
    /// The future of [`Middleware`].
    pub struct ResponseFuture<F> {
        #[pin]
        response: CatchUnwind<AssertUnwindSafe<F>>,
        in_flight: Option<InFlight>,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for ResponseFuture<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.response.poll(context));
        let in_flight = this.in_flight.take().expect("a future is not polled after its end");
        let response = match answer {
            Ok(Ok(response)) => in_flight.named(response),
            Err(_) => in_flight.panicked(),
        };
        Poll::Ready(Ok(in_flight.end(response)))
    }
}

/// A request in progress. It is counted even if the client disconnects before the end.
struct InFlight {
    shared: Arc<Shared>,
    at: Instant,
    id: HeaderValue,
    method: Method,
    problem: bool,
    /// For errors outside of endpoints, which would otherwise lack CORS headers.
    grant: Option<Grant>,
    is_preflight: bool,
    status: Option<StatusCode>,
}

impl InFlight {
    fn new(shared: Arc<Shared>, request: &Request) -> Self {
        let number = shared.auth.metrics().begin();
        let grant = Grant::of(shared.auth.settings(), request.headers());
        Self {
            at: Instant::now(),
            id: shared.ids.of(number),
            method: request.method().clone(),
            problem: ApiError::is_problem_wanted(request.headers()),
            is_preflight: grant.as_ref().is_some_and(|grant| grant.is_preflight(request)),
            grant,
            status: None,
            shared,
        }
    }

    fn panicked(&self) -> Response {
        self.shared.auth.metrics().panicked();
        tracing::error!(request.id = ?self.id, "a request panicked");
        self.refusal(ApiError::internal())
    }

    /// An error outside of endpoints.
    fn refusal(&self, error: ApiError) -> Response {
        let mut response = error.respond(self.problem);
        if let Some(grant) = &self.grant {
            grant.write(response.headers_mut());
        }
        response
    }

    /// Gives empty errors of the router a body, keeping the headers that its layers added.
    fn named(&self, response: Response) -> Response {
        if response.headers().contains_key(header::CONTENT_TYPE) {
            return response;
        }
        let error = match response.status() {
            StatusCode::NOT_FOUND => match self.grant.as_ref().filter(|_| self.is_preflight) {
                Some(grant) => return grant.preflight(&METHODS),
                None => ApiError::not_found(),
            },
            StatusCode::METHOD_NOT_ALLOWED => {
                let allow = response.headers().get(header::ALLOW).and_then(|v| v.to_str().ok());
                ApiError::method_not_allowed(&self.method, allow.unwrap_or_default())
            }
            _ => return response,
        };
        let (mut parts, _) = response.into_parts();
        let (named, body) = self.refusal(error).into_parts();
        parts.headers.remove(header::CONTENT_LENGTH);
        parts.headers.extend(named.headers);
        Response::from_parts(parts, body)
    }

    fn end(mut self, mut response: Response) -> Response {
        let status = response.status();
        if status.is_server_error() {
            tracing::warn!(request.id = ?self.id, status = status.as_u16(), "a request failed");
        }
        self.status = Some(status);
        let headers = response.headers_mut();
        headers.reserve(HEADERS);
        headers.insert(REQUEST_ID, self.id.clone());
        for (name, value) in &self.shared.auth.settings().headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        response
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.shared.auth.metrics().end(self.status, self.at.elapsed());
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
