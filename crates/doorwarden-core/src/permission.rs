//! Permissions and groups, as in Django's `PermissionsMixin`.

use std::fmt;
use std::str::FromStr;

/// The name of a permission: `app_label.codename`, each part 1 to 100 letters, digits, `_` or `-`, as Django
/// writes them (`blog.add_post`).
///
/// ```
/// use doorwarden_core::permission::PermissionName;
/// assert!("blog.add_post".parse::<PermissionName>().is_ok());
/// assert!("add_post".parse::<PermissionName>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermissionName(String);

/// The text is not `app_label.codename`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a permission is named `app_label.codename`, such as `blog.add_post`: two parts of 1 to 100 letters, digits, `_` or `-`"
)]
pub struct PermissionNameError;

impl PermissionName {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the dot.
    pub fn app_label(&self) -> &str {
        self.0.split_once('.').map_or("", |(app, _)| app)
    }

    /// The part after the dot.
    pub fn codename(&self) -> &str {
        self.0.split_once('.').map_or("", |(_, codename)| codename)
    }
}

impl FromStr for PermissionName {
    type Err = PermissionNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let part = |p: &str| {
            (1..=100).contains(&p.chars().count())
                && p.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
        };
        match text.split_once('.') {
            Some((app, codename)) if part(app) && part(codename) => Ok(Self(text.to_owned())),
            _ => Err(PermissionNameError),
        }
    }
}

impl fmt::Display for PermissionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A permission that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// `app_label.codename`, unique.
    pub name: PermissionName,
    /// The label: "Can add post".
    pub label: String,
}

/// A group of users and the permissions it gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The unique name, at most [`NAME_MAX_CHARS`](Self::NAME_MAX_CHARS).
    pub name: String,
    /// `app_label.codename` of each of its permissions, sorted.
    pub permissions: Vec<String>,
    /// Number of members.
    pub members: u64,
}

impl Group {
    /// Maximum characters of a name, as in Django.
    pub const NAME_MAX_CHARS: usize = 150;
}
