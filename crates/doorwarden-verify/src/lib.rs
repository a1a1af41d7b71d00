//! Verifies Doorwarden's access tokens offline in other services, and still refuses tokens of a session that
//! has ended.
//!
//! A [`Verifier`] needs only the URL of the issuer. It fetches the published keys, follows the signed
//! revocation feed in the background and verifies each token in memory; only the first token of a new key
//! causes a request to the issuer.
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
//! The features are `follow` ([`Verifier`], on tokio), `tower` ([`Verifier::layer`]) and `axum` ([`Claims`]
//! as an argument of handlers); all are on by default. Without them there is [`Checker`], which does no input
//! or output: it takes the key set, revocation statements, a token and the time, and returns the claims.
//!
//! # Rules
//!
//! - Tokens, keys and statements are read by [`doorwarden_token`], as strictly as the issuer reads them.
//!   Nothing that a token names is ever fetched; the addresses follow from the issuer's URL alone, and no
//!   redirect is followed.
//! - A token is refused from the moment that the feed names its session, its user or its key: with a working
//!   stream within a second of the logout, usually within a tenth of a second.
//! - When the feed has been silent for longer than a limit, the [`Verifier`] reports it
//!   ([`Verifier::status`], a warning in the log) and fetches the statement once more, which is enough for a
//!   process that was stopped for a while. Then it refuses every token with 503, or accepts tokens by their
//!   signature alone: [`WhenStale`]. Silence is measured with a monotonic clock, and the age of a statement
//!   from when it was issued, with 60 seconds of leeway.
//! - Where the stream of the feed is blocked, or has delivered nothing for seven seconds, the statement is
//!   fetched once a second.
//! - Tokens of unknown keys cause at most one fetch of the keys in five seconds, which bypasses every cache.
//!   All waiting requests share it, and none waits for longer than two seconds.
//! - If tokens have another audience or issuer, or clocks differ, the expected and the actual value are
//!   logged once a minute.
//! - The signature of a token is checked once; later checks cost a hash and three look-ups, below a
//!   microsecond.
//!
//! # A certificate authority of your own
//!
//! The issuer's certificate is checked against those that the system trusts. For an authority of your own set
//! the environment variable `SSL_CERT_FILE` to its certificate (PEM), or `SSL_CERT_DIR` to a directory of
//! such files. It replaces the system's authorities for the whole process: concatenate both if the process
//! also connects to other hosts.
//!
//! # Pages on other origins
//!
//! A browser sends a preflight request (`OPTIONS`) without a token. Add the layer that answers it
//! (`CorsLayer` of tower-http) around the verifier's layer, which means after it:
//! `.layer(verifier.layer()).layer(cors)`.

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
