//! Users delete their own account.

use super::finish::finish;
use super::manage::{UserError, delete_user};
use super::rules;
use super::verify_password::confirm_password;
use crate::audit::{Actor, Origin};
use crate::context::Context;
use crate::error::{FieldErrors, Input};
use crate::flow::authenticate::Authenticated;
use crate::password::PoolError;
use crate::session::ClientInfo;
use crate::store::StoreError;
use std::sync::Arc;

/// Why an account was not deleted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeleteAccountError {
    /// The password is missing or wrong.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// The account was deleted before.
    #[error("user not found")]
    NoSuchUser,
    /// The password was not checked.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Deletes the caller's account after they have confirmed with their password. Every token of the account is
/// refused from then on, and the id is never used again.
///
/// # Errors
/// [`DeleteAccountError`] if the password is missing, wrong or could not be checked, the account was deleted
/// before, or the database operation failed.
pub async fn delete_account(
    context: &Arc<Context>,
    who: &Authenticated,
    password: Input<String>,
    client: ClientInfo,
) -> Result<(), DeleteAccountError> {
    let mut errors = FieldErrors::new();
    let password = rules::typed_password("password", password, &mut errors);
    let user = context.store.user(who.id()).await?.ok_or(DeleteAccountError::NoSuchUser)?;
    if let Some(password) = &password {
        confirm_password(context, &user, "password", password, &mut errors).await?;
    }
    if !errors.is_empty() {
        return Err(DeleteAccountError::Invalid(errors));
    }
    let context = Arc::clone(context);
    let origin = Origin::new(Actor::User(user.id), client);
    let deleted = finish(async move { delete_user(&context, user.id, &origin).await }).await;
    deleted.map_err(|error| match error {
        UserError::NoSuchUser => DeleteAccountError::NoSuchUser,
        UserError::Store(error) => error.into(),
    })
}
