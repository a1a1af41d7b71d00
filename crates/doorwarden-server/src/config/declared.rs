//! The fields that an application declares in the file: `[fields.NAME]`.

use super::value::{Flag, List, Number, Written, no_default, wraps};
use doorwarden::Field;
use doorwarden::core::field::Writer;
use schemars::JsonSchema;
use serde::de::{DeserializeSeed, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;

/// The declared fields.
#[derive(JsonSchema)]
#[schemars(inline, with = "BTreeMap<String, Declaration>")]
pub(super) struct Fields(Vec<Field>);

no_default!(Fields);
wraps!(Fields: Vec<Field>);

/// A declared field.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct Declaration {
    /// `text`, `integer`, `boolean` or `choice`.
    r#type: Option<Type>,
    /// Maximum length of a text, in characters; 255 unless set.
    max_length: Option<Number<1, 16_384>>,
    /// Least value of an integer.
    min: Option<Number<{ i64::MIN }, { i64::MAX }>>,
    /// Greatest value of an integer.
    max: Option<Number<{ i64::MIN }, { i64::MAX }>>,
    /// The values of a choice.
    choices: Option<List<String>>,
    /// Whether `/registration` requires it; `false` unless set.
    required: Option<Flag>,
    /// Who may set it: `user` (unless set), or only the `server`.
    writer: Option<WrittenBy>,
    /// Whether `/me` shows it; `true` unless set.
    returned: Option<Flag>,
    /// What the field is for, in the OpenAPI document and on the built-in page of invitations.
    description: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Type {
    Text,
    Integer,
    Boolean,
    Choice,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum WrittenBy {
    User,
    Server,
}

impl Declaration {
    fn field(self, name: &str) -> Result<Field, String> {
        let Self { r#type, max_length, min, max, choices, required, writer, returned, description } = self;
        let (about, mut field) =
            match r#type.ok_or("needs a `type`: `text`, `integer`, `boolean` or `choice`")? {
                Type::Text => ("a text", Field::text(name, max_length.map_or(255, Written::read))),
                Type::Integer => {
                    let bounds = (min.map_or(i64::MIN, Written::read), max.map_or(i64::MAX, Written::read));
                    ("an integer", Field::integer(name).between(bounds.0, bounds.1))
                }
                Type::Boolean => ("a boolean", Field::boolean(name)),
                Type::Choice => {
                    let choices = choices.as_ref().filter(|List(choices)| !choices.is_empty());
                    ("a choice", Field::choice(name, choices.ok_or("needs `choices`")?.0.clone()))
                }
            };
        let members = [
            ("max_length", max_length.is_some(), "a text"),
            ("min", min.is_some(), "an integer"),
            ("max", max.is_some(), "an integer"),
            ("choices", choices.is_some(), "a choice"),
        ];
        if let Some((member, ..)) = members.iter().find(|(_, is_set, of)| *is_set && *of != about) {
            return Err(format!("is {about} and has no `{member}`"));
        }
        field.required = required.is_some_and(Written::read);
        field.returned = returned.is_none_or(Written::read);
        field.writer = match writer {
            None | Some(WrittenBy::User) => Writer::User,
            Some(WrittenBy::Server) => Writer::Server,
        };
        field.description = description;
        Ok(field)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Fields, A::Error> {
        let mut declared = Vec::new();
        while let Some(name) = fields.next_key::<String>()? {
            declared.push(fields.next_value_seed(Named(&name))?);
        }
        Ok(Fields(declared))
    }
}

/// The declaration of the field of this name.
struct Named<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field, D::Error> {
        Declaration::deserialize(deserializer)?.field(self.0).map_err(D::Error::custom)
    }
}
