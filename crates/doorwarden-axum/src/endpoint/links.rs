use super::answer::Json;
use super::operation::{Anybody, Call, Data};
use crate::body::Word;
use crate::error::ApiError;
use doorwarden_core::challenge::ChallengePurpose;
use doorwarden_core::error::FieldErrors;
use doorwarden_core::flow::links::{RedeemError, inspect_link};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Key {
    key: Word,
}

/// What a link is for.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Link {
    purpose: LinkPurpose,
    /// Where it was sent, as far as the client may know.
    email: String,
    /// Seconds.
    expires_in: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum LinkPurpose {
    Registration,
    VerifyEmail,
    PasswordReset,
    Login,
    Invitation,
    EmailChange,
    EmailRevert,
    CancelDeletion,
    Reauthenticate,
}

pub(super) async fn inspect(call: Call<Anybody, Data<Key>>) -> Result<Json<Link>, ApiError> {
    let complain = |complaint| ApiError::fields(FieldErrors::one("key", complaint));
    let key = call.body.fields.key.0.required().map_err(complain)?;
    let context = call.auth.context();
    let link = inspect_link(context, &key).await?.ok_or(RedeemError::LinkInvalid)?;
    let purpose = match link.purpose {
        ChallengePurpose::Register => LinkPurpose::Registration,
        ChallengePurpose::VerifyEmail => LinkPurpose::VerifyEmail,
        ChallengePurpose::ResetPassword => LinkPurpose::PasswordReset,
        ChallengePurpose::Invitation => LinkPurpose::Invitation,
        ChallengePurpose::EmailChange => LinkPurpose::EmailChange,
        ChallengePurpose::EmailRevert => LinkPurpose::EmailRevert,
        ChallengePurpose::CancelDeletion => LinkPurpose::CancelDeletion,
        ChallengePurpose::Reauthenticate => LinkPurpose::Reauthenticate,
        _ => LinkPurpose::Login,
    };
    let expires_in = link.expires_at.since(context.now()).as_secs();
    Ok(Json(Link { purpose, email: link.email, expires_in }))
}
