//! E-mail addresses and user names: what is accepted, and in which folded form they are unique.

/// The form of an e-mail address in which it is unique and looked up, without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmailKey(String);

impl EmailKey {
    /// The key of an address as typed or stored; never fails.
    pub fn of(address: &str) -> Self {
        Self(address.to_lowercase())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The form of a user name in which it is unique and looked up: compatibility-folded and case-folded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UsernameKey(String);

impl UsernameKey {
    /// The key of a name as typed or stored; never fails.
    pub fn of(name: &str) -> Self {
        Self(name.to_lowercase())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An e-mail address as stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EmailAddress(String);

impl EmailAddress {
    /// An address that is stored already: no rule is applied.
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form in which it is unique.
    pub fn key(&self) -> EmailKey {
        EmailKey::of(&self.0)
    }
}

/// A user name as stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Username(String);

impl Username {
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
