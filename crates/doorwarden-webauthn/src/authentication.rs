use crate::authenticator_data::AuthenticatorData;
use crate::binary::{Challenge, CredentialId, UserHandle};
use crate::ceremony::{check_authenticator_data, check_client_data, signed_message};
use crate::key::PublicKey;
use crate::options::Requirement;
use crate::refusal::Refusal;
use crate::relying_party::RelyingParty;
use crate::response::AuthenticationResponse;

/// What has to be stored of a credential to verify its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCredential {
    /// The id of the credential.
    pub id: CredentialId,
    /// Its public key.
    pub public_key: PublicKey,
    /// The counter of the last signature that was accepted.
    pub sign_count: u32,
}

/// What a response has to prove.
#[derive(Debug, Clone, Copy)]
pub struct Expectation<'a> {
    /// The challenge of the ceremony, which is open and is accepted once.
    pub challenge: &'a Challenge,
    /// The credential of [`AuthenticationResponse::credential_id`].
    pub credential: &'a StoredCredential,
    /// The handle of the user to whom the credential belongs. If the user was known before the ceremony, the
    /// caller has checked that it is the same one.
    pub user_handle: &'a UserHandle,
    /// Whether the ceremony began without a user, with empty `allowCredentials`. Then the response has to
    /// name the user (WebAuthn section 7.2, step 6).
    pub discoverable: bool,
    /// Whether the authenticator had to verify the user.
    pub user_verification: Requirement,
}

/// A valid signature, with what is to be stored of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authenticated {
    /// Whether the authenticator verified the user: then it was two factors, otherwise one.
    pub user_verified: bool,
    /// Whether the credential can be synchronized between devices. Some authenticators change it.
    pub backup_eligible: bool,
    /// Whether the credential is synchronized. Never without `backup_eligible`.
    pub backed_up: bool,
    /// The counter of this signature.
    pub sign_count: u32,
    /// What the counter says.
    pub counter: Counter,
}

/// What the counter of signatures says (WebAuthn section 6.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counter {
    /// It is greater than the stored one.
    Grew,
    /// The authenticator does not count: both are 0.
    Zero,
    /// It is not greater than the stored one. Perhaps the credential was copied, perhaps the authenticator
    /// counts badly, as several synchronized ones do: a signal, no proof (section 7.2).
    NotGrown,
}

impl Counter {
    const fn between(stored: u32, received: u32) -> Self {
        match (stored, received) {
            (0, 0) => Self::Zero,
            _ if received > stored => Self::Grew,
            _ => Self::NotGrown,
        }
    }
}

impl RelyingParty {
    /// Verifies the response to [`RequestOptions`](crate::RequestOptions) (WebAuthn section 7.2). A counter
    /// that did not grow is not an error.
    pub fn authenticate(
        &self,
        response: &AuthenticationResponse,
        expected: &Expectation<'_>,
    ) -> Result<Authenticated, Refusal> {
        if response.id != response.raw_id {
            return Err(Refusal::IdsDiffer);
        }
        if response.raw_id != expected.credential.id {
            return Err(Refusal::WrongCredential);
        }
        let assertion = &response.response;
        // Some browsers write an empty handle where there is none.
        match assertion
            .user_handle
            .as_ref()
            .map(crate::binary::Bytes::as_bytes)
            .filter(|handle| !handle.is_empty())
        {
            None if expected.discoverable => return Err(Refusal::NoUserHandle),
            Some(handle) if handle != expected.user_handle.as_bytes() => {
                return Err(Refusal::WrongUserHandle);
            }
            _ => {}
        }
        let client_data_json = assertion.client_data_json.as_bytes();
        check_client_data(self, client_data_json, "webauthn.get", expected.challenge)?;
        let data = AuthenticatorData::parse(assertion.authenticator_data.as_bytes())?;
        let flags = check_authenticator_data(self, &data, expected.user_verification)?;
        if data.attested_credential.is_some() {
            return Err(Refusal::UnexpectedCredential);
        }
        let message = signed_message(assertion.authenticator_data.as_bytes(), client_data_json);
        if !expected.credential.public_key.verify(&message, assertion.signature.as_bytes()) {
            return Err(Refusal::BadSignature);
        }
        Ok(Authenticated {
            user_verified: flags.user_verified(),
            backup_eligible: flags.backup_eligible(),
            backed_up: flags.backed_up(),
            sign_count: data.sign_count,
            counter: Counter::between(expected.credential.sign_count, data.sign_count),
        })
    }
}
