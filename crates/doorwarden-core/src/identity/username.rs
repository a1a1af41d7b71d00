use super::fold::{compatibility_fold, is_default_ignorable};
use super::spelling::is_seen;
use super::text::python_strip;
use crate::error::FieldError;
use std::fmt;
use std::str::FromStr;
use unicode_normalization::UnicodeNormalization as _;

/// A username, in Unicode's normalization form C.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Username(String);

impl Username {
    /// Maximum number of characters.
    pub const MAX_CHARS: usize = 255;

    /// The name that a person typed, without outer white space, or all complaints in the order of Django REST
    /// framework.
    ///
    /// Every character that a reader sees is accepted, as is whitespace within: letters of all scripts, `@`,
    /// emoji. Joiners (U+200C, U+200D) and variation selectors are accepted where scripts and emoji use them,
    /// as in `ප්‍රසාද්`. Other control, invisible (zero-width, bidirectional, fillers), private-use and
    /// unassigned characters are not, because two names that look the same must not be two people; the
    /// [key](UsernameKey) has no invisible ones at all.
    ///
    /// ```
    /// use doorwarden_core::identity::{Username, UsernameError};
    ///
    /// assert_eq!(Username::check("  Jane Doe 🦀 ").unwrap().as_str(), "Jane Doe 🦀");
    /// assert_eq!(Username::check("jane\u{200b}doe"), Err(vec![UsernameError::Invisible]));
    /// ```
    pub fn check(raw: &str) -> Result<Self, Vec<UsernameError>> {
        let stored: String = python_strip(raw).nfc().collect();
        if stored.is_empty() {
            return Err(vec![UsernameError::Blank]);
        }
        let mut errors = Vec::new();
        if stored.chars().nth(Self::MAX_CHARS).is_some() {
            errors.push(UsernameError::TooLong);
        }
        if stored.contains('\0') {
            errors.push(UsernameError::Null);
        }
        if !is_seen(&stored.replace('\0', "")) {
            errors.push(UsernameError::Invisible);
        }
        if errors.is_empty() { Ok(Self(stored)) } else { Err(errors) }
    }

    /// A name that is stored already: no rule is applied.
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which it is unique.
    pub fn key(&self) -> UsernameKey {
        UsernameKey::of(&self.0)
    }
}

/// Like [`Username::check`], with the first complaint only.
impl FromStr for Username {
    type Err = UsernameError;

    fn from_str(text: &str) -> Result<Self, UsernameError> {
        Self::check(text).map_err(|errors| errors[0])
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The form of a username in which it is unique and looked up: compatibility-folded and case-folded, without
/// invisible characters (Unicode's `toNFKC_Casefold`, with Cherokee in lower case). ASCII names are in ASCII
/// lower case.
///
/// Letters of different scripts that look alike, such as Latin and Cyrillic `a`, stay different.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UsernameKey(String);

impl UsernameKey {
    /// The key of a name as typed or stored; never fails.
    ///
    /// ```
    /// use doorwarden_core::identity::UsernameKey;
    ///
    /// assert_eq!(UsernameKey::of("Ｇroß").as_str(), "gross");
    /// ```
    pub fn of(name: &str) -> Self {
        if name.is_ascii() {
            return Self(name.to_ascii_lowercase());
        }
        let visible: String = name.chars().filter(|c| !is_default_ignorable(*c)).collect();
        Self(compatibility_fold(&visible))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a username is not valid, with the texts of Django and Django REST framework where they exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UsernameError {
    /// The username is empty or whitespace.
    #[error("This field may not be blank.")]
    Blank,
    /// It has more than [`Username::MAX_CHARS`] characters.
    #[error("Ensure this field has no more than {} characters.", Username::MAX_CHARS)]
    TooLong,
    /// It has a NUL.
    #[error("Null characters are not allowed.")]
    Null,
    /// It has another character that cannot be seen.
    #[error("Control, invisible and unassigned characters are not allowed.")]
    Invisible,
}

impl UsernameError {
    /// The code for programs: `blank`, `max_length`, `null_characters_not_allowed` or `invalid`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::TooLong => "max_length",
            Self::Null => "null_characters_not_allowed",
            Self::Invisible => "invalid",
        }
    }
}

impl From<UsernameError> for FieldError {
    fn from(error: UsernameError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}
