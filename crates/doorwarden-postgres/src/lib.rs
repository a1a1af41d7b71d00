//! The shared store of Doorwarden: PostgreSQL 13 or later, for any number of instances of the service.
//!
//! - Every use case is one SQL statement, so it happens entirely or not at all and costs one round trip. What
//!   must follow from a change is done by triggers, so that changes by SQL are included.
//! - The table `users` is a public contract; everything else is called `doorwarden_…`. See `migrations/`.
//! - Rotations of refresh tokens that arrive together share a commit.
//! - Changes reach every instance within milliseconds of their commit; none is lost when a connection is.
//! - A database that is gone makes every call fail with [`StoreError::Unavailable`] in less than two seconds.
//!   When it is back, so is the store.
//!
//! ```no_run
//! use doorwarden_core::store::Store;
//! use doorwarden_postgres::{PostgresOptions, PostgresStore};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = PostgresStore::connect(&PostgresOptions::new("postgres://doorwarden@localhost/accounts"))?;
//! store.migrate().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`StoreError::Unavailable`]: doorwarden_core::store::StoreError::Unavailable

mod attempts;
mod audit;
mod challenges;
mod client;
mod copy;
mod database;
mod export;
mod factors;
mod failure;
mod feed;
mod groups;
mod identities;
mod import;
mod keys;
mod listing;
mod mails;
mod migrations;
mod options;
mod pool;
mod rotation;
mod rows;
mod seals;
mod server;
mod sessions;
mod store;
mod tls;
mod users;
mod values;
mod webhooks;

pub use options::{OptionsError, PostgresOptions};
pub use store::PostgresStore;
