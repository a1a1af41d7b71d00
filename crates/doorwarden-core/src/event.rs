//! What happened that matters to security: one typed event for each, for the log, hooks and the [audit
//! log](crate::audit).

use crate::permission::PermissionName;
use crate::refresh::{Decision, Repeat};
use crate::session::{EndReason, Session, SessionId};
use crate::time::Timestamp;
use crate::user::{UserChange, UserId};
use serde_json::{Map, Value, json};

/// Something that matters to security happened. Holds no secret, no email address or username, and nothing
/// that a client typed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An account was created, by the user or by an operator.
    UserCreated {
        /// The new user.
        user: UserId,
    },
    /// A user logged in.
    LoggedIn {
        /// The user who logged in.
        user: UserId,
        /// The session that it opened.
        session: SessionId,
    },
    /// A session was opened without a login: after a registration or a change of the password, or by the
    /// application.
    SessionOpened {
        /// The user.
        user: UserId,
        /// The session.
        session: SessionId,
    },
    /// A login failed.
    LoginFailed {
        /// The user whose account was concerned; `None` if there is no such account.
        user: Option<UserId>,
        /// The reason.
        reason: LoginFailure,
    },
    /// A session ended before it expired.
    SessionEnded {
        /// The user.
        user: UserId,
        /// The session.
        session: SessionId,
        /// The reason.
        reason: EndReason,
    },
    /// All sessions of a user, or all but one, were ended.
    SessionsEnded {
        /// The user.
        user: UserId,
        /// Their number.
        count: u64,
        /// The reason.
        reason: EndReason,
    },
    /// All sessions of all users were ended.
    EverybodySignedOut {
        /// The number of users.
        users: u64,
        /// Their number.
        sessions: u64,
    },
    /// A refresh token came back although it was not the newest, and the newest was returned again. The cause
    /// may have been a lost response.
    RefreshRepeated {
        /// The user.
        user: UserId,
        /// The session.
        session: SessionId,
        /// What is noteworthy about it.
        sign: RepeatSign,
    },
    /// A refresh token came back that should not have: somebody has a copy. The session has ended.
    RefreshReused {
        /// The user.
        user: UserId,
        /// The session.
        session: SessionId,
    },
    /// A password was changed.
    PasswordChanged {
        /// The user.
        user: UserId,
    },
    /// Fields of an account were set, by the user or by another actor.
    UserUpdated {
        /// The user.
        user: UserId,
        /// The fields.
        fields: UpdatedFields,
    },
    /// An account was deleted.
    UserDeleted {
        /// The user.
        user: UserId,
    },
    /// A session token was exchanged for a token pair of its session.
    TokenExchanged {
        /// The user.
        user: UserId,
        /// The session.
        session: SessionId,
    },
    /// A permission was declared, or given another label.
    PermissionDeclared {
        /// The permission.
        permission: PermissionName,
    },
    /// A permission was deleted, together with every grant of it.
    PermissionDeleted {
        /// The permission.
        permission: PermissionName,
    },
    /// A permission was granted to a user.
    PermissionGranted {
        /// The user.
        user: UserId,
        /// The permission.
        permission: PermissionName,
    },
    /// A direct permission of a user was revoked.
    PermissionRevoked {
        /// The user.
        user: UserId,
        /// The permission.
        permission: PermissionName,
    },
    /// A group was created.
    GroupCreated {
        /// The name of the group.
        group: String,
    },
    /// A group was deleted, with its memberships and grants.
    GroupDeleted {
        /// The name of the group.
        group: String,
    },
    /// A permission was granted to a group.
    GroupPermissionGranted {
        /// The name of the group.
        group: String,
        /// The permission.
        permission: PermissionName,
    },
    /// A permission of a group was revoked.
    GroupPermissionRevoked {
        /// The name of the group.
        group: String,
        /// The permission.
        permission: PermissionName,
    },
    /// A user was added to a group.
    GroupMemberAdded {
        /// The user.
        user: UserId,
        /// The name of the group.
        group: String,
    },
    /// A user was removed from a group.
    GroupMemberRemoved {
        /// The user.
        user: UserId,
        /// The name of the group.
        group: String,
    },
    /// A signing key was created and announced.
    SigningKeyAdded {
        /// The `kid` of the key.
        key: String,
        /// `EdDSA`, `ES256` or `RS256`.
        algorithm: String,
        /// When the key begins to sign.
        signs_from: Timestamp,
    },
    /// The time when a signing key signs was changed.
    SigningKeyScheduled {
        /// The `kid` of the key.
        key: String,
        /// When the key begins to sign.
        signs_from: Timestamp,
        /// When the key stops signing, if its chain ends.
        signs_until: Option<Timestamp>,
    },
    /// A signing key was sealed again, under another secret key.
    SigningKeyResealed {
        /// The `kid` of the key.
        key: String,
    },
    /// A signing key was revoked.
    SigningKeyRevoked {
        /// The `kid` of the key.
        key: String,
    },
    /// Every signing key was revoked.
    SigningKeysRevoked {
        /// Their number.
        count: u64,
    },
    /// A signing key was deleted: its last token has expired.
    SigningKeyDeleted {
        /// The `kid` of the key.
        key: String,
    },
    /// Accounts of another system were imported.
    UsersImported {
        /// Their number.
        count: u64,
    },
    /// Permissions and groups of another system were imported.
    RightsImported {
        /// How many permissions.
        permissions: u64,
        /// How many groups.
        groups: u64,
    },
    /// The database was made safe to work with after it had been restored from a copy.
    Restored {
        /// How many signing keys were revoked.
        keys: u64,
        /// How many sessions were ended.
        sessions: u64,
    },
}

/// The fields of a user that were set: flags with their new value, other fields without it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UpdatedFields {
    /// The username.
    pub username: bool,
    /// The email address.
    pub email: bool,
    /// A member of `metadata`.
    pub metadata: bool,
    /// See [`UserChange::is_active`].
    pub is_active: Option<bool>,
    /// See [`UserChange::is_staff`].
    pub is_staff: Option<bool>,
    /// See [`UserChange::is_superuser`].
    pub is_superuser: Option<bool>,
}

impl UpdatedFields {
    /// The fields that a change sets.
    pub fn of(change: &UserChange) -> Self {
        Self {
            username: change.username.is_some(),
            email: change.email.is_some(),
            metadata: !change.metadata.is_empty(),
            is_active: change.is_active,
            is_staff: change.is_staff,
            is_superuser: change.is_superuser,
        }
    }

    /// Each field by its name: the new value of a flag, `"changed"` otherwise.
    fn data(self) -> Map<String, Value> {
        let typed = [("username", self.username), ("email", self.email), ("metadata", self.metadata)];
        let flags =
            [("is_active", self.is_active), ("is_staff", self.is_staff), ("is_superuser", self.is_superuser)];
        let typed = typed.into_iter().filter(|(_, set)| *set).map(|(name, _)| (name, json!("changed")));
        let flags = flags.into_iter().filter_map(|(name, set)| Some((name, json!(set?))));
        typed.chain(flags).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// What only the database knows about a change. A flow leaves it out of an event ([`UserId::NEW`], a count of
/// 0), and the store fills it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The id of the user who was created.
    User(UserId),
    /// The number of rows.
    Count(u64),
    /// How many sessions of how many users ended.
    SignedOut {
        /// Users.
        users: u64,
        /// Sessions.
        sessions: u64,
    },
    /// How many permissions and groups are new.
    Rights {
        /// Permissions.
        permissions: u64,
        /// Groups.
        groups: u64,
    },
    /// How many keys were revoked and how many sessions ended.
    Restored {
        /// Keys.
        keys: u64,
        /// Sessions.
        sessions: u64,
    },
}

/// Whether the operation succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The operation succeeded.
    Success,
    /// The operation was refused.
    Failure,
}

impl Outcome {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }

    /// The outcome that is stored as this word, if it is one.
    pub fn from_stored(word: &str) -> Option<Self> {
        [Self::Success, Self::Failure].into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// What is noteworthy about a refresh token that was repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepeatSign {
    /// The token came after the grace period, and was counted.
    Late,
    /// The token came within the grace period, but from another address network or user agent than the login.
    Elsewhere,
}

impl RepeatSign {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// Why a login failed. Logged, never returned to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginFailure {
    /// No account has this email address.
    UnknownEmail,
    /// The password is wrong.
    WrongPassword,
    /// The account is inactive.
    Inactive,
    /// The account has no password.
    UnusablePassword,
    /// The stored hash cannot be read.
    UnreadableHash,
    /// The stored hash costs more than the ceilings allow.
    ExpensiveHash,
    /// A hook refused.
    Refused,
    /// The account was changed while its password was being checked.
    Raced,
}

impl LoginFailure {
    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownEmail => "unknown_email",
            Self::WrongPassword => "wrong_password",
            Self::Inactive => "inactive",
            Self::UnusablePassword => "unusable_password",
            Self::UnreadableHash => "unreadable_hash",
            Self::ExpensiveHash => "expensive_hash",
            Self::Refused => "refused",
            Self::Raced => "raced",
        }
    }
}

impl Event {
    /// A stable name, in snake case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::UserCreated { .. } => "user_created",
            Self::LoggedIn { .. } => "logged_in",
            Self::SessionOpened { .. } => "session_opened",
            Self::LoginFailed { .. } => "login_failed",
            Self::SessionEnded { .. } => "session_ended",
            Self::SessionsEnded { .. } => "sessions_ended",
            Self::EverybodySignedOut { .. } => "everybody_signed_out",
            Self::RefreshRepeated { .. } => "refresh_repeated",
            Self::RefreshReused { .. } => "refresh_reused",
            Self::PasswordChanged { .. } => "password_changed",
            Self::UserUpdated { .. } => "user_updated",
            Self::UserDeleted { .. } => "user_deleted",
            Self::TokenExchanged { .. } => "token_exchanged",
            Self::PermissionDeclared { .. } => "permission_declared",
            Self::PermissionDeleted { .. } => "permission_deleted",
            Self::PermissionGranted { .. } => "permission_granted",
            Self::PermissionRevoked { .. } => "permission_revoked",
            Self::GroupCreated { .. } => "group_created",
            Self::GroupDeleted { .. } => "group_deleted",
            Self::GroupPermissionGranted { .. } => "group_permission_granted",
            Self::GroupPermissionRevoked { .. } => "group_permission_revoked",
            Self::GroupMemberAdded { .. } => "group_member_added",
            Self::GroupMemberRemoved { .. } => "group_member_removed",
            Self::SigningKeyAdded { .. } => "signing_key_added",
            Self::SigningKeyScheduled { .. } => "signing_key_scheduled",
            Self::SigningKeyResealed { .. } => "signing_key_resealed",
            Self::SigningKeyRevoked { .. } => "signing_key_revoked",
            Self::SigningKeysRevoked { .. } => "signing_keys_revoked",
            Self::SigningKeyDeleted { .. } => "signing_key_deleted",
            Self::UsersImported { .. } => "users_imported",
            Self::RightsImported { .. } => "rights_imported",
            Self::Restored { .. } => "restored",
        }
    }

    /// What is noteworthy about a refresh token for which this was decided, if anything.
    pub fn of_decision(decision: &Decision) -> Option<Self> {
        match decision {
            Decision::Repeat(Session { id, user, .. }, Repeat::Late) => {
                Some(Self::RefreshRepeated { user: *user, session: *id, sign: RepeatSign::Late })
            }
            Decision::Reuse(Session { id, user, .. }) => {
                Some(Self::RefreshReused { user: *user, session: *id })
            }
            Decision::Rotate(_) | Decision::Repeat(_, Repeat::InGrace) | Decision::Refuse => None,
        }
    }

    /// Ends of sessions of a user who exceeded the limit.
    pub fn surplus(user: UserId, ended: &[SessionId]) -> impl Iterator<Item = Self> {
        ended.iter().map(move |session| Self::SessionEnded {
            user,
            session: *session,
            reason: EndReason::Limit,
        })
    }

    /// The user whose account is concerned, if any.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::UserCreated { user }
            | Self::LoggedIn { user, .. }
            | Self::SessionOpened { user, .. }
            | Self::SessionEnded { user, .. }
            | Self::SessionsEnded { user, .. }
            | Self::RefreshRepeated { user, .. }
            | Self::RefreshReused { user, .. }
            | Self::PasswordChanged { user }
            | Self::UserUpdated { user, .. }
            | Self::UserDeleted { user }
            | Self::TokenExchanged { user, .. }
            | Self::PermissionGranted { user, .. }
            | Self::PermissionRevoked { user, .. }
            | Self::GroupMemberAdded { user, .. }
            | Self::GroupMemberRemoved { user, .. } => Some(*user),
            Self::LoginFailed { user, .. } => *user,
            Self::EverybodySignedOut { .. }
            | Self::PermissionDeclared { .. }
            | Self::PermissionDeleted { .. }
            | Self::GroupCreated { .. }
            | Self::GroupDeleted { .. }
            | Self::GroupPermissionGranted { .. }
            | Self::GroupPermissionRevoked { .. }
            | Self::SigningKeyAdded { .. }
            | Self::SigningKeyScheduled { .. }
            | Self::SigningKeyResealed { .. }
            | Self::SigningKeyRevoked { .. }
            | Self::SigningKeysRevoked { .. }
            | Self::SigningKeyDeleted { .. }
            | Self::UsersImported { .. }
            | Self::RightsImported { .. }
            | Self::Restored { .. } => None,
        }
    }

    /// The session that is concerned, if any.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::LoggedIn { session, .. }
            | Self::SessionOpened { session, .. }
            | Self::SessionEnded { session, .. }
            | Self::RefreshRepeated { session, .. }
            | Self::RefreshReused { session, .. }
            | Self::TokenExchanged { session, .. } => Some(*session),
            _ => None,
        }
    }

    /// Whether the operation succeeded.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::LoginFailed { .. } | Self::RefreshReused { .. } => Outcome::Failure,
            _ => Outcome::Success,
        }
    }

    /// What the event says besides its name, user and session, as JSON.
    pub fn data(&self) -> Map<String, Value> {
        let data = match self {
            Self::LoginFailed { reason, .. } => json!({"reason": reason.as_str()}),
            Self::SessionEnded { reason, .. } => json!({"reason": reason.as_str()}),
            Self::SessionsEnded { count, reason, .. } => json!({"count": count, "reason": reason.as_str()}),
            Self::EverybodySignedOut { users, sessions } => json!({"users": users, "sessions": sessions}),
            Self::RefreshRepeated { sign, .. } => json!({"sign": sign.as_str()}),
            Self::UserUpdated { fields, .. } => return fields.data(),
            Self::PermissionDeclared { permission }
            | Self::PermissionDeleted { permission }
            | Self::PermissionGranted { permission, .. }
            | Self::PermissionRevoked { permission, .. } => json!({"permission": permission.as_str()}),
            Self::GroupCreated { group }
            | Self::GroupDeleted { group }
            | Self::GroupMemberAdded { group, .. }
            | Self::GroupMemberRemoved { group, .. } => json!({"group": group}),
            Self::GroupPermissionGranted { group, permission }
            | Self::GroupPermissionRevoked { group, permission } => {
                json!({"group": group, "permission": permission.as_str()})
            }
            Self::SigningKeyAdded { key, algorithm, signs_from } => {
                json!({"key": key, "algorithm": algorithm, "signs_from": signs_from.to_string()})
            }
            Self::SigningKeyScheduled { key, signs_from, signs_until: None } => {
                json!({"key": key, "signs_from": signs_from.to_string()})
            }
            Self::SigningKeyScheduled { key, signs_from, signs_until: Some(until) } => {
                json!({"key": key, "signs_from": signs_from.to_string(), "signs_until": until.to_string()})
            }
            Self::SigningKeyResealed { key }
            | Self::SigningKeyRevoked { key }
            | Self::SigningKeyDeleted { key } => json!({"key": key}),
            Self::SigningKeysRevoked { count } | Self::UsersImported { count } => json!({"count": count}),
            Self::RightsImported { permissions, groups } => {
                json!({"permissions": permissions, "groups": groups})
            }
            Self::Restored { keys, sessions } => json!({"keys": keys, "sessions": sessions}),
            Self::UserCreated { .. }
            | Self::LoggedIn { .. }
            | Self::SessionOpened { .. }
            | Self::RefreshReused { .. }
            | Self::PasswordChanged { .. }
            | Self::UserDeleted { .. }
            | Self::TokenExchanged { .. } => return Map::new(),
        };
        match data {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// Fills in what only the database knows.
    pub(crate) fn fill(&mut self, found: Found) {
        match (self, found) {
            (Self::UserCreated { user }, Found::User(id)) if *user == UserId::NEW => *user = id,
            (
                Self::SessionsEnded { count, .. }
                | Self::SigningKeysRevoked { count }
                | Self::UsersImported { count },
                Found::Count(n),
            ) => *count = n,
            (Self::EverybodySignedOut { users, sessions }, Found::SignedOut { users: u, sessions: s }) => {
                (*users, *sessions) = (u, s);
            }
            (Self::RightsImported { permissions, groups }, Found::Rights { permissions: p, groups: g }) => {
                (*permissions, *groups) = (p, g);
            }
            (Self::Restored { keys, sessions }, Found::Restored { keys: k, sessions: s }) => {
                (*keys, *sessions) = (k, s);
            }
            _ => {}
        }
    }

    /// Writes the event to the log: a sentence and fields.
    pub(crate) fn log(&self) {
        use tracing::{info, warn};
        match self {
            Self::UserCreated { user } => info!(user.id = user.0, "an account was created"),
            Self::LoggedIn { user, session } => {
                info!(user.id = user.0, session.id = %session, "a user logged in");
            }
            Self::SessionOpened { user, session } => {
                info!(user.id = user.0, session.id = %session, "a session was opened");
            }
            Self::LoginFailed {
                user: Some(user),
                reason: reason @ (LoginFailure::UnreadableHash | LoginFailure::ExpensiveHash),
            } => {
                warn!(user.id = user.0, ?reason, "a login failed because of the stored password hash");
            }
            Self::LoginFailed { user, reason } => {
                info!(user.id = user.map(|u| u.0), ?reason, "a login failed");
            }
            Self::SessionEnded { user, session, reason } => {
                info!(user.id = user.0, session.id = %session, reason = reason.as_str(), "a session ended");
            }
            Self::SessionsEnded { user, count, reason } => {
                info!(user.id = user.0, count, reason = reason.as_str(), "sessions ended");
            }
            Self::EverybodySignedOut { users, sessions } => {
                info!(users, sessions, "everybody was signed out");
            }
            Self::RefreshRepeated { user, session, sign: RepeatSign::Late } => {
                warn!(user.id = user.0, session.id = %session, "a refresh token came back late, and was counted");
            }
            Self::RefreshRepeated { user, session, sign: RepeatSign::Elsewhere } => {
                warn!(
                    user.id = user.0,
                    session.id = %session,
                    "a refresh token came back from another network or program than the login did"
                );
            }
            Self::RefreshReused { user, session } => {
                warn!(user.id = user.0, session.id = %session, "a refresh token was used again: the session has ended");
            }
            Self::PasswordChanged { user } => info!(user.id = user.0, "a password was changed"),
            Self::UserUpdated { user, fields } => {
                info!(user.id = user.0, fields = %json!(fields.data()), "an account was changed");
            }
            Self::UserDeleted { user } => info!(user.id = user.0, "an account was deleted"),
            Self::TokenExchanged { user, session } => {
                info!(user.id = user.0, session.id = %session, "a session token was exchanged for a token pair");
            }
            Self::PermissionDeclared { permission } => info!(%permission, "a permission was declared"),
            Self::PermissionDeleted { permission } => info!(%permission, "a permission was deleted"),
            Self::PermissionGranted { user, permission } => {
                info!(user.id = user.0, %permission, "a user was given a permission");
            }
            Self::PermissionRevoked { user, permission } => {
                info!(user.id = user.0, %permission, "a permission was taken from a user");
            }
            Self::GroupCreated { group } => info!(?group, "a group was created"),
            Self::GroupDeleted { group } => info!(?group, "a group was deleted"),
            Self::GroupPermissionGranted { group, permission } => {
                info!(?group, %permission, "a group was given a permission");
            }
            Self::GroupPermissionRevoked { group, permission } => {
                info!(?group, %permission, "a permission was taken from a group");
            }
            Self::GroupMemberAdded { user, group } => {
                info!(user.id = user.0, ?group, "a user was put into a group");
            }
            Self::GroupMemberRemoved { user, group } => {
                info!(user.id = user.0, ?group, "a user was taken out of a group");
            }
            Self::SigningKeyAdded { key, algorithm, signs_from } => {
                info!(key.id = key, algorithm, %signs_from, "a signing key was announced");
            }
            Self::SigningKeyScheduled { key, signs_from, signs_until: None } => {
                info!(key.id = key, %signs_from, "when a signing key signs was changed");
            }
            Self::SigningKeyScheduled { key, signs_until: Some(until), .. } => {
                info!(key.id = key, %until, "a signing key comes to its end");
            }
            Self::SigningKeyResealed { key } => info!(key.id = key, "a signing key was sealed anew"),
            Self::SigningKeyRevoked { key } => warn!(key.id = key, "a signing key was revoked"),
            Self::SigningKeysRevoked { count } => warn!(keys = count, "every signing key was revoked"),
            Self::SigningKeyDeleted { key } => {
                info!(key.id = key, "a signing key was deleted: its last token has expired");
            }
            Self::UsersImported { count } => info!(count, "accounts were imported"),
            Self::RightsImported { permissions, groups } => {
                info!(permissions, groups, "permissions and groups were imported");
            }
            Self::Restored { keys, sessions } => {
                info!(keys, sessions, "the database was restored from a copy");
            }
        }
    }
}
