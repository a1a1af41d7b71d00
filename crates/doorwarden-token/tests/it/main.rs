//! What the token crate must do, as seen from outside.

mod craft;
mod secret;
mod session;
