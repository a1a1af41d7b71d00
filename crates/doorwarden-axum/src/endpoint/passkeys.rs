use super::answer::{Document, Json, Media};
use super::factors::{EnrolledAnswer, caller, enrolled, enroller};
use super::login_steps::{StepAnswer, step, wanted};
use super::operation::{Anybody, Call, Data, RecentUserOrLogin};
use super::receiver::Receiver;
use super::types::Types;
use crate::body::{Object, Text, Texts, Word};
use crate::error::ApiError;
use crate::extract::CurrentUser;
use crate::refresh_cookie;
use doorwarden_core::etag::etag;
use doorwarden_core::flow::passkeys::{
    LIFETIME, PasskeyLogin as Login, log_in_with_passkey, party, passkey_creation_options,
    passkey_request_options, passkey_signals, register_passkey,
};
use doorwarden_core::webauthn::{
    AllAcceptedCredentials, AuthenticationResponse, CreationOptions, CurrentUserDetails,
    RegistrationResponse, RequestOptions,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// For `navigator.credentials`, through `PublicKeyCredential.parseCreationOptionsFromJSON` or
/// `parseRequestOptionsFromJSON`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Ceremony<O> {
    /// The name of the challenge. Need not be sent back: the credential says which challenge it answers.
    challenge_id: String,
    options: O,
    /// Seconds in which the challenge can be answered.
    expires_in: u64,
}

impl<O> Ceremony<O> {
    fn of(asked: doorwarden_core::flow::passkeys::Asked<O>) -> Self {
        let challenge_id = asked.challenge_id.0.hyphenated().to_string();
        Self { challenge_id, options: asked.options, expires_in: LIFETIME.as_secs() }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct OptionsFor {
    /// Of a login that waits for a second factor; without it any passkey logs in.
    #[serde(default)]
    login_token: Word,
}

pub(super) async fn request_options(
    call: Call<Anybody, Data<OptionsFor>>,
) -> Result<Json<Ceremony<RequestOptions>>, ApiError> {
    let asked = passkey_request_options(call.auth.context(), call.body.fields.login_token.0).await?;
    Ok(Json(Ceremony::of(asked)))
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct PasskeyLogin {
    /// What `credential.toJSON()` gives.
    credential: Object<AuthenticationResponse>,
    /// Of a login that waits for a second factor.
    #[serde(default)]
    login_token: Word,
    /// `session`, the default, or `pair`.
    #[serde(default)]
    tokens: Word,
    /// Whom the access token of a pair is for (RFC 8707).
    #[serde(default)]
    resource: Texts,
}

pub(super) async fn log_in(call: Call<Anybody, Data<PasskeyLogin>>) -> Result<StepAnswer, ApiError> {
    let transport = refresh_cookie::transport(call.auth.settings(), &call.parts.headers)?;
    let receiver = Receiver::of(&call.auth, &call.parts, transport);
    let client = call.client();
    let PasskeyLogin { credential, login_token, tokens: word, resource } = call.body.fields;
    let login = Login {
        credential: credential.required("credential")?,
        login_token: login_token.0,
        tokens: wanted(&call.auth, word, resource)?,
        client,
    };
    Ok(step(log_in_with_passkey(call.auth.context(), login).await?, &receiver))
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CreationFor {
    /// Of a login that waits for a factor, in the place of a token.
    #[serde(default)]
    login_token: Word,
}

pub(super) async fn creation_options(
    call: Call<RecentUserOrLogin, Data<CreationFor>>,
) -> Result<Json<Ceremony<CreationOptions>>, ApiError> {
    let caller = caller(&call, &call.body.fields.login_token).await?;
    let (client, context) = (call.client(), call.auth.context());
    let enroller = enroller(caller.as_ref(), call.body.fields.login_token);
    Ok(Json(Ceremony::of(passkey_creation_options(context, enroller, client).await?)))
}

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct NewPasskey {
    /// What `credential.toJSON()` gives.
    credential: Object<RegistrationResponse>,
    /// What to call it.
    #[serde(default)]
    name: Text,
    /// Of a login that waits for a factor, in the place of a token.
    #[serde(default)]
    login_token: Word,
}

pub(super) async fn post(
    call: Call<RecentUserOrLogin, Data<NewPasskey>>,
) -> Result<EnrolledAnswer<201>, ApiError> {
    let transport = refresh_cookie::transport(call.auth.settings(), &call.parts.headers)?;
    let receiver = Receiver::of(&call.auth, &call.parts, transport);
    let caller = caller(&call, &call.body.fields.login_token).await?;
    let (client, context) = (call.client(), call.auth.context());
    let NewPasskey { credential, name, login_token } = call.body.fields;
    let credential = credential.required("credential")?;
    let enroller = enroller(caller.as_ref(), login_token);
    Ok(enrolled(register_passkey(context, enroller, credential, name.0, client).await?, &receiver))
}

/// For `PublicKeyCredential.signalAllAcceptedCredentials` and `signalCurrentUserDetails`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PasskeySignals")]
pub(super) struct Signals {
    all_accepted_credentials: AllAcceptedCredentials,
    current_user_details: CurrentUserDetails,
}

pub(super) async fn signals(call: Call<CurrentUser>) -> Result<Json<Signals>, ApiError> {
    let who = call.caller.authenticated();
    let (all_accepted_credentials, current_user_details) = passkey_signals(call.auth.context(), who).await?;
    Ok(Json(Signals { all_accepted_credentials, current_user_details }))
}

/// Where else passkeys of this service are good (WebAuthn, section 5.11).
#[derive(Debug, JsonSchema)]
pub(super) struct RelatedOrigins {
    #[expect(dead_code, reason = "only the schema is needed: the relying party renders the document")]
    origins: Vec<String>,
}

impl Media for RelatedOrigins {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema(types: &mut Types) -> Option<Value> {
        Some(types.output::<Self>())
    }
}

pub(super) async fn well_known(call: Call<Anybody>) -> Result<Document<RelatedOrigins>, ApiError> {
    let party = party(call.auth.context())?;
    let body = serde_json::to_vec(&party.well_known()).expect("texts are JSON");
    Ok(Document::new(&call.parts.headers, Duration::from_hours(1), &etag(&body), body.into()))
}
