//! The Doorwarden service: one binary with its command line.
fn main() {}
