use super::{Operation, Resource, json, user};
use crate::auth::Auth;
use crate::body::Fields;
use crate::error::ApiError;
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use doorwarden_core::field;
use doorwarden_core::flow::delete_account::delete_account;
use doorwarden_core::flow::profile::{ProfileChange, change_profile};
use doorwarden_core::live::LiveUser;
use doorwarden_core::user::Account;
use http::{Method, StatusCode};
use serde_json::{Map, Value};

pub(super) fn resource() -> Resource {
    let get = Operation {
        method: Method::GET,
        id: "read_me",
        summary: "The user of the token.",
        authenticated: true,
        body: None,
        answers: &[(200, "The user.", Some("User"))],
        handler: |auth, request| Box::pin(get(auth, request)),
    };
    let patch = Operation {
        method: Method::PATCH,
        id: "update_me",
        summary: "Change the user name or the fields that a user may write. What is not sent stays as it is.",
        authenticated: true,
        body: Some("Profile"),
        answers: &[
            (200, "The user as he now is.", Some("User")),
            (400, "Something about the fields is wrong.", Some("FieldErrors")),
        ],
        handler: |auth, request| Box::pin(patch(auth, request)),
    };
    let delete = Operation {
        method: Method::DELETE,
        id: "delete_me",
        summary: "Delete the account. Asks for the password.",
        authenticated: true,
        body: Some("Confirmation"),
        answers: &[
            (204, "The account is gone.", None),
            (400, "The password is wrong or missing.", Some("FieldErrors")),
        ],
        handler: |auth, request| Box::pin(delete(auth, request)),
    };
    Resource { endpoint: Endpoint::Me, operations: vec![get, patch, delete] }
}

async fn get(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let user = user(&auth, &request).await?;
    Ok(json(StatusCode::OK, rendered(&auth, &user.authenticated().user)))
}

async fn patch(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let user = user(&auth, &request).await?;
    let mut fields = Fields::read(request).await?;
    let change = ProfileChange { username: fields.text("username"), others: fields.others() };
    let changed = change_profile(auth.context(), user.authenticated(), change).await?;
    Ok(json(StatusCode::OK, rendered(&auth, &changed)))
}

async fn delete(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let user = user(&auth, &request).await?;
    let mut fields = Fields::read(request).await?;
    delete_account(auth.context(), user.authenticated(), fields.text("password")).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The answer for a user: rendered once, ready bytes afterwards.
fn rendered(auth: &Auth, user: &LiveUser) -> Bytes {
    user.rendered.get_or_init(|| render(&auth.context().fields, &user.account).to_string().into()).clone()
}

fn render(fields: &field::Fields, account: &Account) -> Value {
    let user = &account.user;
    let mut body = Map::new();
    body.insert("id".into(), user.id.0.into());
    body.insert("username".into(), user.username.as_str().into());
    body.insert("email".into(), user.email.as_str().into());
    body.insert("is_active".into(), user.is_active.into());
    body.insert("is_staff".into(), user.is_staff.into());
    body.insert("is_superuser".into(), user.is_superuser.into());
    body.insert("date_joined".into(), user.date_joined.to_string().into());
    body.insert("last_login".into(), user.last_login.map(|at| at.to_string()).into());
    body.insert("groups".into(), account.groups.clone().into());
    body.insert("permissions".into(), account.permissions.clone().into());
    for (name, value) in fields.shown(&user.metadata) {
        body.insert(name.to_owned(), value.clone());
    }
    Value::Object(body)
}
