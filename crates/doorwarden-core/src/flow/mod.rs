//! What people do with accounts: one file a use case, which reads from top to bottom. HTTP and the command line call these
//! functions, so that what is true of one is true of the other.

pub mod authenticate;
pub mod change_password;
pub mod delete_account;
mod finish;
pub mod import;
pub mod introspect;
pub mod log_in;
pub mod log_out;
pub mod manage;
pub mod obtain_tokens;
pub mod profile;
pub mod refresh_tokens;
pub mod register;
pub mod restored;
pub mod revoke_token;
mod rules;
mod session;
mod token_pair;

use crate::error::FieldErrors;
use crate::keys::SignError;
use crate::password::PoolError;
use crate::store::StoreError;
use std::time::Duration;

pub use session::IssuedToken;
pub use token_pair::TokenPair;

/// Why a flow did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FlowError {
    /// The input breaks rules.
    #[error("the input is invalid: {0}")]
    Invalid(FieldErrors),
    /// The address and the password do not belong together, or the account cannot log in. Says no more, on purpose.
    #[error("A user with this email and password was not found.")]
    WrongCredentials,
    /// There is no such user, session or group any more.
    #[error("there is no such thing")]
    NotFound,
    /// A token was asked for somebody for whom none is made (RFC 8707).
    #[error("no token is made for this resource")]
    InvalidTarget,
    /// Too many passwords are being checked.
    #[error("too many passwords are being checked; try again in {} s", retry_after.as_secs_f64().ceil())]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// No access token can be signed. A fault of the configuration, which the log names.
    #[error("no access token can be made: {0}")]
    Sign(#[from] SignError),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PoolError> for FlowError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Busy { retry_after } => Self::Busy { retry_after },
            PoolError::Stopped => Self::Stopping,
        }
    }
}

impl From<FieldErrors> for FlowError {
    fn from(errors: FieldErrors) -> Self {
        Self::Invalid(errors)
    }
}
