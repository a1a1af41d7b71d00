//! Fields that an application adds to registration and profile: declared once, validated, stored in
//! `metadata`, documented in the OpenAPI document.

use crate::error::{FieldError, FieldErrors, Input};
use serde_json::{Map, Number, Value};

/// A declared field, stored as the member of this name of the user's `metadata`.
///
/// ```
/// use doorwarden_core::field::Field;
/// let fields = [
///     Field::text("display_name", 80).required(),
///     Field::boolean("newsletter"),
///     Field::choice("plan", ["free", "team"]).server_only(),
/// ];
/// # let _ = fields;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The name in requests, responses and `metadata`.
    pub name: String,
    /// The kind of value.
    pub kind: FieldKind,
    /// Whether the field is required at registration.
    pub required: bool,
    /// Who may write the field.
    pub writer: Writer,
    /// Whether `GET /me` returns the field.
    pub returned: bool,
    /// The description in the OpenAPI document, and the label on the built-in page of invitations.
    pub description: Option<String>,
}

/// What a field may hold.
#[derive(Debug, Clone, PartialEq)]
pub enum FieldKind {
    /// Trimmed text of limited length; not empty.
    Text {
        /// Maximum number of characters.
        max_length: usize,
    },
    /// A whole number.
    Integer {
        /// The minimum.
        min: i64,
        /// The maximum.
        max: i64,
    },
    /// True or false.
    Boolean,
    /// One of these texts.
    Choice(Vec<String>),
}

/// Who may write a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// The user, at registration and with `PATCH /me`.
    User,
    /// Only the application's own code.
    Server,
}

/// A value of a request before any rule was applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Raw {
    /// From a JSON body.
    Json(Value),
    /// From a form, where everything is text.
    Text(String),
}

impl Field {
    /// Text of at most `max_length` characters.
    pub fn text(name: impl Into<String>, max_length: usize) -> Self {
        Self::new(name, FieldKind::Text { max_length })
    }

    /// A whole number of 64 bits; narrow it with [`between`](Self::between).
    pub fn integer(name: impl Into<String>) -> Self {
        Self::new(name, FieldKind::Integer { min: i64::MIN, max: i64::MAX })
    }

    /// True or false.
    pub fn boolean(name: impl Into<String>) -> Self {
        Self::new(name, FieldKind::Boolean)
    }

    /// One of these texts.
    pub fn choice(name: impl Into<String>, of: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::new(name, FieldKind::Choice(of.into_iter().map(Into::into).collect()))
    }

    fn new(name: impl Into<String>, kind: FieldKind) -> Self {
        Self {
            name: name.into(),
            kind,
            required: false,
            writer: Writer::User,
            returned: true,
            description: None,
        }
    }

    /// Makes the field required at registration.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Bounds of a whole number, both included. No effect on other kinds.
    #[must_use]
    pub fn between(mut self, least: i64, greatest: i64) -> Self {
        if let FieldKind::Integer { min, max } = &mut self.kind {
            (*min, *max) = (least, greatest);
        }
        self
    }

    /// Only the application's own code may write the field.
    #[must_use]
    pub fn server_only(mut self) -> Self {
        self.writer = Writer::Server;
        self
    }

    /// `GET /me` does not return the field.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.returned = false;
        self
    }

    /// The description in the OpenAPI document, and the label on the built-in page of invitations.
    #[must_use]
    pub fn describe(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The value to store, or the complaint in Django REST framework's words. `null` is allowed unless the
    /// field is required.
    pub fn check(&self, raw: Raw) -> Result<Value, FieldError> {
        match (&self.kind, raw) {
            (_, Raw::Json(Value::Null)) if self.required => Err(FieldError::null()),
            (_, Raw::Json(Value::Null)) => Ok(Value::Null),
            (FieldKind::Text { max_length }, raw) => text(raw, self.required).and_then(|t| {
                if t.chars().count() > *max_length {
                    Err(FieldError::max_length(*max_length))
                } else {
                    Ok(t.into())
                }
            }),
            (FieldKind::Integer { min, max }, raw) => integer(&raw, *min, *max),
            (FieldKind::Boolean, raw) => boolean(&raw),
            (FieldKind::Choice(of), raw) => {
                let chosen = text(raw, true)?;
                if of.contains(&chosen) {
                    return Ok(chosen.into());
                }
                Err(FieldError::new("invalid_choice", format!("\"{chosen}\" is not a valid choice.")))
            }
        }
    }
}

fn text(raw: Raw, required: bool) -> Result<String, FieldError> {
    let text = match raw {
        Raw::Text(text) | Raw::Json(Value::String(text)) => text,
        Raw::Json(Value::Number(number)) => number.to_string(),
        Raw::Json(_) => return Err(FieldError::not_a_string()),
    };
    if text.contains('\0') {
        return Err(FieldError::null_characters());
    }
    let text = crate::identity::text::python_strip(&text);
    if text.is_empty() && required {
        return Err(FieldError::blank());
    }
    Ok(text.to_owned())
}

fn integer(raw: &Raw, min: i64, max: i64) -> Result<Value, FieldError> {
    let number = match raw {
        Raw::Text(text) | Raw::Json(Value::String(text)) => text.trim().parse().ok(),
        Raw::Json(Value::Number(number)) => number.as_i64(),
        Raw::Json(_) => None,
    };
    let number = number.ok_or_else(|| FieldError::new("invalid", "A valid integer is required."))?;
    if number < min {
        let text = format!("Ensure this value is greater than or equal to {min}.");
        return Err(FieldError::new("min_value", text));
    }
    if number > max {
        let text = format!("Ensure this value is less than or equal to {max}.");
        return Err(FieldError::new("max_value", text));
    }
    Ok(Value::Number(Number::from(number)))
}

fn boolean(raw: &Raw) -> Result<Value, FieldError> {
    match raw {
        Raw::Json(Value::Bool(value)) => Ok(Value::Bool(*value)),
        Raw::Text(text) | Raw::Json(Value::String(text)) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "on" | "yes" | "t" | "y" => Ok(Value::Bool(true)),
            "false" | "0" | "off" | "no" | "f" | "n" => Ok(Value::Bool(false)),
            _ => Err(FieldError::new("invalid", "Must be a valid boolean.")),
        },
        Raw::Json(Value::Number(number)) if number.as_i64() == Some(0) => Ok(Value::Bool(false)),
        Raw::Json(Value::Number(number)) if number.as_i64() == Some(1) => Ok(Value::Bool(true)),
        Raw::Json(_) => Err(FieldError::new("invalid", "Must be a valid boolean.")),
    }
}

/// The declared fields, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields(Vec<Field>);

/// A field was declared under a name that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the field name `{0}` is reserved, declared twice, or not 1 to 64 characters of a-z, 0-9 and _")]
pub struct FieldNameError(pub String);

/// Names that requests and responses use themselves.
const RESERVED: [&str; 21] = [
    "id",
    "username",
    "email",
    "password",
    "is_active",
    "is_staff",
    "is_superuser",
    "date_joined",
    "last_login",
    "metadata",
    "groups",
    "permissions",
    "token",
    "non_field_errors",
    "detail",
    "current_password",
    "new_password",
    "access",
    "acr",
    "amr",
    "auth_time",
];

impl Fields {
    /// Declares fields.
    ///
    /// # Errors
    /// If a name is reserved, declared twice, or not 1 to 64 of `a-z`, `0-9` and `_`.
    pub fn new(fields: Vec<Field>) -> Result<Self, FieldNameError> {
        for (index, field) in fields.iter().enumerate() {
            let name = field.name.as_str();
            let shape = (1..=64).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if !shape || RESERVED.contains(&name) || fields[..index].iter().any(|f| f.name == name) {
                return Err(FieldNameError(field.name.clone()));
            }
        }
        Ok(Self(fields))
    }

    /// The fields.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }

    /// Takes from a request what the user may write. What is not declared, or is the server's, is ignored, as
    /// Django REST framework ignores what a serializer does not name. `creating`: required fields must be
    /// given.
    pub fn read(
        &self,
        mut given: impl FnMut(&str) -> Input<Raw>,
        creating: bool,
        errors: &mut FieldErrors,
    ) -> Map<String, Value> {
        let mut metadata = Map::new();
        for field in self.0.iter().filter(|f| f.writer == Writer::User) {
            let raw = match given(&field.name) {
                Input::Missing if creating && field.required => {
                    errors.add(field.name.clone(), [FieldError::required()]);
                    continue;
                }
                Input::Missing => continue,
                Input::Null => Raw::Json(Value::Null),
                Input::NotText => Raw::Json(Value::Array(Vec::new())),
                Input::Given(raw) => raw,
            };
            match field.check(raw) {
                Ok(value) => drop(metadata.insert(field.name.clone(), value)),
                Err(error) => errors.add(field.name.clone(), [error]),
            }
        }
        metadata
    }

    /// What `GET /me` shows of a user's metadata: every returned field, `null` where nothing is stored.
    pub fn shown<'a>(
        &'a self,
        metadata: &'a Map<String, Value>,
    ) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.0
            .iter()
            .filter(|f| f.returned)
            .map(|f| (f.name.as_str(), metadata.get(&f.name).unwrap_or(&Value::Null)))
    }
}
