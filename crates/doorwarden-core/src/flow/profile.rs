//! Somebody looks at or changes their own profile.

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

/// What the request says. What is not given stays as it is.
#[derive(Debug, Default)]
pub struct ProfileChange {
    /// Whether everything that a registration needs must be given, as `PUT` says.
    pub is_whole: bool,
    /// A new user name.
    pub username: Input<String>,
    /// Everything else that was sent: the declared fields are looked for here.
    pub others: HashMap<String, Input<Raw>>,
    /// Where it came from.
    pub client: ClientInfo,
}

/// Why a profile was not changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProfileError {
    /// The input breaks rules, or another user has the name.
    #[error("the input is invalid: {0}")]
    Invalid(FieldErrors),
    /// The account was deleted meanwhile.
    #[error("there is no such user")]
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

/// Changes the caller's profile; the user as they then are. What cannot be written may be sent as it is, so that a client can send back
/// what it was shown; another value is refused, not passed over. What is not declared is passed over, as Django REST framework does.
///
/// # Errors
/// [`ProfileError`].
pub async fn change_profile(
    context: &Context,
    who: &Authenticated,
    mut request: ProfileChange,
) -> Result<Arc<LiveUser>, ProfileError> {
    let mut errors = FieldErrors::new();
    let account = who.user();
    let username = match request.username {
        Input::Missing if !request.is_whole => None,
        // An imported name may be one that the rules would refuse.
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

/// A complaint for each field that cannot be written and is sent with another value than it has.
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
