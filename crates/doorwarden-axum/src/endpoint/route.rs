//! From a request to the operation that answers it.

use super::operation::Operation;
use super::{openapi, operations};
use crate::auth::Auth;
use crate::cors::Grant;
use crate::error::ApiError;
use crate::metrics::{Outcome, Outcomes};
use crate::settings::Endpoint;
use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::future::BoxFuture;
use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

impl Auth {
    /// All endpoints that are not left out, each with and without a trailing slash. Merge it into the router
    /// of the application, whose own routes take precedence over an endpoint with the same path and method.
    ///
    /// As axum's, `merge` panics if the application has a fallback for a path of an endpoint, such as `any`,
    /// or names a parameter of the same path differently.
    ///
    /// ```
    /// fn app(auth: &doorwarden_axum::Auth) -> axum::Router {
    ///     axum::Router::new().merge(auth.router()).layer(auth.layer())
    /// }
    /// ```
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        router(routes(self))
    }
}

/// A router for paths of [`routes`].
pub(super) fn router<S: Clone + Send + Sync + 'static>(routes: Vec<(String, Arc<Route>)>) -> Router<S> {
    let mut router = Router::new();
    for (path, route) in routes {
        router = router.route(&path, any(async move |request| Arc::clone(&route).answer(request).await));
    }
    router
}

/// An endpoint that is not left out, with what it works with.
pub(crate) struct Route {
    auth: Auth,
    endpoint: Endpoint,
    operations: Vec<(Arc<Outcomes>, Operation)>,
    /// Whether pages of every origin may read the answers.
    is_public: bool,
}

/// Every path that is served, also with a slash at its end.
pub(super) fn routes(auth: &Auth) -> Vec<(String, Arc<Route>)> {
    let mut all = Vec::new();
    for endpoint in Endpoint::ALL {
        let Some(path) = auth.settings().path(endpoint).map(str::to_owned) else { continue };
        let operations: Vec<_> =
            operations(endpoint).into_iter().map(|one| (auth.metrics().outcomes(one.id), one)).collect();
        let is_public = operations.iter().all(|(_, one)| one.is_public);
        // One pointer, because it is cloned for every request.
        let route = Arc::new(Route { auth: auth.clone(), endpoint, operations, is_public });
        let for_issuer = path_of_issuer(auth, endpoint).map(|behind| format!("{path}{behind}"));
        for path in [Some(path), for_issuer].into_iter().flatten() {
            if !path.ends_with('/') {
                all.push((format!("{path}/"), Arc::clone(&route)));
            }
            all.push((path, Arc::clone(&route)));
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

impl Route {
    pub(super) fn answer(self: Arc<Self>, request: Request) -> RouteFuture {
        let problem = ApiError::is_problem_wanted(request.headers());
        let grant = match self.is_public {
            true => Some(Grant::Everybody),
            false => Grant::of(self.auth.settings(), request.headers()),
        };
        // HEAD is answered as GET; hyper leaves the body away.
        let wanted = match *request.method() {
            Method::HEAD => &Method::GET,
            ref method => method,
        };
        let operation = self.operations.iter().position(|(_, one)| one.method == wanted);
        let result = match operation {
            Some(operation) => (self.operations[operation].1.handler)(self.auth.clone(), request),
            None => Box::pin(std::future::ready(self.without_operation(&request, grant.as_ref()))),
        };
        RouteFuture { route: self, operation, result, grant, problem }
    }

    fn without_operation(&self, request: &Request, grant: Option<&Grant>) -> Result<Response, ApiError> {
        let allow = self.allowed();
        if request.method() != Method::OPTIONS {
            return Err(ApiError::method_not_allowed(request.method(), &allow));
        }
        let allow = HeaderValue::from_str(&allow).unwrap_or(HeaderValue::from_static("OPTIONS"));
        if let Some(grant) = grant.filter(|grant| grant.is_preflight(request)) {
            return Ok(grant.preflight(&allow));
        }
        Ok((StatusCode::NO_CONTENT, [(ALLOW, allow)]).into_response())
    }

    fn allowed(&self) -> String {
        let mut methods: Vec<&str> = self.operations.iter().map(|(_, one)| one.method.as_str()).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.push("OPTIONS");
        methods.join(", ")
    }

    /// Counts the response, adds hints about the request, and adds the CORS headers.
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
        let operation = operation.map(|operation| &self.operations[operation]);
        let mut response = result.unwrap_or_else(|error| {
            let error = error.among(|| {
                operation.map_or_else(Vec::new, |(_, one)| {
                    openapi::required(self.auth.context(), self.auth.settings(), one)
                })
            });
            self.auth.note(&error);
            error.respond(problem)
        });
        self.auth.metrics().answered(self.endpoint, response.status());
        if let Some((outcomes, _)) = operation {
            outcomes.count(outcome);
        }
        if let Some(grant) = grant {
            grant.write(response.headers_mut());
        }
        response
    }
}

/// What an operation will answer, its error rendered as the client wants it.
pub(crate) struct RouteFuture {
    route: Arc<Route>,
    operation: Option<usize>,
    result: BoxFuture<'static, Result<Response, ApiError>>,
    grant: Option<Grant>,
    problem: bool,
}

impl Future for RouteFuture {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let result = ready!(self.result.as_mut().poll(context));
        Poll::Ready(self.route.end(self.operation, result, self.grant.as_ref(), self.problem))
    }
}
