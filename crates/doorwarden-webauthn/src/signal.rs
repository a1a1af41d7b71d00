//! What a page tells authenticators with the signal methods of `PublicKeyCredential` (WebAuthn section
//! 5.1.10), so that they forget credentials that were deleted and show names as they are now.

use crate::binary::{CredentialId, UserHandle};
use crate::options::User;
use crate::relying_party::RelyingParty;
use schemars::JsonSchema;
use serde::Serialize;

/// For `signalUnknownCredential`, when no account has the credential of a response. Only then: the
/// authenticator may delete it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct UnknownCredential {
    rp_id: String,
    credential_id: CredentialId,
}

/// For `signalAllAcceptedCredentials`, after a login or a change of the credentials. An authenticator may
/// delete those of this user that are not listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct AllAcceptedCredentials {
    rp_id: String,
    user_id: UserHandle,
    all_accepted_credential_ids: Vec<CredentialId>,
}

/// For `signalCurrentUserDetails`, after a login or a change of the names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CurrentUserDetails {
    rp_id: String,
    user_id: UserHandle,
    name: String,
    display_name: String,
}

impl RelyingParty {
    /// No account has this credential.
    pub fn unknown_credential(&self, credential_id: CredentialId) -> UnknownCredential {
        UnknownCredential { rp_id: self.id().to_owned(), credential_id }
    }

    /// These are all credentials of the user.
    pub fn all_accepted_credentials(
        &self,
        user_id: UserHandle,
        all_accepted_credential_ids: Vec<CredentialId>,
    ) -> AllAcceptedCredentials {
        AllAcceptedCredentials { rp_id: self.id().to_owned(), user_id, all_accepted_credential_ids }
    }

    /// The names of the user.
    pub fn current_user_details(&self, user: User) -> CurrentUserDetails {
        let User { id: user_id, name, display_name } = user;
        CurrentUserDetails { rp_id: self.id().to_owned(), user_id, name, display_name }
    }
}
