//! Users change their own profile.

use super::manage::{UpdateUserError, update_user};
use super::rules;
use crate::audit::{Actor, Origin};
use crate::context::Context;
use crate::error::{FieldError, FieldErrors, Input};
use crate::field::{Fields, Raw};
use crate::flow::authenticate::Authenticated;
use crate::live::LiveUser;
use crate::session::ClientInfo;
use crate::store::StoreError;
use crate::user::{Account, UserChange};
use crate::view::AccountView;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// What the request says. Fields that are not given stay unchanged.
#[derive(Debug, Default)]
pub struct ProfileChange {
    /// Whether everything that a registration needs must be given, as `PUT` says.
    pub is_whole: bool,
    /// The new username.
    pub username: Input<String>,
    /// Everything else that was sent: may contain declared fields.
    pub others: HashMap<String, Input<Raw>>,
    /// The client that sent the request.
    pub client: ClientInfo,
}

/// Why a profile was not changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProfileError {
    /// The input breaks rules, or another user has the username.
    #[error("the input is not valid: {0}")]
    Invalid(FieldErrors),
    /// The account was deleted in the meantime.
    #[error("user not found")]
    NoSuchUser,
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<UpdateUserError> for ProfileError {
    fn from(error: UpdateUserError) -> Self {
        match error {
            UpdateUserError::NoSuchUser => Self::NoSuchUser,
            UpdateUserError::Invalid(errors) => Self::Invalid(errors),
            UpdateUserError::Store(error) => Self::Store(error),
        }
    }
}

/// Changes the caller's profile; returns the updated user. Read-only fields may be sent with their current
/// value, so that a client can send back what it received; another value is refused, not ignored. Undeclared
/// fields are ignored, as in Django REST framework.
///
/// # Errors
/// [`ProfileError`] if the input breaks rules, the account was deleted, or the database operation failed.
pub async fn change_profile(
    context: &Context,
    who: &Authenticated,
    mut request: ProfileChange,
) -> Result<Arc<LiveUser>, ProfileError> {
    let mut errors = FieldErrors::new();
    let account = who.user();
    let username = match request.username {
        Input::Missing if !request.is_whole => None,
        // An imported username may be one that the rules would refuse.
        Input::Given(same) if same == account.username.as_str() => None,
        given => rules::new_username(given, &mut errors),
    };
    let others = &mut request.others;
    let metadata =
        context.fields.read(|name| others.remove(name).unwrap_or_default(), request.is_whole, &mut errors);
    complain_about_fixed(&context.fields, who.account(), others, &mut errors);
    rules::metadata_fits(&metadata, &mut errors);
    if !errors.is_empty() {
        return Err(ProfileError::Invalid(errors));
    }

    let user = account.id;
    let change = UserChange { username, metadata, ..UserChange::default() };
    let origin = Origin::new(Actor::User(user), request.client);
    update_user(context, user, change, &origin).await?;
    context.live.user(user).await?.ok_or(ProfileError::NoSuchUser)
}

/// A complaint for each field that is read-only and is sent with another value than the current one.
fn complain_about_fixed(
    fields: &Fields,
    account: &Account,
    others: &HashMap<String, Input<Raw>>,
    errors: &mut FieldErrors,
) {
    let mut shown = AccountView::new(fields, account).members();
    // These are never shown.
    shown.extend(["password", "metadata"].map(|name| (name.to_owned(), Value::Bool(false))));
    for (name, present) in &shown {
        let is_same = match others.get(name) {
            None | Some(Input::Missing) => continue,
            Some(Input::Null) => present.is_null(),
            Some(Input::NotText) => false,
            Some(Input::Given(Raw::Json(given))) => given == present,
            Some(Input::Given(Raw::Text(given))) => match present {
                Value::String(text) => given == text,
                Value::Null => given.is_empty(),
                other => serde_json::from_str::<Value>(given).is_ok_and(|given| given == *other),
            },
        };
        if !is_same {
            errors.add(name.clone(), [FieldError::new("read_only", "This field cannot be changed here.")]);
        }
    }
}
