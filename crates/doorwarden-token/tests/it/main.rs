//! What the token crate must do, as seen from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod access;
mod attacks;

mod craft;
mod differential;
mod feed;
mod keys;
mod refresh;
mod secret;
mod session;
mod vectors;
mod wycheproof;
