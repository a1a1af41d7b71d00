//! User accounts and JSON Web Tokens for axum applications, on SQLite or PostgreSQL.
//!
//! ```no_run
//! use axum::{Router, routing::get};
//! use doorwarden::{CurrentUser, Doorwarden};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let auth = Doorwarden::builder().database_url("sqlite://app.db").build().await?;
//!     let app = Router::new().route("/feed", get(feed));
//!     let app = auth.protect(app).merge(auth.router()).layer(auth.layer());
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
//!     Ok(axum::serve(listener, app).await?)
//! }
//!
//! async fn feed(user: CurrentUser) -> String {
//!     format!("Hello {}", user.username())
//! }
//! ```
//!
//! - [`Doorwarden::builder`] says what can be decided; everything has a safe default.
//! - [`Auth::router`] has `/registration`, `/login`, `/me` and the rest; [`Auth::protect`] and [`Auth::require_perm`] guard
//!   an application's own routes; [`CurrentUser`] and [`Claims`] are arguments of handlers.
//! - [`Doorwarden::users`] is Django's manager: `create_user`, `create_superuser`, permissions and groups.
//! - [`Doorwarden::tokens`] makes and checks tokens; [`Doorwarden::keys`] rotates and revokes the keys of access tokens.

mod builder;
mod database_url;
mod keys;
mod secret;
mod tokens;
mod users;

pub use builder::{BuildError, Builder, OldSecretKey, SecretKeyRevoked};
pub use database_url::{DatabaseUrl, DatabaseUrlError};
pub use doorwarden_axum::page::safe_next;
pub use doorwarden_axum::settings::EndpointPathError;
pub use doorwarden_axum::{
    ApiError, Auth, Claims, CorsSettings, CurrentUser, Endpoint, HttpSettings, OauthClients,
};
pub use doorwarden_core as core;
pub use doorwarden_core::async_trait;
pub use doorwarden_core::audit::{Actor, Origin};
pub use doorwarden_core::error::{FieldError, FieldErrors};
pub use doorwarden_core::event::Event;
pub use doorwarden_core::field::Field;
pub use doorwarden_core::flow::manage::{CreateUserError, NewAccount};
pub use doorwarden_core::hook::Hooks;
pub use doorwarden_core::password::Password;
pub use doorwarden_core::permission::{Permission, PermissionName};
pub use doorwarden_core::session::{ClientInfo, Session};
pub use doorwarden_core::settings::Settings;
pub use doorwarden_core::store::SignedOut;
pub use doorwarden_core::user::{Account, NewUser, User, UserChange, UserId};
pub use keys::Keys;
pub use secret::SecretKeyError;
pub use tokens::Tokens;
pub use users::Users;

use std::ops::Deref;

/// The examples in the documents, as tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../../README.md")]
    struct Readme;

    #[doc = include_str!("../../../docs/library.md")]
    struct Library;
}

/// Accounts and tokens: what an application holds. Cheap to clone. Dereferences to [`Auth`], which has the router and the layers.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use doorwarden::Doorwarden;
///
/// let auth = Doorwarden::builder().database_url("sqlite://app.db").build().await?;
/// let jane = auth.users().create_user("jane", "jane@example.com", Some("correct horse battery")).await?;
/// let token = auth.tokens().issue(jane.id).await?.token;
/// assert_eq!(auth.tokens().verify(&token).await?.id(), jane.id);
/// auth.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Doorwarden {
    auth: Auth,
    origin: Origin,
}

impl Doorwarden {
    /// Begins with the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The same accounts, whose changes the audit log says somebody else has made than [`Actor::Application`]: the user who asked for one,
    /// say, from where that was.
    ///
    /// ```no_run
    /// # async fn run(auth: doorwarden::Doorwarden, admin: doorwarden::UserId, jane: doorwarden::UserId)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// use doorwarden::Actor;
    ///
    /// auth.acting_as(Actor::User(admin)).users().sign_out(jane).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn acting_as(&self, origin: impl Into<Origin>) -> Self {
        Self { auth: self.auth.clone(), origin: origin.into() }
    }

    /// Who makes the changes.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The manager: creates and changes accounts, groups and permissions.
    pub fn users(&self) -> Users {
        Users::new(self.auth.context().clone(), self.origin.clone())
    }

    /// Makes and checks tokens.
    pub fn tokens(&self) -> Tokens {
        Tokens::new(self.auth.context().clone(), self.origin.clone())
    }

    /// Looks after the keys of access tokens.
    pub fn keys(&self) -> Keys {
        Keys::new(self.auth.context().clone(), self.origin.clone())
    }

    /// The handle for axum, which [`Deref`] also gives.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// Finishes what was begun: writes what is written behind, stops hashing, closes the database. Requests that come
    /// afterwards get 503.
    pub async fn close(&self) {
        self.auth.end_streams();
        let context = self.auth.context();
        doorwarden_core::tasks::flush_seen(context).await;
        let pool = context.clone();
        let stopped = tokio::task::spawn_blocking(move || pool.pool.shutdown()).await;
        if stopped.is_err() {
            tracing::error!("the hashing pool could not be stopped");
        }
        context.store.close().await;
    }
}

impl Deref for Doorwarden {
    type Target = Auth;

    fn deref(&self) -> &Auth {
        &self.auth
    }
}
