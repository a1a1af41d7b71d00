use super::{Operation, Resource, json_value, read};
use crate::auth::Auth;
use crate::error::ApiError;
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::Response;
use doorwarden_core::flow::log_in::{Login, log_in};
use http::{Method, StatusCode};
use serde_json::json;

pub(super) fn resource() -> Resource {
    let operation = Operation {
        method: Method::POST,
        id: "create_login",
        summary: "Log in with an e-mail address and a password.",
        authenticated: false,
        body: Some("Login"),
        answers: &[
            (200, "Logged in.", Some("Token")),
            (400, "Address and password do not belong together, or a field is wrong.", Some("FieldErrors")),
            (503, "Too busy, or the database is not available.", Some("Detail")),
        ],
        handler: |auth, request| Box::pin(post(auth, request)),
    };
    Resource { endpoint: Endpoint::Login, operations: vec![operation] }
}

async fn post(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let (client, mut fields) = read(&auth, request).await?;
    let login = Login { email: fields.text("email"), password: fields.text("password"), client };
    let (_, issued) = log_in(auth.context(), login).await?;
    Ok(json_value(StatusCode::OK, &json!({"token": issued.token})))
}
