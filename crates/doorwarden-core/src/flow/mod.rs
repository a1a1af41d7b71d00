//! The use cases of accounts, one file each. HTTP and the command line call these functions, so that both
//! behave alike. Each has its own error type.

mod alike;
pub mod authenticate;
pub mod change_email;
pub mod change_password;
pub mod continue_login;
pub mod delete_account;
pub mod export;
pub mod factors;
mod finish;
pub mod groups;
pub mod import;
pub mod introspect;
pub mod invite;
pub mod issue_tokens;
pub mod links;
pub mod log_in;
pub mod log_in_by_mail;
pub mod log_out;
pub mod manage;
pub mod obtain_tokens;
pub(crate) mod open_session;
pub mod passkeys;
pub mod pending;
pub mod permissions;
pub mod profile;
pub mod reauthenticate;
pub mod refresh_tokens;
pub mod register;
pub mod reset_password;
pub mod restored;
pub mod retry_mails;
pub mod revoke_token;
mod rules;
pub mod second_factor;
pub mod send_mails;
pub mod send_webhooks;
pub mod sessions;
pub mod signing_keys;
mod token_pair;
mod verify_password;
pub mod verify_registration;
pub mod webhooks;

pub use open_session::IssuedToken;
pub use token_pair::TokenPair;
