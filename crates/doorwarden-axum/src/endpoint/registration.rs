use super::{Operation, Resource, json_value, read};
use crate::auth::Auth;
use crate::error::ApiError;
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::Response;
use doorwarden_core::flow::register::{Registration, register};
use http::{Method, StatusCode};
use serde_json::json;

pub(super) fn resource() -> Resource {
    let operation = Operation {
        method: Method::POST,
        id: "create_account",
        summary: "Create an account and log in to it.",
        authenticated: false,
        body: Some("Registration"),
        answers: &[
            (201, "The account was created.", Some("Token")),
            (400, "Something about the fields is wrong.", Some("FieldErrors")),
            (503, "Too busy, or the database is not available.", Some("Detail")),
        ],
        handler: |auth, request| Box::pin(post(auth, request)),
    };
    Resource { endpoint: Endpoint::Registration, operations: vec![operation] }
}

async fn post(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let (client, mut fields) = read(&auth, request).await?;
    let registration = Registration {
        email: fields.text("email"),
        username: fields.text("username"),
        password: fields.text("password"),
        others: fields.others(),
        client,
    };
    let registered = register(auth.context(), registration).await?;
    Ok(json_value(StatusCode::CREATED, &json!({"token": registered.token.token})))
}
