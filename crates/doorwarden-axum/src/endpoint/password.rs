use super::answer::Json;
use super::login::Token;
use super::operation::{Call, Data};
use crate::body::{NewPassword, Password};
use crate::error::ApiError;
use crate::extract::CurrentUser;
use doorwarden_core::flow::change_password::{ChangePassword, change_password};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct PasswordChange {
    current_password: Password,
    new_password: NewPassword,
}

pub(super) async fn post(
    call: Call<CurrentUser, Data<PasswordChange>>,
) -> Result<Option<Json<Token>>, ApiError> {
    let client = call.client();
    let Data { fields: PasswordChange { current_password, new_password }, others } = call.body;
    let change =
        ChangePassword { current_password: current_password.0, new_password: new_password.0, others, client };
    let issued = change_password(call.auth.context(), call.caller.authenticated(), change).await?;
    Ok(issued.map(|issued| Json(issued.into())))
}
