//! The steps that registration (WebAuthn section 7.1) and authentication (section 7.2) have in common.

use crate::authenticator_data::{AuthenticatorData, Flags};
use crate::binary::Challenge;
use crate::client_data::ClientData;
use crate::options::Requirement;
use crate::refusal::Refusal;
use crate::relying_party::RelyingParty;
use aws_lc_rs::digest::{SHA256, digest};

/// Checks the client data of a ceremony of this kind.
pub(crate) fn check_client_data(
    party: &RelyingParty,
    json: &[u8],
    kind: &str,
    challenge: &Challenge,
) -> Result<(), Refusal> {
    let client_data = ClientData::parse(json)?;
    if client_data.kind != kind {
        return Err(Refusal::WrongCeremony(client_data.kind));
    }
    if client_data.challenge != *challenge {
        return Err(Refusal::WrongChallenge);
    }
    if !party.origins().iter().chain(party.related_origins()).any(|origin| *origin == client_data.origin) {
        return Err(Refusal::WrongOrigin(client_data.origin));
    }
    match client_data.top_origin {
        Some(_) if !client_data.cross_origin => Err(Refusal::UnexpectedTopOrigin),
        Some(top) if !party.top_origins().contains(&top) => Err(Refusal::WrongTopOrigin(top)),
        None if client_data.cross_origin && party.top_origins().is_empty() => Err(Refusal::CrossOrigin),
        _ => Ok(()),
    }
}

/// Checks whom the authenticator data is for, and what happened.
pub(crate) fn check_authenticator_data(
    party: &RelyingParty,
    data: &AuthenticatorData<'_>,
    user_verification: Requirement,
) -> Result<Flags, Refusal> {
    if data.rp_id_hash != *party.id_hash() {
        return Err(Refusal::WrongRelyingParty);
    }
    if !data.flags.user_present() {
        return Err(Refusal::UserNotPresent);
    }
    if user_verification == Requirement::Required && !data.flags.user_verified() {
        return Err(Refusal::UserNotVerified);
    }
    Ok(data.flags)
}

/// What an authenticator signs.
pub(crate) fn signed_message(authenticator_data: &[u8], client_data_json: &[u8]) -> Vec<u8> {
    [authenticator_data, digest(&SHA256, client_data_json).as_ref()].concat()
}
