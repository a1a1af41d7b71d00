//! For tests of Doorwarden's crates: the behaviour required of every store ([`store_suite!`]), temporary
//! databases, a manual clock, reproducible randomness, sample users and sessions, and a software
//! authenticator.

pub mod authenticator;
pub mod buckets;
mod clock;
mod database;
mod drill;
mod pinned;
mod random;
mod recorder;
mod redis;
mod sample;
mod skip;
mod store;
pub mod suite;
mod wait;

pub use clock::ManualClock;
pub use database::{PostgresDatabase, TempDir, postgres_database, sqlite_path};
pub use drill::{Drill, drill};
pub use pinned::pinned;
pub use random::SeededRandom;
pub use recorder::Recorder;
pub use redis::RedisServer;
pub use sample::{
    NOON, hash, issued, login, new_session, new_user, no_effects, opening, presented, renewal, seconds, with,
};
pub use skip::skip;
pub use store::{RawSql, TestStore};
pub use wait::wait_until;
