use super::domain::{is_address_literal, is_host_name, is_unambiguous, to_ascii};
use super::fold::lower_case;
use super::text::python_strip;
use crate::error::FieldError;
use std::fmt;
use std::str::FromStr;

/// The most characters that Django's `EmailValidator` looks at (RFC 3696, section 3).
const VALIDATOR_MAX: usize = 320;

/// An email address: the part before the last `@` as typed, the domain in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// The most characters: those of Django's `EmailField`, and of a path in SMTP (RFC 3696, erratum 1690).
    pub const MAX_CHARS: usize = 254;

    /// The address that a person typed, without outer white space, or all complaints in the order of Django
    /// REST framework.
    ///
    /// The syntax is that of `EmailValidator` of Django 5.2, quoted local parts, literals in brackets and
    /// `localhost` included, with these exceptions, all for addresses that mail systems deliver in different
    /// ways or not at all:
    ///
    /// - the part before the `@` is ASCII (Django takes `ı`, `İ`, `ſ` and the Kelvin sign for Latin letters),
    ///   and its only control character is a tab in quotes;
    /// - the domain has no invisible or unassigned character, nothing that is mapped to a dot or a space, and
    ///   none of `ß`, `ς` and the joiners, on which the two generations of IDNA disagree (its `xn--` form is
    ///   accepted);
    /// - a label that begins with `xn--` is the Punycode of something, and what is beyond ASCII fits into DNS
    ///   as such.
    ///
    /// ```
    /// use doorwarden_core::identity::{EmailAddress, EmailError};
    ///
    /// let address = EmailAddress::check(" Jane.Doe@EXAMPLE.org\n").unwrap();
    /// assert_eq!(address.as_str(), "Jane.Doe@example.org");
    /// assert_eq!(EmailAddress::check("jane@example"), Err(vec![EmailError::Invalid]));
    /// ```
    pub fn check(raw: &str) -> Result<Self, Vec<EmailError>> {
        let typed = python_strip(raw);
        if typed.is_empty() {
            return Err(vec![EmailError::Blank]);
        }
        let stored = with_domain_in_lower_case(typed);
        let length = stored.chars().count();
        let mut errors = Vec::new();
        if length > Self::MAX_CHARS {
            errors.push(EmailError::TooLong);
        }
        if length > VALIDATOR_MAX || !has_valid_syntax(typed) {
            errors.push(EmailError::Invalid);
        }
        if errors.is_empty() { Ok(Self(stored)) } else { Err(errors) }
    }

    /// An address that is stored already: no rule is applied.
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part behind the last `@`.
    pub fn domain(&self) -> Domain {
        let key = self.key().0;
        Domain(key.rsplit_once('@').map_or("", |(_, domain)| domain).to_owned())
    }

    /// The form in which it is unique.
    pub fn key(&self) -> EmailKey {
        EmailKey::of(&self.0)
    }
}

/// Like [`EmailAddress::check`], with the first complaint only.
impl FromStr for EmailAddress {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        Self::check(text).map_err(|errors| errors[0])
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The domain of email addresses, in the form in which it is compared: in ASCII (`xn--…`) and lower case.
///
/// ```
/// use doorwarden_core::identity::{Domain, EmailAddress};
///
/// let domain: Domain = "Bücher.example".parse()?;
/// assert_eq!(domain.as_str(), "xn--bcher-kva.example");
/// let shop: EmailAddress = "jane@shop.xn--bcher-kva.example".parse()?;
/// assert!(shop.domain().is_below(&domain) && shop.domain() != domain);
/// assert!("@example.org".parse::<Domain>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Domain(String);

impl Domain {
    /// The domain as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a subdomain of this one, however deep.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_suffix(&other.0).is_some_and(|rest| rest.ends_with('.'))
    }
}

/// What [`EmailAddress::check`] accepts behind the `@`.
impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        let is_bare = !text.contains(['@', '"']) && text == python_strip(text);
        let address = is_bare.then(|| EmailAddress::check(&format!("a@{text}")).ok()).flatten();
        address.map(|address| address.domain()).ok_or_else(|| DomainError(text.to_owned()))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// No email address has this domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a domain of email addresses")]
pub struct DomainError(String);

/// The form of an email address in which it is unique and looked up.
///
/// Case is ignored in the local part too: no common mail system distinguishes `Jane@` from `jane@`. The
/// domain is in its ASCII form, so that a name in Unicode and its `xn--` form are one. ASCII addresses are in
/// ASCII lower case, and an address whose local part is not ASCII never has the key of one whose local part
/// is.
///
/// Not folded: tags (`jane+shop@`), dots, quotes around a local part, and spellings of an IPv6 literal.
/// Whoever owns one of those addresses owns the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmailKey(String);

impl EmailKey {
    /// The key of an address as typed or stored; never fails.
    ///
    /// ```
    /// use doorwarden_core::identity::EmailKey;
    ///
    /// assert_eq!(EmailKey::of("Jane@Example.ORG").as_str(), "jane@example.org");
    /// assert_eq!(EmailKey::of("jane@bücher.example"), EmailKey::of("jane@xn--bcher-kva.example"));
    /// ```
    pub fn of(address: &str) -> Self {
        if address.is_ascii() {
            return Self(address.to_ascii_lowercase());
        }
        let Some((local, domain)) = address.rsplit_once('@') else { return Self(lower_case(address)) };
        let domain = to_ascii(domain).unwrap_or_else(|| lower_case(domain));
        Self(format!("{}@{domain}", lower_case(local)))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why an email address is not valid, with the texts of Django REST framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmailError {
    /// The address is empty or whitespace.
    #[error("This field may not be blank.")]
    Blank,
    /// It has more than [`EmailAddress::MAX_CHARS`] characters.
    #[error("Ensure this field has no more than {} characters.", EmailAddress::MAX_CHARS)]
    TooLong,
    /// The text is not a valid email address; a NUL makes it not valid, without a separate complaint.
    #[error("Enter a valid email address.")]
    Invalid,
}

impl EmailError {
    /// The code for programs: `blank`, `max_length` or `invalid`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::TooLong => "max_length",
            Self::Invalid => "invalid",
        }
    }
}

impl From<EmailError> for FieldError {
    fn from(error: EmailError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

fn with_domain_in_lower_case(typed: &str) -> String {
    match typed.rsplit_once('@') {
        Some((local, domain)) => format!("{local}@{}", in_lower_case(domain)),
        None => typed.to_owned(),
    }
}

/// Letter by letter: a capital sigma becomes the one that mail systems map it to, not the final form.
fn in_lower_case(domain: &str) -> String {
    domain.chars().flat_map(char::to_lowercase).collect()
}

fn has_valid_syntax(typed: &str) -> bool {
    let Some((local, domain)) = typed.rsplit_once('@') else { return false };
    let lower = in_lower_case(domain);
    (is_dot_atom(local) || is_quoted_string(local))
        && (domain == "localhost"
            || is_address_literal(domain)
            || is_host_name(&lower) && is_unambiguous(&lower))
}

fn is_dot_atom(local: &str) -> bool {
    let is_atom_byte = |b: u8| b.is_ascii_alphanumeric() || b"-!#$%&'*+/=?^_`{}|~".contains(&b);
    local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atom_byte))
}

fn is_quoted_string(local: &str) -> bool {
    let Some(inner) = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return false };
    let mut bytes = inner.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'\\' => matches!(bytes.next(), Some(b'\t' | b' '..=b'~')),
            b'"' => false,
            _ => byte.is_ascii_graphic(),
        };
        if !fits {
            return false;
        }
    }
    true
}
