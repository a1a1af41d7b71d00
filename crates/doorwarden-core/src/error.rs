//! What is wrong with an input, field by field.

use std::borrow::Cow;
use std::fmt;

/// The key under which complaints stand that belong to no single field, as in Django REST framework.
pub const NON_FIELD_ERRORS: &str = "non_field_errors";

/// One complaint: a stable code for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Stable, in snake case: `required`, `null`, `blank`, `invalid`, `max_length`, `unique`,
    /// `password_too_common`, ...
    pub code: Cow<'static, str>,
    /// What is wrong, in the words of Django or Django REST framework where they have some.
    pub text: Cow<'static, str>,
}

impl FieldError {
    /// A complaint.
    pub fn new(code: impl Into<Cow<'static, str>>, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.into(), text: text.into() }
    }

    /// The field is missing.
    pub fn required() -> Self {
        Self::new("required", "This field is required.")
    }

    /// The field is `null`.
    pub fn null() -> Self {
        Self::new("null", "This field may not be null.")
    }

    /// The field is empty.
    pub fn blank() -> Self {
        Self::new("blank", "This field may not be blank.")
    }

    /// The field is of a type that has no text.
    pub fn not_a_string() -> Self {
        Self::new("invalid", "Not a valid string.")
    }

    /// The text contains U+0000, which no database column and no form should hold.
    pub fn null_characters() -> Self {
        Self::new("null_characters_not_allowed", "Null characters are not allowed.")
    }

    /// The text is longer than it may be.
    pub fn max_length(max: usize) -> Self {
        Self::new("max_length", format!("Ensure this field has no more than {max} characters."))
    }

    /// Another user has this value.
    pub fn taken(field: &str) -> Self {
        Self::new("unique", format!("user with this {field} already exists."))
    }
}

/// Complaints by field, in the order in which the fields were checked. Never empty where a function returns
/// it as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldErrors(Vec<(Cow<'static, str>, Vec<FieldError>)>);

impl FieldErrors {
    /// No complaints yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One complaint about one field.
    pub fn one(field: impl Into<Cow<'static, str>>, error: FieldError) -> Self {
        let mut errors = Self::new();
        errors.add(field, [error]);
        errors
    }

    /// Adds complaints about a field.
    pub fn add(&mut self, field: impl Into<Cow<'static, str>>, errors: impl IntoIterator<Item = FieldError>) {
        let field = field.into();
        let mut errors = errors.into_iter().peekable();
        if errors.peek().is_none() {
            return;
        }
        match self.0.iter_mut().find(|(f, _)| *f == field) {
            Some((_, list)) => list.extend(errors),
            None => self.0.push((field, errors.collect())),
        }
    }

    /// Whether there is any complaint about `field`.
    pub fn has(&self, field: &str) -> bool {
        self.0.iter().any(|(f, _)| f == field)
    }

    /// Whether there is no complaint at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fields and their complaints.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[FieldError])> {
        self.0.iter().map(|(field, errors)| (field.as_ref(), errors.as_slice()))
    }
}

/// Every complaint with its field: `email: Enter a valid email address.`
impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut complaints = self.0.iter().flat_map(|(field, list)| list.iter().map(move |one| (field, one)));
        if let Some((field, one)) = complaints.next() {
            write!(f, "{field}: {}", one.text)?;
        }
        complaints.try_for_each(|(field, one)| write!(f, "; {field}: {}", one.text))
    }
}

/// A field of a request as it arrived, before any rule was applied.
#[derive(Debug, Clone, Default)]
pub enum Input<T> {
    /// The field was missing.
    #[default]
    Missing,
    /// The field was `null`.
    Null,
    /// The field was of a type that has no text (a list, an object, a boolean).
    NotText,
    /// The field was given.
    Given(T),
}

impl<T> Input<T> {
    /// The value, or the complaint that there is none.
    pub fn required(self) -> Result<T, FieldError> {
        match self {
            Self::Missing => Err(FieldError::required()),
            Self::Null => Err(FieldError::null()),
            Self::NotText => Err(FieldError::not_a_string()),
            Self::Given(value) => Ok(value),
        }
    }

    /// The value, `None` if it was missing, or the complaint.
    pub fn optional(self) -> Result<Option<T>, FieldError> {
        match self {
            Self::Missing => Ok(None),
            other => other.required().map(Some),
        }
    }
}
