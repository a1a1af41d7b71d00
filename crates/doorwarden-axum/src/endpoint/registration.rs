use super::answer::{Created, Json};
use super::login::Token;
use super::operation::{Anybody, Call, Data};
use crate::body::{Email, NewPassword, Username};
use crate::error::ApiError;
use doorwarden_core::flow::register::{self, register};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Registration {
    email: Email,
    username: Username,
    password: NewPassword,
}

pub(super) async fn post(call: Call<Anybody, Data<Registration>>) -> Result<Created<Token>, ApiError> {
    let client = call.client();
    let Data { fields: Registration { email, username, password }, others } = call.body;
    let registration =
        register::Registration { email: email.0, username: username.0, password: password.0, others, client };
    let registered = register(call.auth.context(), registration).await?;
    Ok(Json(registered.token.into()))
}
