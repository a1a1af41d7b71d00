//! Extractors for the current user and the claims of the token.

use crate::auth::Auth;
use crate::error::ApiError;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::Response;
use doorwarden_core::flow::authenticate::{Authenticated, ShownTo, TokenClaims, authenticate};
use doorwarden_core::session::SessionId;
use doorwarden_core::store::patience::one_request;
use doorwarden_core::token::bearer::{self, BearerError};
use doorwarden_core::user::{Account, User, UserId};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;
use std::sync::Arc;

impl Auth {
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

    pub(crate) async fn user_of_token(
        &self,
        shown_to: ShownTo,
        token: &str,
    ) -> Result<CurrentUser, ApiError> {
        let authenticated = one_request(authenticate(self.context(), token, shown_to)).await?;
        Ok(CurrentUser(Arc::new(Verified { who: authenticated, by: self.clone() })))
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

/// The user who makes the request: their current state, not a snapshot from when the token was issued.
///
/// As an argument of a handler it requires a user: the response without one is 401. `Option<CurrentUser>` is
/// `None` without a token, and also responds with 401 to a token that is refused. The response is 503 if the
/// database is needed and not available. The extractor works on every route under [`Auth::layer`],
/// [`Auth::protect`] or a layer such as [`Auth::require_perm`]; under several instances it is the user of the
/// innermost.
///
/// ```
/// use doorwarden_axum::CurrentUser;
///
/// async fn greet(user: CurrentUser) -> String {
///     match user.has_perm("blog.add_post") {
///         true => format!("Write something, {}!", user.username()),
///         false => format!("Hello {}, we shall write to {}.", user.username(), user.email()),
///     }
/// }
///
/// async fn home(user: Option<CurrentUser>) -> &'static str {
///     if user.is_some() { "Welcome back" } else { "Hello, stranger" }
/// }
/// # use axum::routing::get;
/// # let _: axum::Router = axum::Router::new().route("/", get(home)).route("/greet", get(greet));
/// ```
#[derive(Debug, Clone)]
pub struct CurrentUser(Arc<Verified>);

#[derive(Debug)]
struct Verified {
    who: Authenticated,
    /// The instance that authenticated the user. Other instances in the process do not accept the user.
    by: Auth,
}

impl CurrentUser {
    /// The user whom this instance has already authenticated in this request, if any.
    pub(crate) fn found(extensions: &Extensions, by: &Auth) -> Option<Self> {
        extensions.get::<Self>().filter(|user| user.0.by.is_same(by)).cloned()
    }

    /// The row of the table `users`.
    pub fn user(&self) -> &User {
        self.0.who.user()
    }

    /// The user with their groups and permissions.
    pub fn account(&self) -> &Account {
        self.0.who.account()
    }

    /// The primary key, which foreign keys of the application's own tables reference.
    pub fn id(&self) -> UserId {
        self.0.who.id()
    }

    /// The username as it was typed.
    pub fn username(&self) -> &str {
        self.user().username.as_str()
    }

    /// The email address as it was typed.
    pub fn email(&self) -> &str {
        self.user().email.as_str()
    }

    /// Django's `is_staff`: whether the user may use the administration.
    pub fn is_staff(&self) -> bool {
        self.user().is_staff
    }

    /// Django's `is_superuser`: whether the user has every permission.
    pub fn is_superuser(&self) -> bool {
        self.user().is_superuser
    }

    /// Names of the user's groups, sorted.
    pub fn groups(&self) -> &[String] {
        &self.account().groups
    }

    /// Every permission of the user, direct and through groups, sorted; see [`Account::permissions`].
    pub fn permissions(&self) -> &[String] {
        &self.account().permissions
    }

    /// Django's `has_perm`; see [`Account::has_perm`].
    pub fn has_perm(&self, permission: &str) -> bool {
        self.account().has_perm(permission)
    }

    /// Django's `has_perms`; see [`Account::has_perms`].
    pub fn has_perms<'a>(&self, permissions: impl IntoIterator<Item = &'a str>) -> bool {
        self.account().has_perms(permissions)
    }

    /// Django's `has_module_perms`; see [`Account::has_module_perms`].
    pub fn has_module_perms(&self, app_label: &str) -> bool {
        self.account().has_module_perms(app_label)
    }

    /// The session of the token; `None` if the token has none.
    pub fn session(&self) -> Option<SessionId> {
        self.0.who.session()
    }

    /// The verified claims of the token.
    pub fn claims(&self) -> &TokenClaims {
        self.0.who.claims()
    }

    /// The assurance level that the token states; see [`TokenClaims::acr`].
    pub fn acr(&self) -> Option<&str> {
        self.0.who.acr()
    }

    /// The argument of the core's flows, such as [`log_out`](doorwarden_core::flow::log_out::log_out).
    pub fn authenticated(&self) -> &Authenticated {
        &self.0.who
    }

    /// The user's metadata as a type of the application.
    ///
    /// # Errors
    /// If the metadata does not fit the type.
    ///
    /// ```
    /// #[derive(serde::Deserialize)]
    /// struct Profile {
    ///     display_name: String,
    /// }
    ///
    /// fn shown(user: &doorwarden_axum::CurrentUser) -> String {
    ///     let profile = user.metadata::<Profile>();
    ///     profile.map_or_else(|_| user.username().to_owned(), |profile| profile.display_name)
    /// }
    /// ```
    pub fn metadata<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(serde_json::Value::Object(self.user().metadata.clone()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for CurrentUser {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        match current(parts).await {
            Ok(Some(user)) => Ok(user),
            Ok(None) => Err(refuse(parts, ApiError::not_authenticated())),
            Err(error) => Err(refuse(parts, error)),
        }
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for CurrentUser {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Response> {
        match current(parts).await {
            Ok(user) => Ok(user),
            Err(error) => Err(refuse(parts, error)),
        }
    }
}

fn refuse(parts: &Parts, error: ApiError) -> Response {
    if let Some(auth) = parts.extensions.get::<Auth>() {
        auth.note(&error);
    }
    error.render(&parts.headers)
}

/// The user of the request, who is authenticated once per request; `None` without a token.
pub(crate) async fn current(parts: &mut Parts) -> Result<Option<CurrentUser>, ApiError> {
    let Some(auth) = parts.extensions.get::<Auth>().cloned() else {
        tracing::error!(
            "CurrentUser was asked for on a route that no layer of Doorwarden covers; add .layer(auth.layer())"
        );
        return Err(ApiError::internal());
    };
    if let Some(user) = CurrentUser::found(&parts.extensions, &auth) {
        return Ok(Some(user));
    }
    let user = auth.authenticate_optional(&parts.headers).await?;
    if let Some(user) = &user {
        parts.extensions.insert(user.clone());
    }
    Ok(user)
}

/// The verified claims of the token of the request. The response without them is 401 or 503, as of
/// [`CurrentUser`].
///
/// ```
/// use doorwarden_axum::Claims;
/// use doorwarden_core::flow::authenticate::TokenClaims;
///
/// async fn expiry(Claims(claims): Claims) -> String {
///     match claims {
///         TokenClaims::Access(_) => format!("until {}, then refresh", claims.exp()),
///         _ => format!("until {}", claims.exp()),
///     }
/// }
/// # let _: axum::Router = axum::Router::new().route("/expiry", axum::routing::get(expiry));
/// ```
#[derive(Debug, Clone)]
pub struct Claims(pub TokenClaims);

impl<S: Send + Sync> FromRequestParts<S> for Claims {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let user = <CurrentUser as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        Ok(Self(user.claims().clone()))
    }
}
