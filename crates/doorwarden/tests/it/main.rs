//! The library through its public API: builder, router, extractors, layers, `users()`. Each test runs on both
//! databases.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[macro_use]
mod app;
mod accounts;
mod alike;
mod attempts;
mod audience;
mod audit;
mod bodies;
mod canary;
mod contract;
mod discovery;
mod email_changes;
mod endings;
mod entries;
mod errors;
mod events;
mod factors;
mod feed;
mod freshness;
mod hangups;
mod hints;
mod hostile;
mod invitations;
mod keys;
mod leaked;
mod leaving;
mod library;
mod life;
mod limits;
mod link_pages;
mod machine;
mod metrics;
mod notices;
mod oauth;
mod outage;
mod pages;
mod pairs;
mod passkeys;
mod passwords;
mod person;
mod phone;
mod post;
mod protection;
mod races;
mod reference;
mod refresh_cookie;
mod registration;
mod sessions;
mod step_up;
mod webhooks;
