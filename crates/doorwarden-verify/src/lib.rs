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
//! verifier.ready().await?;
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
//!   warning in the log), fetches the statement once more, which is enough for a process that was stopped for a while, and then refuses
//!   every token with 503, or accepts on the signature alone: [`WhenStale`]. Silence is measured by a clock that nobody sets, and a
//!   statement counts from when it was made, give or take 60 seconds between two clocks.
//! - Where the stream of the feed does not come through, or nothing has come for seven seconds, the statement is fetched once a second.
//! - A token of an unknown key makes one fetch of the keys in five seconds at most, past every cache. All who wait share it, and no
//!   request waits for longer than two seconds.
//! - Once a minute the log says what was expected and what came where tokens have another audience or issuer, and by how much clocks
//!   differ.
//! - The signature of a token is checked once; later checks cost a hash and three look-ups, below a microsecond.
//!
//! # A certificate authority of your own
//!
//! The issuer's certificate is checked against those that the system trusts. For an authority of your own set the environment variable
//! `SSL_CERT_FILE` to its certificate (PEM), or `SSL_CERT_DIR` to a folder of such files. It stands in place of the system's, for
//! the whole process: concatenate both if it talks to others, too.
//!
//! # Pages on other origins
//!
//! A browser asks before it sends a token (`OPTIONS`, without one). Lay the layer that answers it (`CorsLayer` of tower-http) around
//! that of the verifier, which means after it: `.layer(verifier.layer()).layer(cors)`.

mod checker;
#[cfg(feature = "follow")]
mod follow;
mod refused;
mod revoked;
#[cfg(feature = "tower")]
mod tower;

#[cfg(feature = "axum")]
mod axum;

pub use checker::{Checker, WhenStale};
pub use doorwarden_token::access::AccessClaims;
pub use doorwarden_token::{Refusal, key::KeyError};
#[cfg(feature = "follow")]
pub use follow::{BuildError, Builder, NotReady, Status, Verifier};
pub use refused::Refused;
pub use revoked::Now;
#[cfg(feature = "tower")]
pub use tower::{Claims, Require, RequireLayer, Unauthenticated};
