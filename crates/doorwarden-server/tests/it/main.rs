//! The program as an operator runs it: the built binary, a directory of its own, a clean environment.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

mod audit;
mod backups;
mod breached;
mod config;
mod databases;
mod deploy;
mod django;
mod docs;
mod doctor;
mod drills;
mod factors;
mod factors_of_django;
mod import;
mod import_from_others;
mod lifecycle;
mod limits;
mod mail_drills;
mod mails;
mod migrate;
mod output;
mod passwords;
mod process;
mod rights;
mod secrets;
mod service;
mod site;
mod smtp;
mod superuser;
mod terminal;
mod tokens;
mod users;
mod webhooks;
mod wire;
