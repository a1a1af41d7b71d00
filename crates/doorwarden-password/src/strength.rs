//! Rules for new passwords: Django's four validators, with Django's messages, a maximum length, and no
//! password that is known from a breach.
//!
//! No rule asks for kinds of characters (NIST SP 800-63B forbids such rules), and nothing is normalised.

mod common;
mod numeric;
mod similarity;

use crate::breached::LeakedPasswords;
use crate::secret::Password;

/// The rules for new passwords. The default has all of Django's validators on, lengths of 8 to 128, and
/// refuses the leaked passwords that are in the program.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PasswordPolicy {
    /// The minimum number of characters (code points).
    pub min_length: usize,
    /// The maximum number of characters (code points).
    pub max_length: usize,
    /// Refuse passwords that resemble the user's own data (`UserAttributeSimilarityValidator`).
    pub similarity: bool,
    /// Refuse the 19,640 most common passwords (`CommonPasswordValidator`).
    pub common: bool,
    /// Refuse passwords that consist of digits (`NumericPasswordValidator`).
    pub numeric: bool,
    /// The similarity from which a password is refused, from 0.1 to 1 (equal characters in any order).
    pub max_similarity: f64,
    /// Refuse passwords that were leaked.
    pub leaked: bool,
    /// Which passwords were leaked. Passwords are compared exactly.
    pub leaked_passwords: LeakedPasswords,
}

/// A rule that a password breaks. `Display` is Django's message where Django has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Weakness {
    /// The password resembles an attribute of the user.
    #[error("The password is too similar to the {attribute}.")]
    TooSimilar {
        /// The attribute, as the caller named it.
        attribute: String,
    },
    /// Too few characters.
    #[error("This password is too short. It must contain at least {min} character{}.", plural(*min))]
    TooShort {
        /// The minimum number of characters.
        min: usize,
    },
    /// Too many characters.
    #[error("This password is too long. It must contain at most {max} character{}.", plural(*max))]
    TooLong {
        /// The maximum number of characters.
        max: usize,
    },
    /// The password is among the most common ones.
    #[error("This password is too common.")]
    TooCommon,
    /// The password consists of digits.
    #[error("This password is entirely numeric.")]
    EntirelyNumeric,
    /// The password contains the character NUL, at which some programs stop reading.
    #[error("Null characters are not allowed.")]
    ContainsNul,
    /// The password is known from a breach, of this service or of any other.
    #[error("This password has appeared in a data breach. Choose another one.")]
    Leaked,
}

impl PasswordPolicy {
    /// Checks every rule, in the order of Django's validators. Whether it was leaked is looked up only of a
    /// password that breaks no other rule.
    ///
    /// `attributes` are the user's own data, as pairs of the name that messages show and the value.
    ///
    /// The length is checked first, and nothing else of a password that is too long: the work is bounded by
    /// `max_length` and the length of the attributes (CVE-2021-45115).
    ///
    /// # Errors
    /// All broken rules; at most one is about similarity, as in Django.
    pub fn check(&self, password: &Password, attributes: &[(&str, &str)]) -> Result<(), Vec<Weakness>> {
        let text = password.expose();
        if text.chars().nth(self.max_length).is_some() {
            return Err(vec![Weakness::TooLong { max: self.max_length }]);
        }
        let similar = || similarity::find(text, attributes, self.max_similarity);
        let found = [
            self.similarity
                .then(similar)
                .flatten()
                .map(|name| Weakness::TooSimilar { attribute: name.to_owned() }),
            (text.chars().count() < self.min_length).then_some(Weakness::TooShort { min: self.min_length }),
            (self.common && common::contains(text)).then_some(Weakness::TooCommon),
            (self.numeric && numeric::is_entirely_numeric(text)).then_some(Weakness::EntirelyNumeric),
            text.contains('\0').then_some(Weakness::ContainsNul),
        ];
        let mut complaints: Vec<_> = found.into_iter().flatten().collect();
        if complaints.is_empty() && self.leaked && self.leaked_passwords.contains(password) {
            complaints.push(Weakness::Leaked);
        }
        if complaints.is_empty() { Ok(()) } else { Err(complaints) }
    }
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self {
            min_length: 8,
            max_length: 128,
            similarity: true,
            common: true,
            numeric: true,
            max_similarity: 0.7,
            leaked: true,
            leaked_passwords: LeakedPasswords::default(),
        }
    }
}

impl Weakness {
    /// A stable code for programs: Django's where Django has one.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooSimilar { .. } => "password_too_similar",
            Self::TooShort { .. } => "password_too_short",
            Self::TooLong { .. } => "password_too_long",
            Self::TooCommon => "password_too_common",
            Self::EntirelyNumeric => "password_entirely_numeric",
            Self::ContainsNul => "null_characters_not_allowed",
            Self::Leaked => "password_leaked",
        }
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
