//! What an authenticator says of itself and of the user (WebAuthn section 6.1).

use crate::binary::CredentialId;
use crate::cbor::{CborError, Value};
use uuid::Uuid;

/// Authenticator data. It is signed in every authentication, and in a registration only if the attestation
/// is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatorData<'a> {
    /// The SHA-256 of the relying party's id.
    pub rp_id_hash: [u8; 32],
    /// What happened.
    pub flags: Flags,
    /// How often the credential was used, or 0 if the authenticator does not count.
    pub sign_count: u32,
    /// The new credential, in a registration.
    pub attested_credential: Option<AttestedCredential<'a>>,
    /// The outputs of extensions, by their names.
    pub extensions: Option<Value<'a>>,
}

/// The flags of authenticator data. The bits that are reserved for future use are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// UP: the user was present.
    pub const fn user_present(self) -> bool {
        self.0 & 1 != 0
    }

    /// UV: the authenticator verified the user, for example by a PIN or a fingerprint.
    pub const fn user_verified(self) -> bool {
        self.0 & 1 << 2 != 0
    }

    /// BE: the credential can be synchronized between devices.
    pub const fn backup_eligible(self) -> bool {
        self.0 & 1 << 3 != 0
    }

    /// BS: the credential is synchronized at present.
    pub const fn backed_up(self) -> bool {
        self.0 & 1 << 4 != 0
    }

    /// AT: a new credential follows.
    const fn has_attested_credential(self) -> bool {
        self.0 & 1 << 6 != 0
    }

    /// ED: outputs of extensions follow.
    const fn has_extensions(self) -> bool {
        self.0 & 1 << 7 != 0
    }
}

/// A new credential (WebAuthn section 6.5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestedCredential<'a> {
    /// The model of the authenticator, or zeros.
    pub aaguid: Uuid,
    /// What the authenticator calls the credential.
    pub credential_id: CredentialId,
    /// The public key in the form of COSE, for [`PublicKey::from_cose`](crate::PublicKey::from_cose).
    pub public_key: &'a [u8],
}

/// Why authenticator data is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticatorDataError {
    /// It ends too early.
    #[error("the authenticator data ends too early")]
    Truncated,
    /// Bytes follow it, or a flag is missing for what is there.
    #[error("bytes follow the authenticator data")]
    Trailing,
    /// The id of the credential does not have 1 to 1,023 bytes.
    #[error("the credential id does not have 1 to 1,023 bytes")]
    CredentialIdLength,
    /// The public key is not canonical CBOR.
    #[error("the public key: {0}")]
    PublicKey(CborError),
    /// The outputs of extensions are not canonical CBOR.
    #[error("the outputs of extensions: {0}")]
    Extensions(CborError),
    /// The outputs of extensions are not a map.
    #[error("the outputs of extensions are not a map")]
    ExtensionsNotAMap,
    /// The credential is backed up without being eligible for it (WebAuthn section 6.1.3).
    #[error("the credential is backed up without being eligible for it")]
    BackedUpWithoutEligibility,
}

impl<'a> AuthenticatorData<'a> {
    /// Reads authenticator data; no bytes may follow it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AuthenticatorDataError> {
        use AuthenticatorDataError::{
            BackedUpWithoutEligibility, CredentialIdLength, Extensions, ExtensionsNotAMap, PublicKey,
            Trailing,
        };
        let mut rest = bytes;
        let rp_id_hash = *take(&mut rest)?;
        let [flags] = *take(&mut rest)?;
        let flags = Flags(flags);
        let sign_count = u32::from_be_bytes(*take(&mut rest)?);
        if flags.backed_up() && !flags.backup_eligible() {
            return Err(BackedUpWithoutEligibility);
        }
        let mut attested_credential = None;
        if flags.has_attested_credential() {
            let aaguid = Uuid::from_bytes(*take(&mut rest)?);
            let length = usize::from(u16::from_be_bytes(*take(&mut rest)?));
            if !CredentialId::LENGTHS.contains(&length) {
                return Err(CredentialIdLength);
            }
            let (id, after) = rest.split_at_checked(length).ok_or(AuthenticatorDataError::Truncated)?;
            let credential_id = CredentialId::new(id).map_err(|_| CredentialIdLength)?;
            let (_, end) = Value::read_prefix(after).map_err(PublicKey)?;
            let public_key = &after[..after.len() - end.len()];
            attested_credential = Some(AttestedCredential { aaguid, credential_id, public_key });
            rest = end;
        }
        let mut extensions = None;
        if flags.has_extensions() {
            let (value, end) = Value::read_prefix(rest).map_err(Extensions)?;
            if value.as_map().is_none() {
                return Err(ExtensionsNotAMap);
            }
            extensions = Some(value);
            rest = end;
        }
        if !rest.is_empty() {
            return Err(Trailing);
        }
        Ok(Self { rp_id_hash, flags, sign_count, attested_credential, extensions })
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], AuthenticatorDataError> {
    let (taken, after) = rest.split_first_chunk().ok_or(AuthenticatorDataError::Truncated)?;
    *rest = after;
    Ok(taken)
}
