use crate::binary::CredentialId;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Names a credential, with hints how to reach its authenticator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Descriptor {
    /// The credential.
    pub id: CredentialId,
    #[serde(rename = "type")]
    kind: PublicKeyType,
    /// How to reach the authenticator, as the registration said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub transports: Vec<Transport>,
}

impl Descriptor {
    /// Names this credential.
    pub fn new(id: CredentialId, transports: Vec<Transport>) -> Self {
        Self { id, kind: PublicKeyType::PublicKey, transports }
    }
}

/// How to reach an authenticator: `usb`, `nfc`, `ble`, `smart-card`, `hybrid`, `internal`, or what a later
/// browser calls it (WebAuthn section 5.8.4). Only a hint, from the client.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Transport(String);

impl Transport {
    /// The transport of this name: 1 to 32 lower-case letters, digits and hyphens.
    pub fn new(name: &str) -> Option<Self> {
        let is_part = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        ((1..=32).contains(&name.len()) && name.bytes().all(is_part)).then(|| Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Transport {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(&name).ok_or_else(|| serde::de::Error::custom("not the name of a transport"))
    }
}

/// `public-key`, the only type of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum PublicKeyType {
    #[serde(rename = "public-key")]
    PublicKey,
}
