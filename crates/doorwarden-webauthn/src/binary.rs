//! Byte strings that JSON carries as base64url without padding: in one spelling only, and of a checked
//! length.

use base64_simd::URL_SAFE_NO_PAD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

/// Why a byte string is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BinaryError {
    /// Not base64url, or with padding, whitespace or bits that are not used.
    #[error("not base64url without padding")]
    NotBase64Url,
    /// Too short or too long.
    #[error("{0} bytes are too few or too many")]
    WrongLength(usize),
}

macro_rules! binary {
    ($(#[$documentation:meta])* $visibility:vis $name:ident, $lengths:expr) => {
        $(#[$documentation])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility struct $name(Vec<u8>);

        impl $name {
            /// The number of bytes that are allowed.
            $visibility const LENGTHS: RangeInclusive<usize> = $lengths;

            /// Wraps these bytes, if they are neither too few nor too many.
            $visibility fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, BinaryError> {
                let bytes = bytes.into();
                if Self::LENGTHS.contains(&bytes.len()) {
                    Ok(Self(bytes))
                } else {
                    Err(BinaryError::WrongLength(bytes.len()))
                }
            }

            /// Reads base64url without padding.
            $visibility fn from_base64url(text: &str) -> Result<Self, BinaryError> {
                URL_SAFE_NO_PAD
                    .decode_to_vec(text)
                    .map_err(|_| BinaryError::NotBase64Url)
                    .and_then(Self::new)
            }

            /// The bytes.
            $visibility fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// The bytes in base64url without padding, as in JSON.
            $visibility fn to_base64url(&self) -> String {
                URL_SAFE_NO_PAD.encode_to_string(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.to_base64url())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.to_base64url())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("base64url without padding")
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::from_base64url(text).map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Text).map_err(D::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_-]*$" })
            }
        }
    };
}

binary! {
    /// The random bytes that a ceremony signs, so that a response cannot be used twice (WebAuthn section
    /// 13.4.3). At least 16. The caller draws them, remembers them until the response arrives or five minutes
    /// have passed, and accepts one response for each.
    pub Challenge, 16..=1024
}

binary! {
    /// Names a credential. The authenticator chooses it: 1 to 1,023 bytes.
    pub CredentialId, 1..=1023
}

binary! {
    /// Names an account for authenticators: 1 to 64 bytes that say nothing of the user (WebAuthn section
    /// 14.6.1), and never change.
    pub UserHandle, 1..=64
}

binary! {
    /// Bytes of any number.
    pub(crate) Bytes, 0..=usize::MAX
}
