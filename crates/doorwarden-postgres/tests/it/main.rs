//! What is particular to PostgreSQL. What every store must do is tested in `doorwarden-testkit`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod behaviour;
mod buckets;
mod certificates;
mod feed;
mod migrations;
mod outage;
mod pgbouncer;
mod proxy;
mod races;
mod rotation;
mod seals;
mod servers;
mod support;
mod triggers;
mod values;
