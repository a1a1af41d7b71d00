//! Extractors: who makes the request.

use crate::auth::Auth;
use crate::error::ApiError;
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::Response;
use doorwarden_core::flow::authenticate::{Authenticated, TokenClaims};
use doorwarden_core::session::SessionId;
use doorwarden_core::user::{Account, UserId};
use http::Extensions;
use http::request::Parts;
use serde::de::DeserializeOwned;
use std::ops::Deref;
use std::sync::Arc;

/// The user who makes the request, as they are now: what was changed, taken away or deactivated since the token was made counts.
/// Dereferences to [`Account`], which has permissions, groups and the whole [`User`](doorwarden_core::user::User).
///
/// As an argument it needs a user, and answers 401 without one; `Option<CurrentUser>` is `None` without a token, but a token that is
/// refused is 401 there, too. 503 if the database would have to be asked and does not answer. Works on every route under
/// [`Auth::layer`], [`Auth::protect`] or a layer of [`Auth::require_perm`] and its like; under several instances it is the user of the
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
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(home)).route("/greet", axum::routing::get(greet));
/// ```
#[derive(Debug, Clone)]
pub struct CurrentUser(Arc<Verified>);

#[derive(Debug)]
struct Verified {
    who: Authenticated,
    /// Whose user it is. To other instances in the process the user is nobody.
    by: Auth,
}

impl CurrentUser {
    pub(crate) fn new(who: Authenticated, by: Auth) -> Self {
        Self(Arc::new(Verified { who, by }))
    }

    /// The user whom this instance found in the request before, if it did.
    pub(crate) fn found(extensions: &Extensions, by: &Auth) -> Option<Self> {
        extensions.get::<Self>().filter(|user| user.0.by.is_same(by)).cloned()
    }

    /// The primary key: what an application's own tables refer to.
    pub fn id(&self) -> UserId {
        self.user.id
    }

    /// The name shown to people, as it was typed.
    pub fn username(&self) -> &str {
        self.user.username.as_str()
    }

    /// The address, as it was typed.
    pub fn email(&self) -> &str {
        self.user.email.as_str()
    }

    /// Whether the user may use the administration.
    pub fn is_staff(&self) -> bool {
        self.user.is_staff
    }

    /// The session of the token; `None` if it names none.
    pub fn session(&self) -> Option<SessionId> {
        self.0.who.session
    }

    /// The verified claims of the token.
    pub fn claims(&self) -> &TokenClaims {
        &self.0.who.token
    }

    /// What the flows of the core take.
    pub fn authenticated(&self) -> &Authenticated {
        &self.0.who
    }

    /// The user's metadata as a type of the application's own.
    ///
    /// # Errors
    /// If the members do not fit the type.
    ///
    /// ```
    /// #[derive(serde::Deserialize)]
    /// struct Profile {
    ///     display_name: String,
    /// }
    ///
    /// fn shown(user: &doorwarden_axum::CurrentUser) -> String {
    ///     user.metadata::<Profile>().map_or_else(|_| user.username().to_owned(), |profile| profile.display_name)
    /// }
    /// ```
    pub fn metadata<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(serde_json::Value::Object(self.user.metadata.clone()))
    }
}

impl Deref for CurrentUser {
    type Target = Account;

    fn deref(&self) -> &Account {
        &self.0.who.user.account
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

/// Finds the user once per request.
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

/// The verified claims of the token that came with the request. Like [`CurrentUser`], which it looks for first, it answers 401 or 503
/// if there is none.
///
/// ```
/// use doorwarden_axum::Claims;
/// use doorwarden_core::flow::authenticate::TokenClaims;
///
/// async fn expiry(Claims(claims): Claims) -> String {
///     match claims {
///         TokenClaims::Session(claims) => format!("until {}", claims.exp),
///         TokenClaims::Access(claims) => format!("until {}, then refresh", claims.exp),
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
