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

/// Accounts and tokens for an axum application. Cheap to clone; several of them in one process do not disturb each other.
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
    /// A handle on these parts.
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

    /// The parts that flows work with.
    pub fn context(&self) -> &Arc<Context> {
        &self.0.context
    }

    /// Whether the database can be worked with.
    pub(crate) fn readiness(&self) -> &Readiness {
        &self.0.readiness
    }

    /// The decisions about the HTTP interface.
    pub fn settings(&self) -> &HttpSettings {
        &self.0.settings
    }

    /// What was counted.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The metrics in Prometheus' text format. Not a route of [`router`](Self::router): serve it where only you can read it.
    pub fn render_metrics(&self) -> String {
        self.metrics().render(self.context())
    }

    /// Logs what clients do wrong, each mistake at most once a minute.
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

    /// Ends the streams of the revocation feed, which otherwise go on until the client leaves. To be called when the server begins to
    /// stop, before it waits for what has begun.
    pub fn end_streams(&self) {
        self.0.streams.end();
    }

    /// The OpenAPI document of the endpoints, as JSON.
    pub fn openapi(&self) -> Bytes {
        self.0.openapi.get_or_init(|| openapi::document(self.context(), self.settings())).clone()
    }

    /// All endpoints that are not left out, each with and without a slash at the end. To be merged into an application's router, which
    /// panics, as axum does, if both have the same path and method.
    ///
    /// ```
    /// fn app(auth: &doorwarden_axum::Auth) -> axum::Router {
    ///     axum::Router::new().merge(auth.router()).layer(auth.layer())
    /// }
    /// ```
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        endpoint::router(self)
    }

    /// All endpoints inside the [`layer`](Self::layer), for a server that serves nothing else. It answers as `layer` around
    /// [`router`](Self::router) does, and faster, because most paths need no router.
    ///
    /// ```
    /// use axum::ServiceExt;
    /// use axum::extract::Request;
    ///
    /// async fn serve(auth: &doorwarden_axum::Auth, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    ///     axum::serve(listener, ServiceExt::<Request>::into_make_service(auth.service())).await
    /// }
    /// ```
    pub fn service(
        &self,
    ) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + use<>
    {
        self.layer().around(EndpointService::new(self))
    }

    /// Whatever `router` has so far needs a user: its routes, what is nested in it, and its fallback, so that an unknown path is 401
    /// before it is 404. What is added or merged afterwards stays public.
    ///
    /// A fallback of the router's own stays protected wherever the router is merged or nested. axum's default fallback is that of the
    /// outer router after `nest`, and that of the argument after `merge`: `auth.protect(app).merge(auth.router())` answers 404 for an
    /// unknown path, `auth.router().merge(auth.protect(app))` 401. A CORS preflight has no token: a `CorsLayer` goes around,
    /// `auth.protect(app).layer(cors)`.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use doorwarden_axum::{Auth, CurrentUser};
    ///
    /// fn app(auth: &Auth) -> Router {
    ///     let personal = Router::new().route("/feed", get(async |user: CurrentUser| format!("Hello {}", user.username())));
    ///     auth.protect(personal).route("/about", get("for everybody"))
    /// }
    /// ```
    pub fn protect<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        router.layer(self.require_user())
    }

    /// As [`protect`](Self::protect), but of the routes alone: the fallback, also one of the router's own, stays public. A router
    /// without routes panics, as axum's `route_layer` does.
    pub fn protect_routes<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        router.route_layer(self.require_user())
    }

    /// A layer that lets only users through: 401 for anybody else.
    pub fn require_user(&self) -> RequireLayer {
        RequireLayer::new(self.clone(), Requirement::User)
    }

    /// A layer that lets only staff through (`is_staff`): 401 without a user, 403 for others.
    pub fn require_staff(&self) -> RequireLayer {
        RequireLayer::new(self.clone(), Requirement::Staff)
    }

    /// A layer that lets only those through who have this permission, as Django's `has_perm` defines it: 401 without a user, 403 for others.
    /// A name that was never declared is nobody's but the superusers'.
    ///
    /// # Panics
    /// If the name is not `app_label.codename`: nobody could ever have it.
    ///
    /// ```
    /// use axum::{Router, routing::post};
    /// use doorwarden_axum::Auth;
    ///
    /// fn app(auth: &Auth) -> Router {
    ///     let publish = post(async || "published").route_layer(auth.require_perm("blog.add_post"));
    ///     // What is added after the layer is for everybody.
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

    /// The outermost layer of an application: request ids, security headers, limits, metrics, safety from panics, errors as
    /// JSON, and the extractors of [`CurrentUser`] on every route.
    ///
    /// It refuses a target over 8 KiB with 414, and more than 100 header fields or 16 KiB of them with 431. A header that a handler set
    /// itself stays. Around the router instead of inside it, it costs one allocation less: `auth.layer().layer(router)`.
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

    /// Who makes a request, by its `Authorization` header. An access token must be for the application: its audience contains the issuer,
    /// or one of [`AccessSettings::audience`](doorwarden_core::settings::AccessSettings::audience).
    ///
    /// # Errors
    /// 401 if there is no bearer token, or if it is refused; 503 if the database would have to be asked and does not answer.
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
    /// A token that was sent and is refused is an error here, too.
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
