use super::{Operation, Resource, user};
use crate::auth::Auth;
use crate::error::ApiError;
use crate::settings::Endpoint;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use doorwarden_core::flow::log_out::{LogoutScope, log_out};
use http::{Method, StatusCode};

pub(super) fn resource() -> Resource {
    let operation = Operation {
        method: Method::POST,
        id: "delete_login",
        summary: "End this session, or with ?scope=others or ?scope=all the others or all.",
        authenticated: true,
        body: None,
        answers: &[
            (204, "Ended.", None),
            (400, "The scope is none of this, others and all.", Some("Detail")),
        ],
        handler: |auth, request| Box::pin(post(auth, request)),
    };
    Resource { endpoint: Endpoint::Logout, operations: vec![operation] }
}

async fn post(auth: Auth, request: Request) -> Result<Response, ApiError> {
    let user = user(&auth, &request).await?;
    let scope = scope(request.uri().query().unwrap_or_default())?;
    log_out(auth.context(), user.authenticated(), scope).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn scope(query: &str) -> Result<LogoutScope, ApiError> {
    let given = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "scope");
    match given.as_ref().map(|(_, value)| value.as_ref()) {
        None | Some("this") => Ok(LogoutScope::This),
        Some("others") => Ok(LogoutScope::Others),
        Some("all") => Ok(LogoutScope::All),
        Some(_) => {
            let text = "The scope must be this, others or all.";
            Err(ApiError::detail(StatusCode::BAD_REQUEST, "invalid_scope", text))
        }
    }
}
