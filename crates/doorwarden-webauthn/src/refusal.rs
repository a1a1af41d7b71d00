use crate::authenticator_data::AuthenticatorDataError;
use crate::cbor::CborError;
use crate::client_data::ClientDataError;
use crate::key::KeyError;

/// Why the response of a ceremony is refused. For logs and operators; a client should learn less.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `id` and `rawId` differ.
    #[error("id and rawId differ")]
    IdsDiffer,
    /// The client data is malformed.
    #[error(transparent)]
    ClientData(#[from] ClientDataError),
    /// The client data is of another ceremony.
    #[error("the client data is of the ceremony {0:?}")]
    WrongCeremony(String),
    /// The challenge is another one.
    #[error("the challenge is another one")]
    WrongChallenge,
    /// The origin is none of the relying party's.
    #[error("the origin {0:?} is not one of the relying party")]
    WrongOrigin(String),
    /// The page is in a frame of another origin, and no origin may do that.
    #[error("the page is in a frame of another origin")]
    CrossOrigin,
    /// The page is in a frame of a page of this origin, which may not do that.
    #[error("the page is in a frame of {0:?}")]
    WrongTopOrigin(String),
    /// There is a top origin, although the page is not in a frame of another origin.
    #[error("there is a top origin for a page of the same origin")]
    UnexpectedTopOrigin,
    /// The attestation object is not canonical CBOR.
    #[error("the attestation object: {0}")]
    AttestationObject(CborError),
    /// The attestation object does not consist of a format, a statement and authenticator data.
    #[error("the attestation object does not have exactly its three members")]
    BadAttestationObject,
    /// The name of the attestation's format is not one: 1 to 32 printable ASCII characters (WebAuthn section
    /// 8.1).
    #[error("the name of the attestation format is malformed")]
    BadAttestationFormat,
    /// The statement is not one of its format. Only `none` and the self attestation of `packed` are verified.
    #[error("the attestation statement is malformed")]
    BadAttestationStatement,
    /// The signature of a self attestation is not valid.
    #[error("the signature of the attestation is not valid")]
    BadAttestationSignature,
    /// The authenticator data is malformed.
    #[error(transparent)]
    AuthenticatorData(#[from] AuthenticatorDataError),
    /// The authenticator data is for another relying party.
    #[error("the authenticator data is for another relying party")]
    WrongRelyingParty,
    /// The user was not present.
    #[error("the user was not present")]
    UserNotPresent,
    /// The authenticator did not verify the user, which was required.
    #[error("the authenticator did not verify the user")]
    UserNotVerified,
    /// A registration without a new credential.
    #[error("the registration has no credential")]
    NoCredential,
    /// An authentication with a new credential.
    #[error("the authentication has a new credential")]
    UnexpectedCredential,
    /// The id of the credential is another one: than in `rawId` in a registration, than the stored one in an
    /// authentication.
    #[error("the id of the credential is another one")]
    WrongCredential,
    /// The public key of the new credential is refused.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The response does not say whose the credential is, which was required.
    #[error("the response has no user handle")]
    NoUserHandle,
    /// The credential belongs to another user.
    #[error("the user handle is another one")]
    WrongUserHandle,
    /// The signature is not valid.
    #[error("the signature is not valid")]
    BadSignature,
}
