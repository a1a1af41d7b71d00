//! A user, as stored and as created.

use crate::identity::{EmailAddress, Username};
use crate::locale::Locale;
use crate::password::PasswordHash;
use crate::time::Timestamp;
use serde_json::{Map, Value};
use std::fmt;

/// Maximum bytes of a user's `metadata` as JSON text: 16 KiB.
pub const METADATA_MAX_BYTES: usize = 16 * 1024;

/// The number of a user. Assigned by the database, never used again, even after the user is deleted, because
/// a token names its user by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UserId(pub i64);

impl UserId {
    /// The highest id: 2^53 - 1, the highest integer that every JSON parser reads exactly.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The user who is created by the write that an event goes with, in [`Effects`](crate::audit::Effects).
    /// No user has it.
    pub const NEW: Self = Self(0);
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A user, as stored: one row of the table `users`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct User {
    /// The primary key.
    pub id: UserId,
    /// The name shown to people; unique in its folded form.
    pub username: Username,
    /// The email address, with which the user logs in (Django's `USERNAME_FIELD`); unique, ignoring case.
    pub email: EmailAddress,
    /// The encoded hash, or an unusable one.
    pub password: PasswordHash,
    /// False: no login, and every token is refused.
    pub is_active: bool,
    /// May use the administration.
    pub is_staff: bool,
    /// Has every permission.
    pub is_superuser: bool,
    /// When the account was created.
    pub date_joined: Timestamp,
    /// The last login, if there was one. Registration is not a login.
    pub last_login: Option<Timestamp>,
    /// The application's own JSON object, at most [`METADATA_MAX_BYTES`].
    pub metadata: Map<String, Value>,
    /// The password was trimmed before it was hashed, as by Django REST framework's `CharField` (an imported
    /// account): such an account accepts the password with or without surrounding whitespace.
    pub password_trimmed: bool,
    /// Tokens without a session that were issued in the second of this instant or before are refused, and so
    /// are those without an `iat`.
    pub tokens_valid_after: Option<Timestamp>,
    /// The generation of live sessions: those that were opened under this number. The number rises when all
    /// of them end, and never falls.
    pub sessions_generation: i64,
    /// When it was last proved that the user receives mail under [`email`](Self::email), if it was.
    pub email_verified_at: Option<Timestamp>,
    /// The language of the user's mails; `None`: the service's.
    pub locale: Option<Locale>,
    /// A new password must be chosen at the next login.
    pub must_change_password: bool,
    /// When the account will be deleted, if its user wants that. Until then a login can only keep it.
    pub deletion_at: Option<Timestamp>,
    /// Whether the user has a confirmed [factor](crate::factor): every session needs it.
    pub has_factor: bool,
}

impl User {
    /// An active user without rights, `metadata` or a login so far, whose password was not trimmed and whose
    /// address was not proved.
    pub fn new(
        id: UserId,
        username: Username,
        email: EmailAddress,
        password: PasswordHash,
        date_joined: Timestamp,
    ) -> Self {
        Self {
            id,
            username,
            email,
            password,
            is_active: true,
            is_staff: false,
            is_superuser: false,
            date_joined,
            last_login: None,
            metadata: Map::new(),
            password_trimmed: false,
            tokens_valid_after: None,
            sessions_generation: 0,
            email_verified_at: None,
            locale: None,
            must_change_password: false,
            deletion_at: None,
            has_factor: false,
        }
    }
}

/// A user to be created; the database gives the id.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// See [`User::username`].
    pub username: Username,
    /// See [`User::email`].
    pub email: EmailAddress,
    /// See [`User::password`].
    pub password: PasswordHash,
    /// See [`User::is_active`].
    pub is_active: bool,
    /// See [`User::is_staff`].
    pub is_staff: bool,
    /// See [`User::is_superuser`].
    pub is_superuser: bool,
    /// See [`User::date_joined`].
    pub date_joined: Timestamp,
    /// See [`User::metadata`].
    pub metadata: Map<String, Value>,
    /// See [`User::email_verified_at`].
    pub email_verified_at: Option<Timestamp>,
    /// See [`User::locale`].
    pub locale: Option<Locale>,
}

/// What to change of a user; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    /// The new username.
    pub username: Option<Username>,
    /// The new email address.
    pub email: Option<EmailAddress>,
    /// Activates or deactivates the account. Deactivation ends every session of the user, by a trigger, also
    /// when it is done by SQL.
    pub is_active: Option<bool>,
    /// Grants or revokes access to the administration.
    pub is_staff: Option<bool>,
    /// Grants or revokes superuser status.
    pub is_superuser: Option<bool>,
    /// The address was proved at this instant.
    pub email_verified_at: Option<Timestamp>,
    /// The new language of mails.
    pub locale: Option<Locale>,
    /// Whether a new password must be chosen at the next login.
    pub must_change_password: Option<bool>,
    /// When the account is to be deleted; `Some(None)`: it stays.
    pub deletion_at: Option<Option<Timestamp>>,
    /// Members to set at the top level of `metadata`; a `null` removes the member. Other members stay.
    pub metadata: Map<String, Value>,
}

/// A user with groups and permissions, read in one snapshot: everything that `GET /me` shows and that a
/// permission check needs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Account {
    /// The user.
    pub user: User,
    /// The names of the user's groups, sorted.
    pub groups: Vec<String>,
    /// Every permission (`app_label.codename`) that the user has: direct, through groups, or, for an active
    /// superuser, all there are. Sorted, without repetition; empty for an inactive user, as in Django.
    pub permissions: Vec<String>,
}

impl Account {
    /// The user with these groups and permissions; both must be sorted.
    pub fn new(user: User, groups: Vec<String>, permissions: Vec<String>) -> Self {
        Self { user, groups, permissions }
    }

    /// Django's `has_perm`: an active superuser has every permission, even one that was never declared; an
    /// inactive user has none.
    pub fn has_perm(&self, permission: &str) -> bool {
        self.user.is_active
            && (self.user.is_superuser
                || self.permissions.binary_search_by(|p| p.as_str().cmp(permission)).is_ok())
    }

    /// Django's `has_perms`: whether the user has each of them.
    pub fn has_perms<'a>(&self, permissions: impl IntoIterator<Item = &'a str>) -> bool {
        permissions.into_iter().all(|p| self.has_perm(p))
    }

    /// Django's `has_module_perms`: whether the user has any permission of this app label.
    pub fn has_module_perms(&self, app_label: &str) -> bool {
        self.user.is_active
            && (self.user.is_superuser
                || self
                    .permissions
                    .iter()
                    .any(|p| p.strip_prefix(app_label).is_some_and(|rest| rest.starts_with('.'))))
    }
}
