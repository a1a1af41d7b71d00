use super::answer::Json;
use super::operation::{Anybody, Call, Data};
use crate::body::Word;
use crate::error::ApiError;
use doorwarden_core::error::FieldErrors;
use doorwarden_core::flow::introspect::introspect;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct TokenInBody {
    token: Word,
}

/// An object without members.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Nothing {}

pub(super) async fn post(call: Call<Anybody, Data<TokenInBody>>) -> Result<Json<Nothing>, ApiError> {
    let token = call.body.fields.token.0.required();
    let token = token.map_err(|complaint| ApiError::fields(FieldErrors::one("token", complaint)))?;
    match introspect(call.auth.context(), &token).await? {
        Some(_) => Ok(Json(Nothing {})),
        None => Err(ApiError::token_not_valid()),
    }
}
