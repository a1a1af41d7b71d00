use super::answer::{Json, Rendered};
use super::operation::{Call, Data};
use crate::auth::Auth;
use crate::body::{Password, Username};
use crate::error::ApiError;
use crate::extract::CurrentUser;
use doorwarden_core::flow::delete_account::{Deletion, delete_account};
use doorwarden_core::flow::profile::{ProfileChange, change_profile};
use doorwarden_core::live::LiveUser;
use doorwarden_core::time::Timestamp;
use doorwarden_core::view::AccountView;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) type User = AccountView<'static>;

/// Changes of a profile.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Profile {
    #[serde(default)]
    username: Username,
}

/// A profile with everything that a registration must give.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct WholeProfile {
    username: Username,
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Confirmation {
    password: Password,
}

pub(super) async fn get(call: Call<CurrentUser>) -> Result<Rendered<User>, ApiError> {
    Ok(render(&call.auth, call.caller.authenticated().live_user()))
}

pub(super) async fn patch(call: Call<CurrentUser, Data<Profile>>) -> Result<Rendered<User>, ApiError> {
    let client = call.client();
    let Data { fields: Profile { username }, others } = call.body;
    let change = ProfileChange { is_whole: false, username: username.0, others, client };
    store(&call.auth, &call.caller, change).await
}

pub(super) async fn put(call: Call<CurrentUser, Data<WholeProfile>>) -> Result<Rendered<User>, ApiError> {
    let client = call.client();
    let Data { fields: WholeProfile { username }, others } = call.body;
    let change = ProfileChange { is_whole: true, username: username.0, others, client };
    store(&call.auth, &call.caller, change).await
}

async fn store(auth: &Auth, user: &CurrentUser, change: ProfileChange) -> Result<Rendered<User>, ApiError> {
    let changed = change_profile(auth.context(), user.authenticated(), change).await?;
    Ok(render(auth, &changed))
}

/// The account will be deleted.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PlannedDeletion {
    #[schemars(with = "String", extend("format" = "date-time"))]
    deletion_at: Timestamp,
}

pub(super) async fn delete(
    call: Call<CurrentUser, Data<Confirmation>>,
) -> Result<Option<Json<PlannedDeletion, 202>>, ApiError> {
    let client = call.client();
    let Confirmation { password } = call.body.fields;
    match delete_account(call.auth.context(), call.caller.authenticated(), password.0, client).await? {
        Deletion::Done => Ok(None),
        Deletion::Planned(deletion_at) => Ok(Some(Json(PlannedDeletion { deletion_at }))),
    }
}

/// The answer for a user: rendered once, ready bytes afterwards.
fn render(auth: &Auth, user: &LiveUser) -> Rendered<User> {
    let render = || {
        let view = AccountView::new(&auth.context().fields, &user.account);
        serde_json::to_vec(&view).expect("texts, numbers and flags are JSON").into()
    };
    Rendered::new(user.rendered.get_or_init(render).clone())
}
