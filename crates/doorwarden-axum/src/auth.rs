//! The handle that an application holds.

use crate::endpoint::{self, EndpointService, Readiness};
use crate::error::ApiError;
use crate::extract::CurrentUser;
use crate::hint::Said;
use crate::layer::{RequireLayer, Requirement};
use crate::metrics::Metrics;
use crate::middleware::MiddlewareLayer;
use crate::openapi;
use crate::settings::HttpSettings;
use crate::streams::Streams;
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use doorwarden_core::context::Context;
use doorwarden_core::flow::authenticate::{ShownTo, authenticate};
use doorwarden_core::permission::PermissionName;
use doorwarden_core::store::patience::one_request;
use doorwarden_core::token::bearer::{self, BearerError};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, OnceLock};
use tower_service::Service;

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

    /// The OpenAPI document of the endpoints, as JSON.
    pub fn openapi(&self) -> Bytes {
        self.0.openapi.get_or_init(|| openapi::document(self.context(), self.settings())).clone()
    }

    /// All endpoints that are not left out, each with and without a trailing slash. Merge it into the router
    /// of the application; as axum does, `merge` panics if both have the same path
    /// and method.
    ///
    /// ```
    /// fn app(auth: &doorwarden_axum::Auth) -> axum::Router {
    ///     axum::Router::new().merge(auth.router()).layer(auth.layer())
    /// }
    /// ```
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        endpoint::router(self)
    }

    /// All endpoints inside the [`layer`](Self::layer), for a server that serves nothing else. It responds as
    /// `layer` around [`router`](Self::router) does, and faster, because most paths need no router.
    ///
    /// ```
    /// use axum::ServiceExt;
    /// use axum::extract::Request;
    /// use doorwarden_axum::Auth;
    /// use tokio::net::TcpListener;
    ///
    /// async fn serve(auth: &Auth, listener: TcpListener) -> std::io::Result<()> {
    ///     let service = ServiceExt::<Request>::into_make_service(auth.service());
    ///     axum::serve(listener, service).await
    /// }
    /// ```
    pub fn service(
        &self,
    ) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + use<>
    {
        self.layer().around(EndpointService::new(self))
    }

    /// Requires a user for everything that `router` has so far: its routes, the routers nested in it, and its
    /// fallback, so that the response to an unknown path without a user is 401, not 404. Routes that are
    /// added or merged afterwards stay public.
    ///
    /// A fallback of the router's own stays protected wherever the router is merged or nested. axum's default
    /// fallback is that of the outer router after `nest`, and that of the argument after `merge`: an unknown
    /// path is 404 with `auth.protect(app).merge(auth.router())`, and 401 with
    /// `auth.router().merge(auth.protect(app))`. A CORS preflight has no token, so a `CorsLayer` goes around:
    /// `auth.protect(app).layer(cors)`.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use doorwarden_axum::{Auth, CurrentUser};
    ///
    /// fn app(auth: &Auth) -> Router {
    ///     let feed = get(async |user: CurrentUser| format!("Hello {}", user.username()));
    ///     auth.protect(Router::new().route("/feed", feed)).route("/about", get("for everybody"))
    /// }
    /// ```
    pub fn protect<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        router.layer(self.require_user())
    }

    /// As [`protect`](Self::protect), but for the routes alone: the fallback stays public, including one of
    /// the router's own.
    ///
    /// # Panics
    /// If the router has no routes, as axum's `route_layer`.
    pub fn protect_routes<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        router.route_layer(self.require_user())
    }

    /// A layer that admits only users: 401 without a user.
    pub fn require_user(&self) -> RequireLayer {
        RequireLayer::new(self.clone(), Requirement::User)
    }

    /// A layer that admits only staff (`is_staff`): 401 without a user, 403 for other users.
    pub fn require_staff(&self) -> RequireLayer {
        RequireLayer::new(self.clone(), Requirement::Staff)
    }

    /// A layer that admits only users who have this permission, as Django's `has_perm` defines it: 401
    /// without a user, 403 for other users. A permission that was never declared belongs to superusers only.
    ///
    /// # Panics
    /// If the name is not `app_label.codename`, because no user could ever have it.
    ///
    /// ```
    /// use axum::{Router, routing::post};
    /// use doorwarden_axum::Auth;
    ///
    /// fn app(auth: &Auth) -> Router {
    ///     let publish = post(async || "published").route_layer(auth.require_perm("blog.add_post"));
    ///     // Methods that are added after the layer are public.
    ///     Router::new().route("/posts", publish.get(async || "the posts"))
    /// }
    /// ```
    pub fn require_perm(&self, permission: impl Into<Arc<str>>) -> RequireLayer {
        let permission = permission.into();
        assert!(
            permission.parse::<PermissionName>().is_ok(),
            "a permission is called app_label.codename, not {permission:?}"
        );
        RequireLayer::new(self.clone(), Requirement::Permission(permission))
    }

    /// The outermost layer of an application: request ids, security headers, limits, metrics, 500 when a
    /// handler panics, errors as JSON, and the extractor [`CurrentUser`] on every route.
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

    /// The user of a request, by its `Authorization` header. An access token must be for the application: its
    /// audience contains the issuer or one of
    /// [`AccessSettings::audience`](doorwarden_core::settings::AccessSettings::audience).
    ///
    /// # Errors
    /// 400 if the request has more than one token; 401 if it has no bearer token or the token is refused; 503
    /// if the database is needed and not available.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<CurrentUser, ApiError> {
        self.authenticate_for(ShownTo::Application, headers).await
    }

    pub(crate) async fn authenticate_for(
        &self,
        shown_to: ShownTo,
        headers: &HeaderMap,
    ) -> Result<CurrentUser, ApiError> {
        self.user_of_token(shown_to, bearer(headers)?).await
    }

    async fn user_of_token(&self, shown_to: ShownTo, token: &str) -> Result<CurrentUser, ApiError> {
        let authenticated = one_request(authenticate(self.context(), token, shown_to)).await?;
        Ok(CurrentUser::new(authenticated, self.clone()))
    }

    /// As [`authenticate`](Self::authenticate), but `None` if no bearer token was sent.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate) if a bearer token was sent.
    pub async fn authenticate_optional(&self, headers: &HeaderMap) -> Result<Option<CurrentUser>, ApiError> {
        match bearer(headers) {
            Ok(token) => self.user_of_token(ShownTo::Application, token).await.map(Some),
            Err(BearerError::Missing | BearerError::NotBearer) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The bearer token of a request.
fn bearer(headers: &HeaderMap) -> Result<&str, BearerError> {
    bearer::parse(headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes))
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}
