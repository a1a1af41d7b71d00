//! What a browser returns from a ceremony, in the JSON types of WebAuthn section 5.1: `credential.toJSON()`.

use crate::binary::{Bytes, Challenge, CredentialId};
use crate::client_data::{ClientData, ClientDataError};
use crate::descriptor::{PublicKeyType, Transport};
use schemars::JsonSchema;
use serde::Deserialize;

/// `RegistrationResponseJSON`: a new credential. Members that repeat what the attestation object says are
/// ignored.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RegistrationResponse {
    pub(crate) id: CredentialId,
    pub(crate) raw_id: CredentialId,
    #[serde(rename = "type")]
    kind: PublicKeyType,
    pub(crate) response: AttestationResponse,
    #[serde(default)]
    pub(crate) client_extension_results: ExtensionResults,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub(crate) struct AttestationResponse {
    #[serde(rename = "clientDataJSON")]
    pub(crate) client_data_json: Bytes,
    pub(crate) attestation_object: Bytes,
    #[serde(default)]
    pub(crate) transports: Vec<Transport>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub(crate) struct ExtensionResults {
    #[serde(default)]
    pub(crate) cred_props: Option<CredentialProperties>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct CredentialProperties {
    #[serde(default)]
    pub(crate) rk: Option<bool>,
}

/// `AuthenticationResponseJSON`: the signature of a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct AuthenticationResponse {
    pub(crate) id: CredentialId,
    pub(crate) raw_id: CredentialId,
    #[serde(rename = "type")]
    kind: PublicKeyType,
    pub(crate) response: AssertionResponse,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub(crate) struct AssertionResponse {
    #[serde(rename = "clientDataJSON")]
    pub(crate) client_data_json: Bytes,
    pub(crate) authenticator_data: Bytes,
    pub(crate) signature: Bytes,
    #[serde(default)]
    pub(crate) user_handle: Option<Bytes>,
}

impl RegistrationResponse {
    /// The challenge that the response claims to answer, with which the caller finds the ceremony. Nothing is
    /// verified yet.
    pub fn challenge(&self) -> Result<Challenge, ClientDataError> {
        challenge(self.response.client_data_json.as_bytes())
    }

    /// The id of the new credential. Nothing is verified yet.
    pub const fn credential_id(&self) -> &CredentialId {
        &self.raw_id
    }
}

impl AuthenticationResponse {
    /// The challenge that the response claims to answer, with which the caller finds the ceremony. Nothing is
    /// verified yet.
    pub fn challenge(&self) -> Result<Challenge, ClientDataError> {
        challenge(self.response.client_data_json.as_bytes())
    }

    /// The id of the credential that the response claims to be signed with, with which the caller finds the
    /// credential. Nothing is verified yet.
    pub const fn credential_id(&self) -> &CredentialId {
        &self.raw_id
    }
}

fn challenge(client_data_json: &[u8]) -> Result<Challenge, ClientDataError> {
    ClientData::parse(client_data_json).map(|client_data| client_data.challenge)
}
