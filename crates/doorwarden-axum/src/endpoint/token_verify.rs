use super::{Operation, Resource, json};
use crate::auth::Auth;
use crate::body::Fields;
use crate::error::ApiError;
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::Response;
use doorwarden_core::error::FieldErrors;
use doorwarden_core::flow::introspect::introspect;
use http::{Method, StatusCode};

pub(super) fn resource() -> Resource {
    let operation = Operation {
        method: Method::POST,
        id: "verify_token",
        summary: "Whether a token of any kind counts at this moment.",
        authenticated: false,
        body: Some("TokenInBody"),
        answers: &[
            (200, "It does.", Some("Nothing")),
            (400, "The token is missing.", Some("FieldErrors")),
            (401, "It does not.", Some("Detail")),
        ],
        handler: |auth, request| Box::pin(post(auth, request)),
    };
    Resource { endpoint: Endpoint::TokenVerify, operations: vec![operation] }
}

async fn post(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let mut fields = Fields::read(request).await?;
    let token = fields.text("token").required();
    let token = token.map_err(|complaint| ApiError::fields(FieldErrors::one("token", complaint)))?;
    match introspect(auth.context(), &token).await? {
        Some(_) => Ok(json(StatusCode::OK, "{}")),
        None => Err(ApiError::token_not_valid()),
    }
}
