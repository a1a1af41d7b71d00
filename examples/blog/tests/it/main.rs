//! The blog, over HTTP.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod own_tokens;
mod program;
mod site;
mod stories;
