//! The endpoints: one file each. A file says what its endpoint is called, where it lies, what it takes and answers (for the OpenAPI
//! document), and turns a request into a call of a flow.

mod direct;
mod docs;
mod health;
mod jwks;
mod login;
mod logout;
mod me;
mod metadata;
mod oauth;
mod password;
mod registration;
mod revocations;
mod sessions;
mod token;
mod token_refresh;
mod token_revoke;
mod token_verify;

pub(crate) use direct::Direct;
pub(crate) use health::Readiness;

use crate::auth::Auth;
use crate::body::Fields;
use crate::client::client_info;
use crate::cors::Grant;
use crate::error::ApiError;
use crate::extract::CurrentUser;
use crate::metrics::Outcome;
use crate::openapi;
use crate::settings::Endpoint;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use doorwarden_core::flow::authenticate::{AuthenticateError, ShownTo};
use doorwarden_core::session::ClientInfo;
use doorwarden_core::store::patience::one_request;
use futures_util::future::BoxFuture;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// An endpoint with its operations.
pub(crate) struct Resource {
    pub(crate) endpoint: Endpoint,
    pub(crate) operations: Vec<Operation>,
}

/// What one method of an endpoint does.
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// The stable name for generated clients: `verb_resource`.
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    /// Whether it needs a user.
    pub(crate) authenticated: bool,
    /// The schema of the body, if it takes one; a name under `components/schemas`.
    pub(crate) body: Option<&'static str>,
    /// Status, what it means, and the name of the schema of the answer.
    pub(crate) answers: &'static [(u16, &'static str, Option<&'static str>)],
    pub(crate) handler: Handler,
}

pub(crate) type Handler = fn(Auth, Request) -> BoxFuture<'static, Result<Response, ApiError>>;

/// Every endpoint there is.
pub(crate) fn resources() -> Vec<Resource> {
    vec![
        registration::resource(),
        login::resource(),
        me::resource(),
        logout::resource(),
        password::resource(),
        sessions::list(),
        sessions::one(),
        token::resource(),
        token_refresh::resource(),
        token_verify::resource(),
        token_revoke::resource(),
        oauth::revoke(),
        oauth::introspect(),
        jwks::resource(),
        metadata::oauth(),
        metadata::openid(),
        revocations::statement(),
        revocations::stream(),
        docs::openapi(),
        docs::page(),
        health::alive(),
        health::ready(),
    ]
}

pub(crate) fn router<S: Clone + Send + Sync + 'static>(auth: &Auth) -> Router<S> {
    let mut router = Router::new();
    for (path, served) in served(auth) {
        router = router.route(&path, any(async move |request| served.clone().answer(request).await));
    }
    router
}

/// A resource that is not left out, with what it works with.
struct Served {
    auth: Auth,
    resource: Resource,
    /// The number of the first operation among those of all resources.
    first: usize,
}

/// Every path that is served, also with a slash at its end.
fn served(auth: &Auth) -> Vec<(String, Arc<Served>)> {
    let mut all = Vec::new();
    let mut next = 0;
    for resource in resources() {
        let first = next;
        next += resource.operations.len();
        let Some(path) = auth.settings().path(resource.endpoint).map(str::to_owned) else { continue };
        // One pointer, because it is cloned for every request.
        let served = Arc::new(Served { auth: auth.clone(), resource, first });
        let for_issuer =
            path_of_issuer(auth, served.resource.endpoint).map(|behind| format!("{path}{behind}"));
        for path in [Some(path), for_issuer].into_iter().flatten() {
            if !path.ends_with('/') {
                all.push((format!("{path}/"), Arc::clone(&served)));
            }
            all.push((path, Arc::clone(&served)));
        }
    }
    all
}

/// The path of an issuer that has one, which stands behind that of its metadata (RFC 8414, section 3.1).
fn path_of_issuer(auth: &Auth, endpoint: Endpoint) -> Option<&str> {
    if !matches!(endpoint, Endpoint::Metadata | Endpoint::OpenIdConfiguration) {
        return None;
    }
    let (_, rest) = auth.context().settings.access.issuer.split_once("://")?;
    let path = rest[rest.find('/')?..].trim_end_matches('/');
    // What a router would take for a parameter is none of ours.
    (!path.is_empty() && !path.contains(['{', '}', '?', '#'])).then_some(path)
}

impl Served {
    fn answer(self: Arc<Self>, request: Request) -> Answer {
        let problem = ApiError::is_problem_wanted(request.headers());
        let grant = match self.resource.endpoint.is_for_everybody() {
            true => Some(Grant::Everybody),
            false => Grant::of(self.auth.settings(), request.headers()),
        };
        // HEAD is answered as GET; hyper leaves the body away.
        let wanted = match *request.method() {
            Method::HEAD => &Method::GET,
            ref method => method,
        };
        let operation = self.resource.operations.iter().position(|o| o.method == wanted);
        let result: BoxFuture<'static, _> = match operation {
            Some(operation) => {
                let handler = self.resource.operations[operation].handler;
                Box::pin(one_request(handler(self.auth.clone(), request)))
            }
            None => Box::pin(std::future::ready(self.without_operation(&request, grant.as_ref()))),
        };
        Answer { served: self, operation, result, grant, problem }
    }

    fn without_operation(&self, request: &Request, grant: Option<&Grant>) -> Result<Response, ApiError> {
        let allow = allowed(&self.resource);
        if request.method() != Method::OPTIONS {
            return Err(ApiError::method_not_allowed(request.method(), &allow));
        }
        let allow = HeaderValue::from_str(&allow).unwrap_or(HeaderValue::from_static("OPTIONS"));
        if let Some(grant) = grant.filter(|grant| grant.is_preflight(request)) {
            return Ok(grant.preflight(&allow));
        }
        Ok((StatusCode::NO_CONTENT, [(ALLOW, allow)]).into_response())
    }

    /// Counts what was answered, says what was wrong with the request, and lets other origins read it, if they may.
    fn end(
        &self,
        operation: Option<usize>,
        result: Result<Response, ApiError>,
        grant: Option<&Grant>,
        problem: bool,
    ) -> Response {
        let outcome = match &result {
            Ok(response) => Outcome::of_status(response.status()),
            Err(error) => Outcome::of_error(error),
        };
        let mut response = result.unwrap_or_else(|error| {
            let error = error.among(|| openapi::required(&self.auth, &self.resource, operation));
            self.auth.note(&error);
            error.respond(problem)
        });
        let metrics = self.auth.metrics();
        metrics.answered(self.resource.endpoint, response.status());
        if let Some(operation) = operation {
            metrics.ended(self.first + operation, outcome);
        }
        if let Some(grant) = grant {
            grant.write(response.headers_mut());
        }
        response
    }
}

/// What an operation will answer, its error rendered as the client wants it.
pub(crate) struct Answer {
    served: Arc<Served>,
    operation: Option<usize>,
    result: BoxFuture<'static, Result<Response, ApiError>>,
    grant: Option<Grant>,
    problem: bool,
}

impl Future for Answer {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let result = ready!(self.result.as_mut().poll(context));
        Poll::Ready(self.served.end(self.operation, result, self.grant.as_ref(), self.problem))
    }
}

fn allowed(resource: &Resource) -> String {
    let mut methods: Vec<&str> = resource.operations.iter().map(|o| o.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.push("OPTIONS");
    methods.join(", ")
}

/// A JSON answer that nobody may keep.
fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    // Room also for what the shell adds, so that the map need not grow.
    let headers = response.headers_mut();
    *headers = HeaderMap::with_capacity(2 + crate::shell::HEADERS);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn json_value(status: StatusCode, body: &Value) -> Response {
    json(status, body.to_string())
}

/// An answer that anybody may keep for `max_age`, and need not fetch again while its tag is the same (RFC 9110, section 13.1.2).
fn document(
    request: &HeaderMap,
    content_type: &'static str,
    max_age: Duration,
    etag: &str,
    body: Bytes,
) -> Response {
    let tag = format!("\"{etag}\"");
    // As bytes: an entry that is no text hides no other.
    let known =
        request.get_all(IF_NONE_MATCH).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let is_known =
        known.map(<[u8]>::trim_ascii).any(|one| one.strip_prefix(b"W/").unwrap_or(one) == tag.as_bytes());
    let cache = format!("public, max-age={}", max_age.as_secs());
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => ([(CONTENT_TYPE, HeaderValue::from_static(content_type))], body).into_response(),
    };
    // Anybody may put it into a page, too.
    response.headers_mut().insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    for (name, text) in [(ETAG, tag), (CACHE_CONTROL, cache)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The user of a request about their own account, or 401. Not an `async fn`, which would hold on to the body.
fn user<'a>(
    auth: &'a Auth,
    request: &'a Request,
) -> impl Future<Output = Result<CurrentUser, ApiError>> + Send + 'a {
    user_of(auth, CurrentUser::found(request.extensions(), auth), request.headers())
}

/// The same for a request that has been taken apart: the user that a layer found, if one did, and the headers.
async fn user_of(
    auth: &Auth,
    known: Option<CurrentUser>,
    headers: &HeaderMap,
) -> Result<CurrentUser, ApiError> {
    let Some(user) = known else { return auth.authenticate_for(ShownTo::Account, headers).await };
    // A layer of the application let it through, which lets others through as well.
    let judged = user.authenticated().counts_for(ShownTo::Account, &auth.context().settings.access);
    judged.map_err(AuthenticateError::from)?;
    Ok(user)
}

/// Where a request came from, and the fields of its body.
async fn read(auth: &Auth, request: Request) -> Result<(ClientInfo, Fields), ApiError> {
    let (parts, body) = request.into_parts();
    let client = client_info(&parts, auth.settings());
    let fields = Fields::read(Request::from_parts(parts, body)).await?;
    Ok((client, fields))
}
