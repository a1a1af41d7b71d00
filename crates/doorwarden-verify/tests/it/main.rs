//! The verifier beside a running Doorwarden, and beside an issuer that misbehaves.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod attacks;
mod faults;
mod feed_down;
mod fetching;
mod http;
mod issuer;
mod private_ca;
mod revocation;
mod rotation;
mod service;
mod vectors;
