use super::answer::Json;
use super::operation::{Call, Recent};
use crate::error::ApiError;
use doorwarden_core::flow::export::export;

pub(super) use doorwarden_core::flow::export::Export;

pub(super) async fn get(call: Call<Recent>) -> Result<Json<Export>, ApiError> {
    let client = call.client();
    Ok(Json(export(call.auth.context(), call.caller.0.authenticated(), client).await?))
}
