//! The embedded store of Doorwarden: SQLite through rusqlite.
//!
//! - One thread writes, over one connection. Whatever waits for it goes into one transaction, a savepoint
//!   each, so that many writers share one wait for the disk. Readers read concurrently, on the calling
//!   thread.
//! - WAL with `synchronous=FULL`: what was answered is on the disk.
//! - What must follow from a change is done by triggers, so that changes by SQL are included. They also write
//!   the change log, which [`ChangeFeed::follow`](doorwarden_core::store::ChangeFeed::follow) polls every few
//!   milliseconds.
//! - The table `users` is a public contract; everything else is called `doorwarden_…`. See `migrations/`.
//!   Other programs need SQLite 3.37 or later; the `sqlite3` shell, which does not enforce foreign keys, does
//!   no harm.
//! - A file that is gone, full or locked makes every call fail with [`StoreError::Unavailable`] in less than
//!   two seconds. When it is back, so is the store; a copy that was put in its place is taken as the
//!   database.
//!
//! ```
//! use doorwarden_core::store::{Store, UserStore};
//! use doorwarden_sqlite::{SqliteOptions, SqliteStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = std::env::temp_dir().join(format!("doorwarden-doc-{}", std::process::id()));
//! let store = SqliteStore::open(&SqliteOptions::new(folder.join("app.db")))?;
//! store.migrate().await?;
//! assert_eq!(store.count_users().await?, 0);
//! store.close().await;
//! # std::fs::remove_dir_all(folder)?;
//! # Ok(())
//! # }
//! ```
//!
//! [`StoreError::Unavailable`]: doorwarden_core::store::StoreError::Unavailable

mod attempts;
mod audit;
mod backup;
mod challenges;
mod connection;
mod export;
mod factors;
mod failure;
mod feed;
mod files;
mod groups;
mod identities;
mod import;
mod job;
mod keys;
mod mails;
mod migrations;
mod poke;
mod readers;
mod rows;
mod seals;
mod sessions;
mod store;
mod users;
mod webhooks;
mod writer;

pub use backup::{backup, damage, replace};
pub use connection::{SqliteOptions, Synchronous};
pub use files::{beside, keep_private, user_of};
pub use store::SqliteStore;
