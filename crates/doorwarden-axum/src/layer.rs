//! Layers that admit only some users.

use crate::around::{Around, Decide, Inner};
use crate::auth::Auth;
use crate::cors::Grant;
use crate::error::ApiError;
use crate::extract::{self, CurrentUser};
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use doorwarden_core::flow::reauthenticate::{has_level, is_recent};
use doorwarden_core::permission::PermissionName;
use doorwarden_core::store::patience::one_request;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tower_layer::Layer;

impl Auth {
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

    /// A layer that admits only users who were authenticated at most `age` ago (RFC 9470): 401 without a
    /// user, and with `insufficient_user_authentication` for one who must first confirm that it is them, at
    /// `/reauthenticate`. A refresh does not move the time of an authentication. Reads the session from the
    /// database.
    ///
    /// ```
    /// use axum::{Router, routing::post};
    /// use doorwarden_axum::Auth;
    /// use std::time::Duration;
    ///
    /// fn app(auth: &Auth) -> Router {
    ///     let pay = post(async || "paid").route_layer(auth.require_recent(Duration::from_mins(5)));
    ///     Router::new().route("/payments", pay)
    /// }
    /// ```
    pub fn require_recent(&self, age: Duration) -> RequireLayer {
        RequireLayer::new(self.clone(), Requirement::Recent(age))
    }

    /// A layer that admits only users whose session has at least this assurance level (NIST SP 800-63B, the
    /// claim `acr`): 1, any authentication; 2, with a second factor. 401 without a user, and with
    /// `insufficient_user_authentication` and `acr_values` for one whose session has a lower level (RFC
    /// 9470). Reads the level of the session from the database, because it may have risen since the token
    /// was issued.
    ///
    /// # Panics
    /// If the level is not 1, 2 or 3, because it would admit everybody or nobody.
    ///
    /// ```
    /// use axum::{Router, routing::post};
    /// use doorwarden_axum::{Auth, CurrentUser};
    /// use std::time::Duration;
    ///
    /// fn app(auth: &Auth) -> Router {
    ///     let wire = post(async |user: CurrentUser| format!("wired at level {:?}", user.acr()))
    ///         .route_layer(auth.require_acr(2))
    ///         .route_layer(auth.require_recent(Duration::from_mins(5)));
    ///     Router::new().route("/transfers", wire)
    /// }
    /// ```
    pub fn require_acr(&self, level: u8) -> RequireLayer {
        assert!((1..=3).contains(&level), "an assurance level is 1, 2 or 3, not {level}");
        RequireLayer::new(self.clone(), Requirement::Level(level))
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
}

/// Which users are admitted.
#[derive(Debug, Clone)]
pub(crate) enum Requirement {
    User,
    Staff,
    Permission(Arc<str>),
    Recent(Duration),
    Level(u8),
}

impl Requirement {
    async fn check(&self, auth: &Auth, user: &CurrentUser) -> Result<(), ApiError> {
        let is_met = match self {
            Self::User => true,
            Self::Staff => user.is_staff(),
            Self::Permission(permission) => user.has_perm(permission),
            Self::Level(level) => {
                let has_level = has_level(auth.context(), user.authenticated(), *level);
                return match one_request(has_level).await? {
                    true => Ok(()),
                    false => Err(ApiError::higher_level_required(*level)),
                };
            }
            Self::Recent(age) => {
                let is_recent = is_recent(auth.context(), user.authenticated(), *age);
                return match one_request(is_recent).await? {
                    true => Ok(()),
                    false => Err(ApiError::reauthentication_required(*age)),
                };
            }
        };
        if is_met { Ok(()) } else { Err(ApiError::permission_denied()) }
    }
}

/// Admits only some users: 401 without a user, 403 for a user who is not permitted. Made by
/// [`Auth::require_user`] and its like.
#[derive(Debug, Clone)]
pub struct RequireLayer {
    auth: Auth,
    requirement: Requirement,
}

impl RequireLayer {
    pub(crate) fn new(auth: Auth, requirement: Requirement) -> Self {
        Self { auth, requirement }
    }
}

impl<S> Layer<S> for RequireLayer {
    type Service = Around<Self, S>;

    fn layer(&self, inner: S) -> Around<Self, S> {
        Around { layer: self.clone(), inner }
    }
}

impl Decide for RequireLayer {
    async fn answer(self, request: Request, mut inner: impl Inner) -> Result<Response, Infallible> {
        let Self { auth, requirement } = self;
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(auth.clone());
        let refused = match extract::current(&mut parts).await {
            Ok(Some(user)) => match requirement.check(&auth, &user).await {
                Ok(()) => return inner.call(Request::from_parts(parts, body)).await,
                Err(error) => error,
            },
            Ok(None) => ApiError::not_authenticated(),
            Err(error) => error,
        };
        auth.note(&refused);
        let mut response = refused.render(&parts.headers);
        if let Some(grant) = Grant::of(auth.settings(), &parts.headers) {
            grant.write(response.headers_mut());
        }
        Ok(response)
    }
}
