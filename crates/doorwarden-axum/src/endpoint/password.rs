use super::{Operation, Resource, json_value, read, user};
use crate::auth::Auth;
use crate::error::ApiError;
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use doorwarden_core::flow::change_password::{ChangePassword, change_password};
use http::{Method, StatusCode};
use serde_json::json;

pub(super) fn resource() -> Resource {
    let operation = Operation {
        method: Method::POST,
        id: "update_password",
        summary: "Change the password. Ends the other sessions.",
        authenticated: true,
        body: Some("PasswordChange"),
        answers: &[
            (200, "Changed; the caller's own session has ended too, so here is a new token.", Some("Token")),
            (204, "Changed.", None),
            (400, "The current password is wrong, or the new one too weak.", Some("FieldErrors")),
            (503, "Too busy, or the database is not available.", Some("Detail")),
        ],
        handler: |auth, request| Box::pin(post(auth, request)),
    };
    Resource { endpoint: Endpoint::PasswordChange, operations: vec![operation] }
}

async fn post(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let user = user(&auth, &request).await?;
    let (client, mut fields) = read(&auth, request).await?;
    let change = ChangePassword {
        current_password: fields.text("current_password"),
        new_password: fields.text("new_password"),
        others: fields.others(),
        client,
    };
    Ok(match change_password(auth.context(), user.authenticated(), change).await? {
        Some(issued) => json_value(StatusCode::OK, &json!({"token": issued.token})),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}
