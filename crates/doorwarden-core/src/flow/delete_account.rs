//! Somebody deletes his own account.

use super::finish::finish;
use super::{FlowError, change_password, rules};
use crate::context::Context;
use crate::error::{FieldErrors, Input};
use crate::flow::authenticate::Authenticated;
use std::sync::Arc;

/// Deletes the caller's account after he has typed his password. Every token of it is refused from then on, and the id is
/// never given to anybody else.
///
/// # Errors
/// [`FlowError::Invalid`] with a complaint about `password`; [`FlowError::NotFound`] if the account is gone already.
pub async fn delete_account(
    context: &Arc<Context>,
    who: &Authenticated,
    password: Input<String>,
) -> Result<(), FlowError> {
    let mut errors = FieldErrors::new();
    let password = rules::typed_password("password", password, &mut errors);
    let user = context.store.user(who.user.account.user.id).await?.ok_or(FlowError::NotFound)?;
    if let Some(password) = &password {
        change_password::confirm(context, &user, "password", password, &mut errors).await?;
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let context = Arc::clone(context);
    finish(async move { super::manage::delete_user(&context, user.id).await }).await
}
