use super::answer::NoContent;
use super::operation::Call;
use crate::error::ApiError;
use crate::extract::CurrentUser;
use doorwarden_core::flow::log_out::{LogoutScope, log_out};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

/// Which sessions end.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline, extend("default" = "this"))]
pub(super) enum Scope {
    This,
    Others,
    All,
}

pub(super) async fn post(call: Call<CurrentUser>) -> Result<NoContent, ApiError> {
    let refused = || {
        let text = "The scope must be this, others or all.";
        ApiError::detail(StatusCode::BAD_REQUEST, "invalid_scope", text)
    };
    let scope = match call.query::<Scope>("scope", refused)? {
        None | Some(Scope::This) => LogoutScope::This,
        Some(Scope::Others) => LogoutScope::Others,
        Some(Scope::All) => LogoutScope::All,
    };
    let client = call.client();
    log_out(call.auth.context(), call.caller.authenticated(), scope, client).await?;
    Ok(NoContent)
}
