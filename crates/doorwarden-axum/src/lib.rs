//! Doorwarden for axum: the endpoints, extractors for the current user, layers that admit only some users,
//! error formats, the OpenAPI document.
//!
//! Applications use it through the crate `doorwarden`, which also opens the database.

mod accept;
mod around;
pub mod auth;
mod body;
mod client;
mod cors;
pub mod device_cookie;
mod endpoint;
mod error;
pub mod extract;
mod hint;
pub mod layer;
pub mod metrics;
pub mod middleware;
mod next_step;
pub mod oauth_client;
pub mod page;
mod readiness;
mod refresh_cookie;
pub mod settings;
mod streams;
mod table;

pub use auth::Auth;
pub use error::ApiError;
pub use extract::{Claims, CurrentUser};
pub use oauth_client::OauthClients;
pub use settings::{CorsSettings, Endpoint, HttpSettings};
