//! Events in the program's log.

use super::{Event, LoginFailure, RepeatSign};
use serde_json::json;
use tracing::{info, warn};

impl Event {
    /// Writes the event to the log: a sentence and fields.
    pub(crate) fn log(&self) {
        match self {
            Self::UserCreated { user } => info!(user.id = user.0, "an account was created"),
            Self::DataExported { user } => info!(user.id = user.0, "the data of an account was exported"),
            Self::UserInvited => info!("somebody was invited"),
            Self::InvitationRevoked => info!("an invitation was revoked"),
            Self::LoggedIn { user, session } => {
                info!(user.id = user.0, session.id = %session, "a user logged in");
            }
            Self::SessionOpened { user, session } => {
                info!(user.id = user.0, session.id = %session, "a session was opened");
            }
            Self::Reauthenticated { user, session } => {
                info!(user.id = user.0, session.id = %session, "a user was authenticated once more");
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
            Self::CodeRefused { user } => info!(user.id = user.map(|u| u.0), "a mailed code was wrong"),
            Self::FactorRefused { user, kind } => {
                info!(user.id = user.map(|u| u.0), kind = kind.as_str(), "a factor was refused");
            }
            Self::PasswordRefused { user } => info!(user.id = user.0, "a password was wrong"),
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
            Self::FactorAdded { user, kind } => {
                info!(user.id = user.0, kind = kind.as_str(), "a factor was added");
            }
            Self::FactorRemoved { user, kind } => {
                info!(user.id = user.0, kind = kind.as_str(), "a factor was removed");
            }
            Self::FactorRenamed { user } => info!(user.id = user.0, "a factor was renamed"),
            Self::RecoveryCodeUsed { user } => info!(user.id = user.0, "a recovery code was used"),
            Self::RecoveryCodesRenewed { user } => info!(user.id = user.0, "a user got new recovery codes"),
            Self::TotpDisabled { user } => {
                warn!(
                    user.id = user.0,
                    "too many wrong codes came for an authenticator app, which is disabled"
                );
            }
            Self::TotpEnabled { user } => info!(user.id = user.0, "an authenticator app counts again"),
            Self::PasswordLocked { user } => {
                warn!(
                    user.id = user.0,
                    "too many wrong passwords came from strangers, whose passwords are not compared any more"
                );
            }
            Self::PasswordUnlocked { user } => {
                info!(user.id = user.0, "strangers' passwords are compared again: the user has logged in");
            }
            Self::PasskeyCounterRegressed { user } => {
                warn!(user.id = user.0, "the counter of a passkey did not grow: there may be a copy of it");
            }
            Self::PasskeyBackupChanged { user, backed_up } => {
                info!(user.id = user.0, backed_up, "a passkey is copied to other devices, or no longer");
            }
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
            Self::MailsRetried { count } => info!(mails = count, "mails were made due again"),
            Self::WebhookAdded { webhook } => info!(webhook, "an endpoint of webhooks was added"),
            Self::WebhookChanged { webhook } => info!(webhook, "an endpoint of webhooks was changed"),
            Self::WebhookRemoved { webhook } => info!(webhook, "an endpoint of webhooks was removed"),
            Self::WebhookSecretRotated { webhook } => {
                info!(webhook, "an endpoint of webhooks got another secret");
            }
            Self::WebhookEnabled { webhook } => info!(webhook, "an endpoint of webhooks was enabled"),
            Self::WebhookDisabled { webhook } => info!(webhook, "an endpoint of webhooks was disabled"),
            Self::WebhookPaused { webhook } => {
                warn!(
                    webhook,
                    "every webhook to an endpoint failed for days: it is paused, and its events wait"
                );
            }
            Self::DeliveriesRepeated { webhook, count } => {
                info!(webhook, count, "webhooks were made due again");
            }
            Self::UsersImported { count } => info!(count, "accounts were imported"),
            Self::RightsImported { permissions, groups } => {
                info!(permissions, groups, "permissions and groups were imported");
            }
            Self::EventsDeleted { count } => info!(count, "old events of the audit log were deleted"),
            Self::RefusalsCounted { kind, count } => {
                warn!(kind, count, "operations were refused, and only counted");
            }
            Self::Restored { keys, sessions } => {
                info!(keys, sessions, "the database was restored from a copy");
            }
        }
    }
}
