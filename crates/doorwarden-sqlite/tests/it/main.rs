//! What is particular to SQLite. What every store must do is tested in `doorwarden-testkit`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod behaviour;
mod by_hand;
mod damage;
mod feed;
mod file;
mod migrations;
mod support;
mod writer;
