use crate::authenticator_data::AuthenticatorData;
use crate::binary::{Challenge, CredentialId};
use crate::cbor::Value;
use crate::ceremony::{check_authenticator_data, check_client_data, signed_message};
use crate::descriptor::Transport;
use crate::key::PublicKey;
use crate::options::Requirement;
use crate::refusal::Refusal;
use crate::relying_party::RelyingParty;
use crate::response::RegistrationResponse;
use uuid::Uuid;

/// A new credential, to be stored for the user for whom the options were made, unless its id is stored
/// already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// The id of the credential.
    pub credential_id: CredentialId,
    /// The key that will verify its signatures.
    pub public_key: PublicKey,
    /// The counter of signatures, 0 if the authenticator does not count.
    pub sign_count: u32,
    /// The model of the authenticator as it says itself, or zeros.
    pub aaguid: Uuid,
    /// Whether the authenticator verified the user.
    pub user_verified: bool,
    /// Whether the credential can be synchronized between devices.
    pub backup_eligible: bool,
    /// Whether the credential is synchronized. Never without `backup_eligible`.
    pub backed_up: bool,
    /// Whether the credential is discoverable, and so can be used without a username; `None` if the browser
    /// does not say.
    pub discoverable: Option<bool>,
    /// How to reach the authenticator, for [`Descriptor`](crate::Descriptor): in order, each once, at most
    /// 16.
    pub transports: Vec<Transport>,
    /// What the authenticator said of its origin.
    pub attestation: Attestation,
}

/// What an authenticator said of its origin. Nothing that is said in an attestation is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attestation {
    /// Nothing (format `none`).
    None,
    /// The new key signed its own registration (format `packed` without certificates), and the signature is
    /// valid.
    SelfAttested,
    /// A statement in this format, which was not verified.
    Unverified(String),
}

impl Attestation {
    /// The name of the format.
    pub fn format(&self) -> &str {
        match self {
            Self::None => "none",
            Self::SelfAttested => "packed",
            Self::Unverified(format) => format,
        }
    }

    /// Whether all was verified that the statement says.
    pub const fn is_verified(&self) -> bool {
        !matches!(self, Self::Unverified(_))
    }
}

/// The number of transports that are kept.
const MAX_TRANSPORTS: usize = 16;

impl RelyingParty {
    /// Verifies the response to [`CreationOptions`](crate::CreationOptions) with this challenge (WebAuthn
    /// section 7.1). Whether the user had to be verified is decided here, by [`Requirement::Required`], not
    /// by the options.
    ///
    /// The caller has checked that the challenge is open and accepts it once, and refuses a credential whose
    /// id is stored already, for whichever user.
    pub fn register(
        &self,
        response: &RegistrationResponse,
        challenge: &Challenge,
        user_verification: Requirement,
    ) -> Result<Registered, Refusal> {
        if response.id != response.raw_id {
            return Err(Refusal::IdsDiffer);
        }
        let client_data_json = response.response.client_data_json.as_bytes();
        check_client_data(self, client_data_json, "webauthn.create", challenge)?;
        let object = AttestationObject::read(response.response.attestation_object.as_bytes())?;
        let data = AuthenticatorData::parse(object.authenticator_data)?;
        let flags = check_authenticator_data(self, &data, user_verification)?;
        let credential = data.attested_credential.ok_or(Refusal::NoCredential)?;
        if credential.credential_id != response.raw_id {
            return Err(Refusal::WrongCredential);
        }
        let public_key = PublicKey::from_cose(credential.public_key)?;
        let attestation = object.attestation(&public_key, client_data_json)?;
        let mut transports = response.response.transports.clone();
        transports.sort();
        transports.dedup();
        transports.truncate(MAX_TRANSPORTS);
        Ok(Registered {
            credential_id: credential.credential_id,
            public_key,
            sign_count: data.sign_count,
            aaguid: credential.aaguid,
            user_verified: flags.user_verified(),
            backup_eligible: flags.backup_eligible(),
            backed_up: flags.backed_up(),
            discoverable: response.client_extension_results.cred_props.as_ref().and_then(|props| props.rk),
            transports,
            attestation,
        })
    }
}

/// WebAuthn section 6.5.4.
struct AttestationObject<'a> {
    format: &'a str,
    statement: Value<'a>,
    authenticator_data: &'a [u8],
}

impl<'a> AttestationObject<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let Value::Map(entries) = Value::read(bytes).map_err(Refusal::AttestationObject)? else {
            return Err(Refusal::BadAttestationObject);
        };
        // In canonical order.
        let [
            ("fmt", Value::Text(format)),
            ("attStmt", statement),
            ("authData", Value::Bytes(authenticator_data)),
        ] = named(entries)?
        else {
            return Err(Refusal::BadAttestationObject);
        };
        let is_printable = |c: u8| matches!(c, 0x21..=0x7e) && c != b'"' && c != b'\\';
        if !(1..=32).contains(&format.len()) || !format.bytes().all(is_printable) {
            return Err(Refusal::BadAttestationFormat);
        }
        Ok(Self { format, statement, authenticator_data })
    }

    /// Verifies the statements that rest on nothing but the new key (WebAuthn sections 8.2 and 8.7).
    fn attestation(&self, key: &PublicKey, client_data_json: &[u8]) -> Result<Attestation, Refusal> {
        let member = |name| {
            let entries = self.statement.as_map()?;
            entries.iter().find(|(key, _)| key.as_text() == Some(name)).map(|(_, value)| value)
        };
        match self.format {
            "none" if self.statement == Value::Map(Vec::new()) => Ok(Attestation::None),
            "packed" if member("x5c").is_none() => {
                let (algorithm, signature) = (member("alg"), member("sig").and_then(Value::as_bytes));
                let (Some(algorithm), Some(signature)) = (algorithm, signature) else {
                    return Err(Refusal::BadAttestationStatement);
                };
                if algorithm.as_integer() != Some(key.algorithm().cose())
                    || self.statement.as_map().is_none_or(|entries| entries.len() != 2)
                {
                    return Err(Refusal::BadAttestationStatement);
                }
                let message = signed_message(self.authenticator_data, client_data_json);
                let is_valid = key.verify(&message, signature);
                is_valid.then_some(Attestation::SelfAttested).ok_or(Refusal::BadAttestationSignature)
            }
            "none" => Err(Refusal::BadAttestationStatement),
            format => Ok(Attestation::Unverified(format.to_owned())),
        }
    }
}

/// The entries of a map with three members that all have names.
fn named<'a>(entries: Vec<(Value<'a>, Value<'a>)>) -> Result<[(&'a str, Value<'a>); 3], Refusal> {
    let named = entries.into_iter().map(|(key, value)| key.as_text().map(|name| (name, value)));
    let named: Option<Vec<_>> = named.collect();
    named.and_then(|named| named.try_into().ok()).ok_or(Refusal::BadAttestationObject)
}
