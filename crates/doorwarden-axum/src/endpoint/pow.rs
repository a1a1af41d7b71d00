use super::answer::Json;
use super::operation::{Anybody, Call};
use crate::error::ApiError;
use doorwarden_core::error::{FieldError, FieldErrors};
use doorwarden_core::flow::throttle::work_challenge;
use doorwarden_core::limit::proof_of_work::{WorkChallenge, WorkPurpose};

pub(super) async fn get(call: Call<Anybody>) -> Result<Json<WorkChallenge>, ApiError> {
    let complaint = || {
        let text = "Send `login`, `registration` or `mail`.";
        ApiError::fields(FieldErrors::one("for", FieldError::new("invalid_choice", text)))
    };
    let purpose = call.query::<WorkPurpose>("for", complaint)?.ok_or_else(complaint)?;
    work_challenge(call.auth.context(), purpose).map(Json).ok_or_else(ApiError::not_found)
}
