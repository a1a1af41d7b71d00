//! The options of a ceremony, in the JSON types of WebAuthn section 5.1, for
//! `PublicKeyCredential.parseCreationOptionsFromJSON` and `parseRequestOptionsFromJSON`.

use crate::algorithm::Algorithm;
use crate::binary::{Challenge, UserHandle};
use crate::descriptor::{Descriptor, PublicKeyType};
use crate::relying_party::RelyingParty;
use schemars::JsonSchema;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

/// What a ceremony requires, or would like (WebAuthn section 5.4.6 and 5.8.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Requirement {
    /// Without it, the ceremony fails.
    Required,
    /// The ceremony goes on without it.
    Preferred,
    /// Rather not.
    Discouraged,
}

/// The user that a credential is made for. Authenticators show the names when there is more than one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct User {
    /// The handle of the account.
    pub id: UserHandle,
    /// The name with which the user logs in, such as an email address.
    pub name: String,
    /// The name that people call the user, or an empty string.
    pub display_name: String,
}

/// `PublicKeyCredentialCreationOptionsJSON`: what to make.
///
/// [`RelyingParty::creation_options`] makes it. The algorithms are [`Algorithm::ALL`], and no attestation is
/// asked for, because none is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct CreationOptions {
    rp: Party,
    /// The user that the credential is for.
    pub user: User,
    /// The challenge to remember.
    pub challenge: Challenge,
    pub_key_cred_params: Offered,
    /// How long the browser waits, in milliseconds. Most browsers decide by themselves.
    pub timeout: u32,
    /// The credentials that the user has already: no authenticator makes a second one.
    pub exclude_credentials: Vec<Descriptor>,
    /// What the authenticator has to be capable of.
    pub authenticator_selection: AuthenticatorSelection,
    attestation: None,
    extensions: Extensions,
}

/// `PublicKeyCredentialRequestOptionsJSON`: which credentials may sign. [`RelyingParty::request_options`]
/// makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct RequestOptions {
    /// The challenge to remember.
    pub challenge: Challenge,
    /// How long the browser waits, in milliseconds. Most browsers decide by themselves.
    pub timeout: u32,
    rp_id: String,
    /// The credentials of the user. If there are none, the user chooses among all that are discoverable, and
    /// the response says whose it is.
    pub allow_credentials: Vec<Descriptor>,
    /// Whether the authenticator has to verify the user.
    pub user_verification: Requirement,
}

/// What an authenticator has to be capable of (WebAuthn section 5.4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub struct AuthenticatorSelection {
    resident_key: Requirement,
    require_resident_key: bool,
    /// Whether the authenticator has to verify the user.
    pub user_verification: Requirement,
}

impl AuthenticatorSelection {
    /// `resident_key`: whether the credential has to be discoverable, which is what makes it a passkey.
    pub const fn new(resident_key: Requirement, user_verification: Requirement) -> Self {
        let require_resident_key = matches!(resident_key, Requirement::Required);
        Self { resident_key, require_resident_key, user_verification }
    }
}

impl RelyingParty {
    /// How long browsers are asked to wait, in milliseconds, unless the options are changed: five minutes
    /// (WebAuthn section 15.1).
    pub const TIMEOUT: u32 = 300_000;

    /// Options for a new credential: a passkey, with user verification if the authenticator is capable of it.
    /// `exclude` are the credentials that the user has.
    pub fn creation_options(
        &self,
        user: User,
        challenge: Challenge,
        exclude: Vec<Descriptor>,
    ) -> CreationOptions {
        CreationOptions {
            rp: Party { id: self.id().to_owned(), name: self.name().to_owned() },
            user,
            challenge,
            pub_key_cred_params: Offered,
            timeout: Self::TIMEOUT,
            exclude_credentials: exclude,
            authenticator_selection: AuthenticatorSelection::new(
                Requirement::Required,
                Requirement::Preferred,
            ),
            attestation: None::None,
            extensions: Extensions { cred_props: true },
        }
    }

    /// Options for an authentication. `allow` are the credentials of the user who is to be authenticated; it
    /// is empty only if any user may be.
    pub fn request_options(
        &self,
        challenge: Challenge,
        allow: Vec<Descriptor>,
        user_verification: Requirement,
    ) -> RequestOptions {
        RequestOptions {
            challenge,
            timeout: Self::TIMEOUT,
            rp_id: self.id().to_owned(),
            allow_credentials: allow,
            user_verification,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
struct Party {
    id: String,
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum None {
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
struct Extensions {
    cred_props: bool,
}

/// The algorithms that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(inline, with = "Vec<Parameter>")]
struct Offered;

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Parameter {
    #[serde(rename = "type")]
    kind: PublicKeyType,
    alg: i64,
}

impl Serialize for Offered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(Algorithm::ALL.len()))?;
        for algorithm in Algorithm::ALL {
            list.serialize_element(&Parameter { kind: PublicKeyType::PublicKey, alg: algorithm.cose() })?;
        }
        list.end()
    }
}
