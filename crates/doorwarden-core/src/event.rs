//! What happened that matters to security: one typed event for each, for the log, hooks and the [audit
//! log](crate::audit).

mod details;
mod log;

pub use details::{Found, LoginFailure, Outcome, RepeatSign, UpdatedFields};

use crate::factor::FactorKind;
use crate::permission::PermissionName;
use crate::refresh::{Decision, Repeat};
use crate::session::{EndReason, Session, SessionId};
use crate::time::Timestamp;
use crate::user::UserId;
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
    /// Somebody was invited to register.
    UserInvited,
    /// An invitation was withdrawn before it was accepted.
    InvitationRevoked,
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
    /// A user was authenticated once more in a session.
    Reauthenticated {
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
    /// A code of a mail was wrong.
    CodeRefused {
        /// The user whose account was concerned; `None` if there is no such account.
        user: Option<UserId>,
    },
    /// A code of an authenticator app, a recovery code or a passkey was wrong.
    FactorRefused {
        /// The user whose account was concerned; `None` if it is not known.
        user: Option<UserId>,
        /// What was tried.
        kind: FactorKind,
    },
    /// A password with which a user was to confirm something was wrong.
    PasswordRefused {
        /// The user.
        user: UserId,
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
    /// A user exported everything that is held about them.
    DataExported {
        /// The user.
        user: UserId,
    },
    /// A password was changed.
    PasswordChanged {
        /// The user.
        user: UserId,
    },
    /// A factor of a user counts from now on.
    FactorAdded {
        /// The user.
        user: UserId,
        /// What it is.
        kind: FactorKind,
    },
    /// A factor of a user was deleted.
    FactorRemoved {
        /// The user.
        user: UserId,
        /// What it was.
        kind: FactorKind,
    },
    /// A factor got another name.
    FactorRenamed {
        /// The user.
        user: UserId,
    },
    /// A recovery code was used.
    RecoveryCodeUsed {
        /// The user.
        user: UserId,
    },
    /// A user got new recovery codes.
    RecoveryCodesRenewed {
        /// The user.
        user: UserId,
    },
    /// Too many wrong codes came for the authenticator apps of a user, which do not count for now.
    TotpDisabled {
        /// The user.
        user: UserId,
    },
    /// The authenticator apps of a user count again.
    TotpEnabled {
        /// The user.
        user: UserId,
    },
    /// Strangers have tried so many passwords in a row that theirs are not compared any more.
    PasswordLocked {
        /// The user.
        user: UserId,
    },
    /// The user has logged in, or an operator says so: strangers' passwords are compared again.
    PasswordUnlocked {
        /// The user.
        user: UserId,
    },
    /// The signature counter of a passkey did not grow: there may be a copy of it.
    PasskeyCounterRegressed {
        /// The user.
        user: UserId,
    },
    /// A passkey was copied to other devices, or is no longer.
    PasskeyBackupChanged {
        /// The user.
        user: UserId,
        /// Whether there is a copy.
        backed_up: bool,
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
    /// Mails that failed, or waited for another attempt, were made due.
    MailsRetried {
        /// Their number.
        count: u64,
    },
    /// An endpoint of webhooks was added.
    WebhookAdded {
        /// The name of the endpoint.
        webhook: String,
    },
    /// The URL of an endpoint of webhooks, or which events it gets, was changed.
    WebhookChanged {
        /// The name of the endpoint.
        webhook: String,
    },
    /// An endpoint of webhooks was removed, with what waited for it.
    WebhookRemoved {
        /// The name of the endpoint.
        webhook: String,
    },
    /// An endpoint of webhooks got another secret.
    WebhookSecretRotated {
        /// The name of the endpoint.
        webhook: String,
    },
    /// An endpoint of webhooks gets events again, and those that waited for it.
    WebhookEnabled {
        /// The name of the endpoint.
        webhook: String,
    },
    /// An endpoint of webhooks gets no more events: an operator said so, or the endpoint itself.
    WebhookDisabled {
        /// The name of the endpoint.
        webhook: String,
    },
    /// Nothing is sent to an endpoint of webhooks for now, because every attempt failed for days. Its events
    /// wait.
    WebhookPaused {
        /// The name of the endpoint.
        webhook: String,
    },
    /// Webhooks were made due again.
    DeliveriesRepeated {
        /// The name of the endpoint.
        webhook: String,
        /// Their number.
        count: u64,
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
    /// Events were deleted because of their age, the oldest.
    EventsDeleted {
        /// Their number.
        count: u64,
    },
    /// Operations were refused that no event of their own tells of, because there were too many, or because
    /// they are only counted.
    RefusalsCounted {
        /// What they were: the name of an event, or of a limit.
        kind: &'static str,
        /// Their number.
        count: u64,
    },
    /// The database was made safe to work with after it had been restored from a copy.
    Restored {
        /// How many signing keys were revoked.
        keys: u64,
        /// How many sessions were ended.
        sessions: u64,
    },
}

/// The names of every event, and the types of the webhooks that report them.
macro_rules! names {
    ($($variant:ident: $name:literal = $webhook:literal,)+) => {
        /// Every event: its [name](Self::name), and the [type](Self::webhook_type) of a webhook that reports
        /// it.
        pub const NAMES: &'static [(&'static str, &'static str)] = &[$(($name, $webhook)),+];

        /// A stable name, in snake case.
        pub fn name(&self) -> &'static str {
            match self {
                $(Self::$variant { .. } => $name,)+
            }
        }
    };
}

impl Event {
    /// The type of a webhook that reports the event of this [name](Self::name): `user.created`.
    pub fn webhook_type(name: &str) -> Option<&'static str> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, webhook)| *webhook)
    }

    names! {
        UserCreated: "user_created" = "user.created",
        UserInvited: "user_invited" = "invitation.sent",
        InvitationRevoked: "invitation_revoked" = "invitation.revoked",
        LoggedIn: "logged_in" = "user.logged_in",
        SessionOpened: "session_opened" = "session.opened",
        Reauthenticated: "reauthenticated" = "user.reauthenticated",
        LoginFailed: "login_failed" = "user.login_failed",
        CodeRefused: "code_refused" = "code.refused",
        FactorRefused: "factor_refused" = "factor.refused",
        PasswordRefused: "password_refused" = "password.refused",
        SessionEnded: "session_ended" = "session.ended",
        SessionsEnded: "sessions_ended" = "sessions.ended",
        EverybodySignedOut: "everybody_signed_out" = "sessions.ended_for_everybody",
        RefreshRepeated: "refresh_repeated" = "refresh_token.repeated",
        RefreshReused: "refresh_reused" = "refresh_token.reused",
        DataExported: "data_exported" = "user.exported",
        PasswordChanged: "password_changed" = "password.changed",
        FactorAdded: "factor_added" = "factor.added",
        FactorRemoved: "factor_removed" = "factor.removed",
        FactorRenamed: "factor_renamed" = "factor.renamed",
        RecoveryCodeUsed: "recovery_code_used" = "recovery_code.used",
        RecoveryCodesRenewed: "recovery_codes_renewed" = "recovery_codes.renewed",
        TotpDisabled: "totp_disabled" = "totp.disabled",
        TotpEnabled: "totp_enabled" = "totp.enabled",
        PasswordLocked: "password_locked" = "password.locked",
        PasswordUnlocked: "password_unlocked" = "password.unlocked",
        PasskeyCounterRegressed: "passkey_counter_regressed" = "passkey.counter_regressed",
        PasskeyBackupChanged: "passkey_backup_changed" = "passkey.backup_changed",
        UserUpdated: "user_updated" = "user.updated",
        UserDeleted: "user_deleted" = "user.deleted",
        TokenExchanged: "token_exchanged" = "session.token_exchanged",
        PermissionDeclared: "permission_declared" = "permission.declared",
        PermissionDeleted: "permission_deleted" = "permission.deleted",
        PermissionGranted: "permission_granted" = "permission.granted",
        PermissionRevoked: "permission_revoked" = "permission.revoked",
        GroupCreated: "group_created" = "group.created",
        GroupDeleted: "group_deleted" = "group.deleted",
        GroupPermissionGranted: "group_permission_granted" = "group.permission_granted",
        GroupPermissionRevoked: "group_permission_revoked" = "group.permission_revoked",
        GroupMemberAdded: "group_member_added" = "group.member_added",
        GroupMemberRemoved: "group_member_removed" = "group.member_removed",
        SigningKeyAdded: "signing_key_added" = "signing_key.added",
        SigningKeyScheduled: "signing_key_scheduled" = "signing_key.scheduled",
        SigningKeyResealed: "signing_key_resealed" = "signing_key.resealed",
        SigningKeyRevoked: "signing_key_revoked" = "signing_key.revoked",
        SigningKeysRevoked: "signing_keys_revoked" = "signing_keys.revoked",
        SigningKeyDeleted: "signing_key_deleted" = "signing_key.deleted",
        MailsRetried: "mails_retried" = "mails.retried",
        UsersImported: "users_imported" = "users.imported",
        RightsImported: "rights_imported" = "rights.imported",
        EventsDeleted: "events_deleted" = "events.deleted",
        RefusalsCounted: "refusals_counted" = "refusals.counted",
        Restored: "restored" = "database.restored",
        WebhookAdded: "webhook_added" = "webhook.added",
        WebhookChanged: "webhook_changed" = "webhook.changed",
        WebhookRemoved: "webhook_removed" = "webhook.removed",
        WebhookSecretRotated: "webhook_secret_rotated" = "webhook.secret_rotated",
        WebhookEnabled: "webhook_enabled" = "webhook.enabled",
        WebhookDisabled: "webhook_disabled" = "webhook.disabled",
        WebhookPaused: "webhook_paused" = "webhook.paused",
        DeliveriesRepeated: "deliveries_repeated" = "deliveries.repeated",
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
            | Self::Reauthenticated { user, .. }
            | Self::SessionEnded { user, .. }
            | Self::SessionsEnded { user, .. }
            | Self::RefreshRepeated { user, .. }
            | Self::RefreshReused { user, .. }
            | Self::DataExported { user }
            | Self::PasswordChanged { user }
            | Self::PasswordRefused { user }
            | Self::FactorAdded { user, .. }
            | Self::FactorRemoved { user, .. }
            | Self::FactorRenamed { user }
            | Self::RecoveryCodeUsed { user }
            | Self::RecoveryCodesRenewed { user }
            | Self::TotpDisabled { user }
            | Self::TotpEnabled { user }
            | Self::PasswordLocked { user }
            | Self::PasswordUnlocked { user }
            | Self::PasskeyCounterRegressed { user }
            | Self::PasskeyBackupChanged { user, .. }
            | Self::UserUpdated { user, .. }
            | Self::UserDeleted { user }
            | Self::TokenExchanged { user, .. }
            | Self::PermissionGranted { user, .. }
            | Self::PermissionRevoked { user, .. }
            | Self::GroupMemberAdded { user, .. }
            | Self::GroupMemberRemoved { user, .. } => Some(*user),
            Self::LoginFailed { user, .. }
            | Self::CodeRefused { user }
            | Self::FactorRefused { user, .. } => *user,
            Self::UserInvited
            | Self::InvitationRevoked
            | Self::EverybodySignedOut { .. }
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
            | Self::MailsRetried { .. }
            | Self::WebhookAdded { .. }
            | Self::WebhookChanged { .. }
            | Self::WebhookRemoved { .. }
            | Self::WebhookSecretRotated { .. }
            | Self::WebhookEnabled { .. }
            | Self::WebhookDisabled { .. }
            | Self::WebhookPaused { .. }
            | Self::DeliveriesRepeated { .. }
            | Self::UsersImported { .. }
            | Self::RightsImported { .. }
            | Self::EventsDeleted { .. }
            | Self::RefusalsCounted { .. }
            | Self::Restored { .. } => None,
        }
    }

    /// The session that is concerned, if any.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::LoggedIn { session, .. }
            | Self::SessionOpened { session, .. }
            | Self::Reauthenticated { session, .. }
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
            Self::LoginFailed { .. }
            | Self::CodeRefused { .. }
            | Self::FactorRefused { .. }
            | Self::PasswordRefused { .. }
            | Self::RefreshReused { .. }
            | Self::RefusalsCounted { .. } => Outcome::Failure,
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
            Self::FactorAdded { kind, .. }
            | Self::FactorRemoved { kind, .. }
            | Self::FactorRefused { kind, .. } => {
                json!({"kind": kind.as_str()})
            }
            Self::PasskeyBackupChanged { backed_up, .. } => json!({"backed_up": backed_up}),
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
            Self::SigningKeysRevoked { count }
            | Self::MailsRetried { count }
            | Self::EventsDeleted { count }
            | Self::UsersImported { count } => json!({"count": count}),
            Self::WebhookAdded { webhook }
            | Self::WebhookChanged { webhook }
            | Self::WebhookRemoved { webhook }
            | Self::WebhookSecretRotated { webhook }
            | Self::WebhookEnabled { webhook }
            | Self::WebhookDisabled { webhook }
            | Self::WebhookPaused { webhook } => json!({"webhook": webhook}),
            Self::DeliveriesRepeated { webhook, count } => json!({"webhook": webhook, "count": count}),
            Self::RefusalsCounted { kind, count } => json!({"kind": kind, "count": count}),
            Self::RightsImported { permissions, groups } => {
                json!({"permissions": permissions, "groups": groups})
            }
            Self::Restored { keys, sessions } => json!({"keys": keys, "sessions": sessions}),
            Self::UserCreated { .. }
            | Self::LoggedIn { .. }
            | Self::DataExported { .. }
            | Self::UserInvited
            | Self::InvitationRevoked
            | Self::Reauthenticated { .. }
            | Self::SessionOpened { .. }
            | Self::RefreshReused { .. }
            | Self::PasswordChanged { .. }
            | Self::PasswordRefused { .. }
            | Self::CodeRefused { .. }
            | Self::FactorRenamed { .. }
            | Self::RecoveryCodeUsed { .. }
            | Self::RecoveryCodesRenewed { .. }
            | Self::TotpDisabled { .. }
            | Self::TotpEnabled { .. }
            | Self::PasswordLocked { .. }
            | Self::PasswordUnlocked { .. }
            | Self::PasskeyCounterRegressed { .. }
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
                | Self::MailsRetried { count }
                | Self::DeliveriesRepeated { count, .. }
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
}
