//! What the browser says of a ceremony (WebAuthn section 5.8.1).

use crate::binary::Challenge;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeSet;
use std::fmt;

/// Client data: the context of a ceremony, which the authenticator signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientData {
    /// The ceremony: `webauthn.create` or `webauthn.get`.
    pub kind: String,
    /// The challenge of the ceremony.
    pub challenge: Challenge,
    /// The origin of the page that called the browser.
    pub origin: String,
    /// Whether the page is in a frame of a page of another origin.
    pub cross_origin: bool,
    /// The origin of the outermost page, if it is another one and the browser tells.
    pub top_origin: Option<String>,
}

/// Why client data is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientDataError {
    /// Not UTF-8.
    #[error("the client data is not UTF-8")]
    NotUtf8,
    /// Not one JSON object.
    #[error("the client data is not one JSON object")]
    NotJson,
    /// An object has two members of this name; parsers disagree about which one counts.
    #[error("the client data has two members {0:?}")]
    DuplicateMember(String),
    /// A required member is missing.
    #[error("the member {0:?} of the client data is missing")]
    Missing(&'static str),
    /// A member has the wrong type, or the challenge is not one.
    #[error("the member {0:?} of the client data is malformed")]
    Malformed(&'static str),
}

impl ClientData {
    /// Reads the bytes of `clientDataJSON`. A byte order mark is skipped ("UTF-8 decode" of the Encoding
    /// standard), members of other names are ignored.
    pub fn parse(bytes: &[u8]) -> Result<Self, ClientDataError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = str::from_utf8(bytes).map_err(|_| ClientDataError::NotUtf8)?;
        let Ok(Json::Object(members)) = serde_json::from_str(text) else {
            return Err(ClientDataError::NotJson);
        };
        unique(&members)?;
        let (mut kind, mut challenge, mut origin) = (None, None, None);
        let (mut cross_origin, mut top_origin) = (false, None);
        for (name, value) in members {
            match (name.as_str(), value) {
                ("type", Json::Text(text)) => kind = Some(text),
                ("challenge", Json::Text(text)) => {
                    let read = Challenge::from_base64url(&text);
                    challenge = Some(read.map_err(|_| ClientDataError::Malformed("challenge"))?);
                }
                ("origin", Json::Text(text)) => origin = Some(text),
                ("crossOrigin", Json::Bool(is)) => cross_origin = is,
                ("topOrigin", Json::Text(text)) => top_origin = Some(text),
                (name, _) => {
                    const KNOWN: [&str; 5] = ["type", "challenge", "origin", "crossOrigin", "topOrigin"];
                    if let Some(known) = KNOWN.into_iter().find(|known| *known == name) {
                        return Err(ClientDataError::Malformed(known));
                    }
                }
            }
        }
        Ok(Self {
            kind: kind.ok_or(ClientDataError::Missing("type"))?,
            challenge: challenge.ok_or(ClientDataError::Missing("challenge"))?,
            origin: origin.ok_or(ClientDataError::Missing("origin"))?,
            cross_origin,
            top_origin,
        })
    }
}

/// Checks that no object, however deep, has two members of one name.
fn unique(members: &[(String, Json)]) -> Result<(), ClientDataError> {
    let mut names = BTreeSet::new();
    for (name, value) in members {
        if !names.insert(name) {
            return Err(ClientDataError::DuplicateMember(name.clone()));
        }
        value.unique()?;
    }
    Ok(())
}

/// JSON as it is written, with duplicate members. serde_json limits the depth to 128.
enum Json {
    Text(String),
    Bool(bool),
    Other,
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    fn unique(&self) -> Result<(), ClientDataError> {
        match self {
            Self::Array(items) => items.iter().try_for_each(Self::unique),
            Self::Object(members) => unique(members),
            Self::Text(_) | Self::Bool(_) | Self::Other => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_bool<E>(self, is: bool) -> Result<Json, E> {
                Ok(Json::Bool(is))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = sequence.next_element()? {
                    items.push(item);
                }
                Ok(Json::Array(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Json::Object(members))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
