//! The texts of all mails, their form on the wire, and their delivery by SMTP to a real server.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod message;
mod python;
mod smtp;
mod support;
mod templates;
mod texts;
mod transports;
mod url;
