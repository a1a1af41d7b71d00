use super::{Operation, Resource, json, user};
use crate::auth::Auth;
use crate::body::Fields;
use crate::error::ApiError;
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use doorwarden_core::flow::delete_account::delete_account;
use doorwarden_core::flow::profile::{ProfileChange, change_profile};
use doorwarden_core::live::LiveUser;
use doorwarden_core::view::AccountView;
use http::{Method, StatusCode};

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
            (200, "The user as they now are.", Some("User")),
            (
                400,
                "Something about the fields is wrong, or one of them cannot be changed.",
                Some("FieldErrors"),
            ),
        ],
        handler: |auth, request| Box::pin(change(auth, request)),
    };
    let put = Operation {
        method: Method::PUT,
        id: "replace_me",
        summary: "As PATCH, with everything that a registration must give.",
        authenticated: true,
        body: Some("WholeProfile"),
        answers: patch.answers,
        handler: patch.handler,
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
    Resource { endpoint: Endpoint::Me, operations: vec![get, put, patch, delete] }
}

async fn get(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let user = user(&auth, &request).await?;
    Ok(json(StatusCode::OK, rendered(&auth, &user.authenticated().user)))
}

async fn change(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let is_whole = request.method() == Method::PUT;
    let user = user(&auth, &request).await?;
    let mut fields = Fields::read(request).await?;
    let change = ProfileChange { is_whole, username: fields.text("username"), others: fields.others() };
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
    let render = || {
        let view = AccountView::new(&auth.context().fields, &user.account);
        serde_json::to_vec(&view).expect("texts, numbers and flags are JSON").into()
    };
    user.rendered.get_or_init(render).clone()
}
