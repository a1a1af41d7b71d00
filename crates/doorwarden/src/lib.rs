//! User accounts and JSON Web Tokens for axum applications, on SQLite or PostgreSQL.
//!
//! # Mounting
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
//! [`Doorwarden::router`] serves `/registration`, `/login`, `/me` and the other [endpoints](Endpoint);
//! [`Doorwarden::layer`] is the outermost middleware.
//!
//! # Protecting routes
//!
//! [`Doorwarden::protect`] requires a user for everything that a router has so far,
//! [`Doorwarden::require_perm`] and [`Doorwarden::require_staff`] for single routes. [`CurrentUser`] and
//! [`Claims`] are extractors for handlers.
//!
//! ```no_run
//! use axum::{Router, routing::post};
//! use doorwarden::{CurrentUser, Doorwarden};
//!
//! fn posts(auth: &Doorwarden) -> Router {
//!     Router::new().route("/posts", post(publish).route_layer(auth.require_perm("blog.add_post")))
//! }
//!
//! async fn publish(user: CurrentUser) -> String {
//!     format!("Published by user {}, a member of {:?}", user.id(), user.groups())
//! }
//! ```
//!
//! # Users
//!
//! [`Doorwarden::users`] is Django's `User.objects`: accounts, groups and permissions.
//!
//! ```no_run
//! # async fn run(auth: doorwarden::Doorwarden) -> Result<(), Box<dyn std::error::Error>> {
//! let jane = auth.users().create_user("jane", "jane@example.com", Some("correct horse battery")).await?;
//! auth.users().grant(jane.id, &"blog.add_post".parse()?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Tokens
//!
//! [`Doorwarden::tokens`] issues tokens without a password and verifies tokens that did not come in a request
//! header. [`Doorwarden::keys`] lists, rotates and revokes the signing keys of access tokens.
//!
//! ```no_run
//! # use doorwarden::{Doorwarden, UserId};
//! # async fn run(auth: Doorwarden, jane: UserId) -> Result<(), Box<dyn std::error::Error>> {
//! let token = auth.tokens().issue(jane).await?.token;
//! let authenticated = auth.tokens().verify(&token).await?;
//! assert_eq!(authenticated.id(), jane);
//! println!("{} has session {:?}", authenticated.user().username, authenticated.session());
//! # Ok(())
//! # }
//! ```
//!
//! # Sessions
//!
//! A login opens a [`Session`], and its tokens are refused as soon as the session has ended. What the
//! endpoints do is also available as functions, in [`core::flow`].
//!
//! ```no_run
//! use doorwarden::core::flow::log_out::{LogoutScope, log_out};
//! use doorwarden::{ApiError, ClientInfo, CurrentUser, Doorwarden};
//!
//! /// Logs the user out on every other device. The audit log records the address and user agent of `client`.
//! async fn leave_others(auth: &Doorwarden, user: &CurrentUser, client: ClientInfo) -> Result<(), ApiError> {
//!     log_out(auth.context(), user.authenticated(), LogoutScope::Others, client).await?;
//!     Ok(())
//! }
//! ```
//!
//! An operator's or an application's own code ends the sessions of any user with [`Users::sign_out`].
//!
//! # Custom fields and hooks
//!
//! [`Builder::field`] declares fields of registration and profile; [`Builder::hook`] adds code that runs at
//! registration and login, adds claims to access tokens, or receives every [`Event`].
//!
//! ```
//! use doorwarden::{Doorwarden, Event, Field, Hooks, async_trait};
//!
//! #[derive(Debug)]
//! struct Welcome;
//!
//! #[async_trait]
//! impl Hooks for Welcome {
//!     async fn on_event(&self, event: &Event) {
//!         if let Event::UserCreated { user } = event {
//!             println!("welcome, user {user}");
//!         }
//!     }
//! }
//!
//! let builder = Doorwarden::builder().field(Field::text("display_name", 80).required()).hook(Welcome);
//! ```
//!
//! # Defaults
//!
//! [`Builder`] lists them. Settings are changed in place, so that a setting added later does not break the
//! code:
//!
//! ```
//! use doorwarden::{Doorwarden, PasswordChangeEnds};
//! use std::time::Duration;
//!
//! let builder = Doorwarden::builder().settings(|settings| {
//!     settings.session.lifetime = Duration::from_secs(14 * 24 * 3600);
//!     settings.password_change_ends = PasswordChangeEnds::AllSessions;
//! });
//! ```
//!
//! # Errors
//!
//! Errors on which an application has to decide, such as [`CreateUserError`] or [`AuthenticateError`], are
//! enums without hidden variants, so that a `match` is complete. Reasons and events, which are read rather
//! than decided on, and [`BuildError`] may get further variants and are `#[non_exhaustive]`.

mod audit;
mod builder;
mod database_url;
mod http;
mod keys;
mod mails;
mod secret;
mod tokens;
mod users;
mod webhooks;

pub use audit::Audit;
pub use builder::{BuildError, Builder, OldSecretKey, SecretKeyRevoked};
pub use database_url::{DatabaseUrl, DatabaseUrlError};
pub use doorwarden_axum::layer::RequireLayer;
pub use doorwarden_axum::metrics::Metrics;
pub use doorwarden_axum::middleware::MiddlewareLayer;
pub use doorwarden_axum::page::{LoginRequiredLayer, SessionCookieLayer, safe_next};
pub use doorwarden_axum::settings::EndpointPathError;
pub use doorwarden_axum::{
    ApiError, Auth, Claims, CorsSettings, CurrentUser, Endpoint, HttpSettings, OauthClients,
};
pub use doorwarden_core as core;
pub use doorwarden_core::async_trait;
pub use doorwarden_core::audit::{Actor, Origin};
pub use doorwarden_core::context::Context;
pub use doorwarden_core::error::{FieldError, FieldErrors};
pub use doorwarden_core::event::{Event, LoginFailure, RepeatSign};
pub use doorwarden_core::factor::{Factor, FactorId, FactorKind};
pub use doorwarden_core::field::{Field, FieldNameError};
pub use doorwarden_core::flow::authenticate::{AuthenticateError, Authenticated, TokenClaims, TokenRefused};
pub use doorwarden_core::flow::groups::CreateGroupError;
pub use doorwarden_core::flow::invite::{Invitation, InviteError};
pub use doorwarden_core::flow::issue_tokens::IssueError;
pub use doorwarden_core::flow::manage::{
    CreateUserError, NewAccount, SetPasswordError, UpdateUserError, UserError,
};
pub use doorwarden_core::flow::webhooks::{DeclaredWebhook, WebhookError};
pub use doorwarden_core::flow::{IssuedToken, TokenPair};
pub use doorwarden_core::hook::Hooks;
pub use doorwarden_core::identity::{EmailAddress, Username};
pub use doorwarden_core::keys::KeysError;
pub use doorwarden_core::keys::state::KeyState;
pub use doorwarden_core::locale::Locale;
pub use doorwarden_core::mail::{Mail, MailContent, MailKind, Mailer, SendError};
pub use doorwarden_core::password::{
    Ceilings, HashSettings, HashSettingsError, Password, PasswordHash, PasswordPolicy, PoolSettings,
};
pub use doorwarden_core::permission::{Group, Permission, PermissionName, PermissionNameError};
pub use doorwarden_core::random::RandomSource;
pub use doorwarden_core::session::{ClientInfo, EndReason, Session, SessionId};
pub use doorwarden_core::settings::{
    AccessSettings, FactorPolicy, FactorSettings, KeySettings, LiveSettings, PasswordChangeEnds,
    SessionSettings, Settings, WebhookSettings, WithoutSession,
};
pub use doorwarden_core::store::{
    GrantError, MigrateError, SignedOut, SigningKey, Store, StoreError, UserFilter,
};
pub use doorwarden_core::time::{Clock, Timestamp};
pub use doorwarden_core::token::Algorithm;
pub use doorwarden_core::token::secret::KeyTooShort;
pub use doorwarden_core::user::{Account, NewUser, User, UserChange, UserId};
pub use doorwarden_core::webauthn::{RelyingParty, RelyingPartyError};
pub use doorwarden_core::webhook::{
    Delivery, DeliveryState, EventTypes, MessageId, RetryAfter, Webhook, WebhookClient, WebhookName,
    WebhookRequest, WebhookResponse, WebhookState,
};
pub use doorwarden_postgres::OptionsError;
pub use keys::Keys;
pub use mails::Mails;
pub use secret::SecretKeyError;
pub use tokens::Tokens;
pub use users::Users;
pub use webhooks::Webhooks;

use std::sync::Arc;

/// The examples in the documents, as tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../../README.md")]
    struct Readme;

    #[doc = include_str!("../../../docs/library.md")]
    struct Library;

    #[doc = include_str!("../../../docs/passwords.md")]
    struct Passwords;
}

/// The handle on accounts and tokens. Cheap to clone; two instances in one process
/// are independent.
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
    /// A builder with the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A handle on the same accounts whose changes the audit log attributes to this actor, instead of to
    /// [`Actor::Application`]: for instance to the user who asked for the change, and to their address.
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

    /// The actor to whom the audit log attributes the changes made through this handle.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Creates and changes accounts, groups and permissions: Django's `User.objects`.
    pub fn users(&self) -> Users {
        Users::new(self.auth.context().clone(), self.origin.clone())
    }

    /// Issues and verifies tokens.
    pub fn tokens(&self) -> Tokens {
        Tokens::new(self.auth.context().clone(), self.origin.clone())
    }

    /// Lists, rotates and revokes the signing keys of access tokens.
    pub fn keys(&self) -> Keys {
        Keys::new(self.auth.context().clone(), self.origin.clone())
    }

    /// Lists the mails that were queued, and lets failed ones be sent again.
    pub fn mails(&self) -> Mails {
        Mails::new(self.auth.context().clone(), self.origin.clone())
    }

    /// Adds and removes endpoints of webhooks, and tells what became of what was sent to them.
    pub fn webhooks(&self) -> Webhooks {
        Webhooks::new(self.auth.context().clone(), self.origin.clone())
    }

    /// Reads, seals and verifies the audit log.
    pub fn audit(&self) -> Audit {
        Audit::new(self.auth.context().clone())
    }

    /// The part of the handle that works with axum, for code that depends on `doorwarden-axum` alone.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// What the [flows](core::flow) of the core take as their first argument.
    pub fn context(&self) -> &Arc<Context> {
        self.auth.context()
    }

    /// Flushes buffered writes, stops the hashing pool and closes the database. Later requests get 503.
    pub async fn close(&self) {
        self.auth.end_streams();
        let context = self.auth.context();
        doorwarden_core::tasks::flush_seen(context).await;
        doorwarden_core::flow::seal_events::write_refusals(context, true).await;
        let pool = context.clone();
        let stopped = tokio::task::spawn_blocking(move || pool.pool.shutdown()).await;
        if stopped.is_err() {
            tracing::error!("the hashing pool could not be stopped");
        }
        context.store.close().await;
    }
}
