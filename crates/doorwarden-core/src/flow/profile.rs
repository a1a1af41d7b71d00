//! Somebody looks at or changes his own profile.

use super::{FlowError, register, rules};
use crate::context::Context;
use crate::error::{FieldErrors, Input};
use crate::event::Event;
use crate::field::Raw;
use crate::flow::authenticate::Authenticated;
use crate::live::LiveUser;
use crate::store::Change;
use crate::user::UserChange;
use std::collections::HashMap;
use std::sync::Arc;

/// What the request says. What is not given stays as it is.
#[derive(Debug, Default)]
pub struct ProfileChange {
    /// A new user name.
    pub username: Input<String>,
    /// Everything else that was sent: the declared fields are looked for here.
    pub others: HashMap<String, Input<Raw>>,
}

/// Changes the caller's profile; the user as he then is.
///
/// # Errors
/// [`FlowError::Invalid`]; [`FlowError::NotFound`] if the account is gone.
pub async fn change_profile(
    context: &Context,
    who: &Authenticated,
    mut request: ProfileChange,
) -> Result<Arc<LiveUser>, FlowError> {
    let mut errors = FieldErrors::new();
    let account = &who.user.account.user;
    let username = match request.username {
        Input::Missing => None,
        // An imported name may be one that the rules would refuse.
        Input::Given(same) if same == account.username.as_str() => None,
        given => rules::new_username(given, &mut errors),
    };
    let metadata =
        context.fields.read(|name| request.others.remove(name).unwrap_or_default(), false, &mut errors);
    rules::metadata_fits(&metadata, &mut errors);
    if !errors.is_empty() {
        return Err(errors.into());
    }

    let user = account.id;
    let change = UserChange { username, metadata, ..UserChange::default() };
    let changed = context.store.update_user(user, change).await.map_err(register::write_error)?;
    changed.ok_or(FlowError::NotFound)?;
    context.live.forget(Change::User(user));
    context.tell(Event::ProfileChanged { user }).await;
    context.live.user(user).await?.ok_or(FlowError::NotFound)
}
