//! For the services beside Doorwarden: verify its access tokens offline, and still refuse the ones of a session that has ended.
//!
//! A [`Verifier`] needs the URL of the issuer and nothing else. It fetches the published keys, follows the signed revocation feed in the
//! background and decides about each token in memory; a request to the issuer is made for no token but the first of a new key.
//!
//! ```no_run
//! # #[cfg(feature = "axum")]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! # use axum::{Router, routing::get};
//! use doorwarden_verify::{Claims, Verifier};
//!
//! let verifier = Verifier::builder("https://id.example.com").audience("https://api.example.com").build()?;
//! verifier.ready().await;
//! let app: Router = Router::new()
//!     .route("/notes", get(async |claims: Claims| format!("Hello user {}", claims.sub)))
//!     .layer(verifier.layer());
//! # Ok(())
//! # }
//! ```
//!
//! The features are `follow` ([`Verifier`], on tokio), `tower` ([`Verifier::layer`]) and `axum` ([`Claims`] as an argument of
//! handlers); all are on by default. Without them there is [`Checker`], which is pure: key set, revocation statements, token and time
//! go in, claims come out.
//!
//! # What it holds to
//!
//! - Tokens, keys and statements are read by [`doorwarden_token`], as strictly as the issuer reads them. Nothing that a token names
//!   is ever fetched; the addresses follow from the issuer's URL alone, and no redirect is followed.
//! - A token is refused from the moment on that the feed names its session, its user or its key: with a working stream within a second
//!   of the logout, usually within a tenth.
//! - Whoever has not heard from the feed for longer than a limit cannot know. The [`Verifier`] says so ([`Verifier::status`], a
//!   warning in the log) and refuses every token with 503, or accepts on the signature alone: [`WhenStale`].
//! - The signature of a token is checked once; later checks cost a hash and three look-ups, below a microsecond.

mod checker;
#[cfg(feature = "follow")]
mod follow;
mod refused;
mod revoked;
#[cfg(feature = "tower")]
mod tower;
mod verified;

#[cfg(feature = "axum")]
mod axum;

pub use checker::{Checker, WhenStale};
pub use doorwarden_token::access::AccessClaims;
pub use doorwarden_token::{Refusal, key::KeyError};
#[cfg(feature = "follow")]
pub use follow::{BuildError, Builder, Status, Verifier};
pub use refused::Refused;
#[cfg(feature = "tower")]
pub use tower::{Claims, Require, RequireLayer, Unauthenticated};
