//! The typed fields of a body. Each field's type defines how its text is parsed and its schema in the OpenAPI
//! document.

use super::RequestData;
use super::json;
use crate::error::ApiError;
use doorwarden_core::error::{FieldError, FieldErrors, Input};
use doorwarden_core::field::Raw;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, IntoDeserializer, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// Declares types of text fields: their names and schemas.
macro_rules! text_fields {
    ($($(#[$doc:meta])* $name:ident, inline $inline:literal, $schema:tt;)+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default)]
        pub(crate) struct $name(pub(crate) Input<String>);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // `Option`, because serde passes `None` for a missing field.
                deserializer.deserialize_option(TextVisitor).map(Self)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                $inline
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )+};
}

text_fields! {
    /// An email address.
    Email, inline true, {"type": "string", "format": "email", "maxLength": 254};
    /// A username, which may be sent as a number.
    Username, inline true, {
        "type": ["string", "number"], "minLength": 1, "maxLength": 255,
        "description": "A number counts as the text it is written as.",
    };
    /// The current password of an account.
    Password, inline true, {"type": "string", "format": "password", "minLength": 1};
    /// A new password. The OpenAPI document adds the limits of the settings.
    NewPassword, inline false, {"type": "string", "format": "password", "description": "A password to be set."};
    /// A token or another string.
    Word, inline true, {"type": "string", "minLength": 1};
    /// Text that may be empty.
    Text, inline true, {"type": "string"};
}

/// One text or, in JSON, a list of texts; `None` for anything else.
#[derive(Debug, Clone)]
pub(crate) struct Texts(pub(crate) Option<Vec<String>>);

impl Default for Texts {
    fn default() -> Self {
        Self(Some(Vec::new()))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextsVisitor)
    }
}

impl JsonSchema for Texts {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Word>();
        json_schema!({"anyOf": [one, {"type": "array", "items": one}]})
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Input<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Input::Missing)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Input::Null)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Input::Given(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Input::Given(text))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Input::NotText)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Ok(Input::NotText)
    }
}

struct TextsVisitor;

impl<'de> Visitor<'de> for TextsVisitor {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_none<E>(self) -> Result<Texts, E> {
        Ok(Texts::default())
    }

    fn visit_unit<E>(self) -> Result<Texts, E> {
        Ok(Texts::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<Texts, E> {
        Ok(Texts(Some(vec![text.to_owned()])))
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Texts, E> {
        Ok(Texts(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Texts, A::Error> {
        let mut texts = Vec::new();
        while let Some(Text(item)) = access.next_element()? {
            let Input::Given(text) = item else { return Ok(Texts(None)) };
            texts.push(text);
        }
        Ok(Texts(Some(texts)))
    }
}

/// A JSON object of a type of its own; in a form, its text.
#[derive(Debug, Clone)]
pub(crate) struct Object<T>(Option<Result<T, String>>);

impl<T> Object<T> {
    /// The object, or a complaint about the field.
    pub(crate) fn required(self, field: &'static str) -> Result<T, ApiError> {
        let complaint = match self.0 {
            Some(Ok(object)) => return Ok(object),
            Some(Err(why)) => {
                FieldError::new("invalid", format!("Not an object of the expected form: {why}."))
            }
            None => FieldError::required(),
        };
        Err(ApiError::fields(FieldErrors::one(field, complaint)))
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(ObjectVisitor(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Object<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

struct ObjectVisitor<T>(PhantomData<fn() -> T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Object(None))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Object(None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Object(Some(serde_json::from_str(text).map_err(|error| error.to_string()))))
    }

    fn visit_bytes<E>(self, json: &[u8]) -> Result<Self::Value, E> {
        Ok(Object(Some(serde_json::from_slice(json).map_err(|error| error.to_string()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Ok(Object(Some(Err("a list".to_owned()))))
    }
}

impl RequestData {
    /// Takes the fields that a type names and leaves the others. The field's type decides about a field that
    /// is missing, `null` or not text.
    pub(crate) fn take<T: for<'de> Deserialize<'de>>(&mut self) -> T {
        T::deserialize(self).expect("fields of bodies take every value")
    }
}

/// Fills a struct with the fields that it names.
impl<'de> Deserializer<'de> for &mut RequestData {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_struct("", &[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let given = names.iter().filter_map(|name| Some((*name, FieldValue(self.0.remove(*name)?))));
        visitor.visit_map(MapDeserializer::new(given))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

/// The value of a field. A value that is not text is passed as bytes, the JSON of it, which no other field of
/// a body is.
struct FieldValue(Input<Raw>);

impl<'de> Deserializer<'de> for FieldValue {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Input::Missing => visitor.visit_none(),
            Input::Null => visitor.visit_unit(),
            Input::Given(Raw::Text(text) | Raw::Json(Value::String(text))) => visitor.visit_string(text),
            Input::Given(Raw::Json(Value::Number(number))) => visitor.visit_string(number.to_string()),
            Input::Given(Raw::Json(Value::Array(list))) => {
                visitor.visit_seq(SeqDeserializer::new(list.into_iter().map(|item| Self(json::input(item)))))
            }
            Input::Given(Raw::Json(value)) => visitor.visit_byte_buf(value.to_string().into_bytes()),
            Input::NotText => visitor.visit_bytes(&[]),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl IntoDeserializer<'_, Error> for FieldValue {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
