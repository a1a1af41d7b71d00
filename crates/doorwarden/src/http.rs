use crate::Doorwarden;
use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use doorwarden_axum::layer::RequireLayer;
use doorwarden_axum::metrics::Metrics;
use doorwarden_axum::middleware::MiddlewareLayer;
use doorwarden_axum::page::{LoginRequiredLayer, SessionCookieLayer};
use doorwarden_axum::{ApiError, CurrentUser, HttpSettings};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tower_service::Service;

/// # Routers and layers
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use doorwarden::Doorwarden;
///
/// fn app(auth: &Doorwarden) -> Router {
///     let reports = Router::new().route("/reports", get(async || "sales"));
///     let reports = reports.route_layer(auth.require_staff());
///     auth.protect(reports).merge(auth.router()).layer(auth.layer())
/// }
/// ```
impl Doorwarden {
    /// Every endpoint that is not left out. See [`Auth::router`](crate::Auth::router).
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.auth().router()
    }

    /// The endpoints with the middleware, for a server that serves nothing else. See
    /// [`Auth::service`](crate::Auth::service).
    pub fn service(
        &self,
    ) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + use<>
    {
        self.auth().service()
    }

    /// The outermost middleware: request ids, security headers, limits, metrics, panic handling, errors as
    /// JSON. See [`Auth::layer`](crate::Auth::layer).
    pub fn layer(&self) -> MiddlewareLayer {
        self.auth().layer()
    }

    /// Requires a user for the routes that `router` has so far, and for its fallback. See
    /// [`Auth::protect`](crate::Auth::protect).
    pub fn protect<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        self.auth().protect(router)
    }

    /// Requires a user for the routes that `router` has so far; the fallback stays public. See
    /// [`Auth::protect_routes`](crate::Auth::protect_routes).
    pub fn protect_routes<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        self.auth().protect_routes(router)
    }

    /// A layer that requires a user: 401 without one.
    pub fn require_user(&self) -> RequireLayer {
        self.auth().require_user()
    }

    /// A layer that requires a user with `is_staff`: 401 without a user, 403 for others.
    pub fn require_staff(&self) -> RequireLayer {
        self.auth().require_staff()
    }

    /// A layer that requires an authentication of at most `age` ago. See
    /// [`Auth::require_recent`](crate::Auth::require_recent).
    pub fn require_recent(&self, age: Duration) -> RequireLayer {
        self.auth().require_recent(age)
    }

    /// A layer that requires a session of at least this assurance level. See
    /// [`Auth::require_acr`](crate::Auth::require_acr).
    ///
    /// # Panics
    /// If the level is not 1, 2 or 3.
    pub fn require_acr(&self, level: u8) -> RequireLayer {
        self.auth().require_acr(level)
    }

    /// A layer that requires a permission, as Django's `has_perm` defines it: 401 without a user, 403 for
    /// others. See [`Auth::require_perm`](crate::Auth::require_perm).
    ///
    /// # Panics
    /// If the name is not `app_label.codename`.
    pub fn require_perm(&self, permission: impl Into<Arc<str>>) -> RequireLayer {
        self.auth().require_perm(permission)
    }

    /// The user of the bearer token in these headers. See [`Auth::authenticate`](crate::Auth::authenticate).
    ///
    /// # Errors
    /// 401 if there is no bearer token, or if the token is refused; 503 if the database would have to be read
    /// and does not respond.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<CurrentUser, ApiError> {
        self.auth().authenticate(headers).await
    }

    /// As [`authenticate`](Self::authenticate), but `None` if no bearer token was sent.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate), except that a missing token is not an error.
    pub async fn authenticate_optional(&self, headers: &HeaderMap) -> Result<Option<CurrentUser>, ApiError> {
        self.auth().authenticate_optional(headers).await
    }
}

/// # Server-rendered pages
///
/// The session token in a cookie. [The library
/// guide](https://github.com/doorwarden/doorwarden/blob/main/docs/library.md) has a complete example.
impl Doorwarden {
    /// A layer that reads the session token from a cookie. See
    /// [`Auth::session_cookie`](crate::Auth::session_cookie).
    pub fn session_cookie(&self) -> SessionCookieLayer {
        self.auth().session_cookie()
    }

    /// A layer that redirects anonymous requests to the login page. See
    /// [`Auth::login_required`](crate::Auth::login_required).
    pub fn login_required(&self, login_page: impl Into<Arc<str>>) -> LoginRequiredLayer {
        self.auth().login_required(login_page)
    }

    /// The value of `Set-Cookie` that stores a session token. See
    /// [`Auth::set_session_cookie`](crate::Auth::set_session_cookie).
    ///
    /// # Panics
    /// If the text is not a token that this instance issued.
    pub fn set_session_cookie(&self, token: &str) -> HeaderValue {
        self.auth().set_session_cookie(token)
    }

    /// The value of `Set-Cookie` that removes the session token, for a logout.
    pub fn remove_session_cookie(&self) -> HeaderValue {
        self.auth().remove_session_cookie()
    }
}

/// # Operation
impl Doorwarden {
    /// The settings of the HTTP interface.
    pub fn http_settings(&self) -> &HttpSettings {
        self.auth().settings()
    }

    /// Counters of requests.
    pub fn metrics(&self) -> &Metrics {
        self.auth().metrics()
    }

    /// The metrics in Prometheus' text format. Serve them where only you can read them.
    pub fn render_metrics(&self) -> String {
        self.auth().render_metrics()
    }

    /// The OpenAPI document of the endpoints, as JSON.
    pub fn openapi(&self) -> Bytes {
        self.auth().openapi()
    }

    /// Ends the streams of the revocation feed. Call it when the server begins to stop, before it waits for
    /// open requests.
    pub fn end_streams(&self) {
        self.auth().end_streams();
    }
}
