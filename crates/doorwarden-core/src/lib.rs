//! The rules of user accounts: types that cannot hold wrong values, the flows (register, log in, change a
//! password, ...), the live view that makes a revocation take effect at once, and the traits that a store
//! implements.
//!
//! Nothing here knows HTTP, SQL, files or the environment. `doorwarden-sqlite` and `doorwarden-postgres`
//! implement [`store::Store`]; `doorwarden-axum` and the command line call the functions in [`flow`].

pub mod audit;
pub mod authentication;
pub mod challenge;
pub mod context;
pub mod courier;
pub mod duties;
pub mod error;
pub mod etag;
pub mod event;
pub mod factor;
pub mod feed;
pub mod field;
pub mod flow;
pub mod hook;
pub mod identity;
pub mod keys;
pub mod limit;
pub mod live;
pub mod locale;
pub mod mail;
pub mod outbox;
pub mod permission;
pub mod random;
pub mod refresh;
pub mod refusals;
pub mod session;
pub mod settings;
pub mod skew;
pub mod store;
pub mod tally;
pub mod tasks;
pub mod time;
pub mod user;
pub mod view;
pub mod webhook;

pub use async_trait::async_trait;
pub use doorwarden_password as password;
pub use doorwarden_token as token;
pub use doorwarden_webauthn as webauthn;
pub use identity::text;
