use super::answer::Json;
use super::operation::{Anybody, Call, Data};
use crate::body::{Email, Password};
use crate::error::ApiError;
use doorwarden_core::flow::IssuedToken;
use doorwarden_core::flow::log_in::{self, log_in};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Login {
    email: Email,
    password: Password,
}

/// A session token.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Token {
    token: String,
}

impl From<IssuedToken> for Token {
    fn from(issued: IssuedToken) -> Self {
        Self { token: issued.token }
    }
}

pub(super) async fn post(call: Call<Anybody, Data<Login>>) -> Result<Json<Token>, ApiError> {
    let client = call.client();
    let Login { email, password } = call.body.fields;
    let login = log_in::Login { email: email.0, password: password.0, client };
    let (_, issued) = log_in(call.auth.context(), login).await?;
    Ok(Json(issued.into()))
}
