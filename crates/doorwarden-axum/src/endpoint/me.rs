use super::answer::{Json, Rendered};
use super::operation::{Call, Data};
use crate::auth::Auth;
use crate::body::{Password, Username};
use crate::error::ApiError;
use crate::extract::CurrentUser;
use bytes::Bytes;
use doorwarden_core::flow::authenticate::TokenClaims;
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

/// The user of a token, and what an access token says of their authentication. For a session token, its
/// session says that.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Me {
    #[serde(flatten)]
    user: User,
    #[serde(flatten)]
    authentication: Authentication<'static>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
struct Authentication<'a> {
    /// The assurance level.
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    /// How the user authenticated (RFC 8176).
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    amr: &'a [String],
    /// When the user authenticated, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<i64>,
}

pub(super) async fn get(call: Call<CurrentUser>) -> Result<Rendered<Me>, ApiError> {
    let who = call.caller.authenticated();
    let user = body(&call.auth, who.live_user());
    let TokenClaims::Access(claims) = who.claims() else { return Ok(Rendered::new(user)) };
    let authentication =
        Authentication { acr: claims.acr.as_deref(), amr: &claims.amr, auth_time: claims.auth_time };
    let members = serde_json::to_vec(&authentication).expect("texts and numbers are JSON");
    let (Some(user), [b'{', members @ .., b'}']) = (user.strip_suffix(b"}"), &members[..]) else {
        return Ok(Rendered::new(user));
    };
    let comma: &[u8] = if members.is_empty() { b"" } else { b"," };
    Ok(Rendered::new([user, comma, members, b"}"].concat().into()))
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

fn render(auth: &Auth, user: &LiveUser) -> Rendered<User> {
    Rendered::new(body(auth, user))
}

/// The answer for a user: rendered once, ready bytes afterwards.
fn body(auth: &Auth, user: &LiveUser) -> Bytes {
    let render = || {
        let view = AccountView::new(&auth.context().fields, &user.account);
        serde_json::to_vec(&view).expect("texts, numbers and flags are JSON").into()
    };
    user.rendered.get_or_init(render).clone()
}
