//! The library through its public ways: builder, router, extractors, layers, manager. Each story runs on both databases.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[macro_use]
mod app;
mod accounts;
mod errors;
mod freshness;
mod hostile;
mod library;
mod passwords;
mod races;
mod sessions;
