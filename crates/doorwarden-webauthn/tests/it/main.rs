//! What the verification of WebAuthn must do, as seen from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod cbor;
mod ceremonies;
mod client_data;
mod craft;
mod keys;
mod mutations;
mod options;
mod parties;
mod vectors;
