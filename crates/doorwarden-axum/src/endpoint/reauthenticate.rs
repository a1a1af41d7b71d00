use super::answer::Json;
use super::operation::{Call, Data};
use crate::body::{Password, Word};
use crate::error::ApiError;
use crate::extract::CurrentUser;
use doorwarden_core::authentication::AuthContext;
use doorwarden_core::error::{FieldError, FieldErrors, Input};
use doorwarden_core::flow::reauthenticate::{RECENT, reauthenticate, reauthenticate_by_factor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `password`; or `"method": "factor"`, which a passkey or a code follows; or nothing: then a mail is sent.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Reauthentication {
    #[serde(default)]
    password: Password,
    /// `factor`, to begin with a passkey or another factor.
    #[serde(default)]
    method: Word,
}

/// How and when the user was authenticated.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Authentication {
    /// Seconds since 1970.
    auth_time: i64,
    /// The assurance level.
    acr: String,
    /// The methods.
    amr: Vec<&'static str>,
    /// For how many seconds it counts as recent.
    expires_in: u64,
}

impl From<AuthContext> for Authentication {
    fn from(auth: AuthContext) -> Self {
        Self {
            auth_time: auth.auth_time.as_seconds(),
            acr: auth.assurance_level.to_string(),
            amr: auth.methods.iter().collect(),
            expires_in: RECENT.as_secs(),
        }
    }
}

pub(super) async fn post(
    call: Call<CurrentUser, Data<Reauthentication>>,
) -> Result<Json<Authentication>, ApiError> {
    let client = call.client();
    let (who, password) = (call.caller.authenticated(), call.body.fields.password.0);
    match call.body.fields.method.0 {
        Input::Missing => {}
        Input::Given(method) if method == "factor" => {
            return Ok(Json(reauthenticate_by_factor(call.auth.context(), who, client).await?.into()));
        }
        _ => {
            let complaint = FieldError::new("invalid_choice", "Send `factor`, or leave it out.");
            return Err(ApiError::fields(FieldErrors::one("method", complaint)));
        }
    }
    Ok(Json(reauthenticate(call.auth.context(), who, password, client).await?.into()))
}
