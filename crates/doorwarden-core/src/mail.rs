//! Mails to users: what they say, and the trait of whoever delivers them. A mail is queued in the transaction
//! that causes it, and delivered in the background.

pub use crate::locale::Locale;

use crate::random::uuid;
use crate::time::Timestamp;
use crate::user::UserId;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// The id of a mail: a UUID of version 7. It is also the left part of its `Message-ID`, so that a mail that
/// is sent twice can be recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailId(pub Uuid);

impl MailId {
    /// An id of this instant.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        Self(uuid(now, random))
    }
}

impl FromStr for MailId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl fmt::Display for MailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// What a mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MailKind {
    /// To confirm an email address.
    VerifyEmail,
    /// Somebody registered with an email address that has an account.
    AccountExists,
    /// To choose a new password.
    ResetPassword,
    /// To log in.
    LogIn,
    /// An invitation.
    Invitation,
    /// To the new address: confirm the change.
    EmailChange,
    /// To the old address: a change was requested.
    EmailChangeRequested,
    /// To the old address: it was changed, and how to revert the change.
    EmailChanged,
    /// The password was changed.
    PasswordChanged,
    /// The account will be deleted, and how to keep it.
    DeletionPlanned,
    /// The account was deleted.
    AccountDeleted,
    /// To confirm that it is the user who asks.
    Reauthenticate,
    /// A factor was added.
    FactorAdded,
    /// A factor was removed.
    FactorRemoved,
    /// There are new recovery codes.
    RecoveryCodesRenewed,
    /// Few recovery codes are left.
    RecoveryCodesFew,
    /// Too many wrong codes came for the authenticator app.
    TotpDisabled,
    /// A passkey may have been copied: its counter did not grow.
    PasskeyCounter,
    /// To the operator: nothing more is sent to an endpoint of webhooks.
    WebhookStopped,
    /// Somebody logged in on a device that the user has not used before.
    NewDevice,
    /// Strangers have tried many passwords.
    TooManyFailures,
    /// Strangers have tried so many passwords that theirs are not compared any more.
    PasswordLocked,
    /// The user has logged in, and strangers' passwords are compared again.
    PasswordUnlocked,
    /// A test by an operator.
    Test,
}

impl MailKind {
    /// Every kind.
    pub const ALL: [Self; 24] = [
        Self::VerifyEmail,
        Self::AccountExists,
        Self::ResetPassword,
        Self::LogIn,
        Self::Invitation,
        Self::EmailChange,
        Self::EmailChangeRequested,
        Self::EmailChanged,
        Self::PasswordChanged,
        Self::DeletionPlanned,
        Self::AccountDeleted,
        Self::Reauthenticate,
        Self::FactorAdded,
        Self::FactorRemoved,
        Self::RecoveryCodesRenewed,
        Self::RecoveryCodesFew,
        Self::TotpDisabled,
        Self::PasskeyCounter,
        Self::WebhookStopped,
        Self::NewDevice,
        Self::TooManyFailures,
        Self::PasswordLocked,
        Self::PasswordUnlocked,
        Self::Test,
    ];

    /// The stored word, which is also the name of the mail's template.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::AccountExists => "account_exists",
            Self::ResetPassword => "reset_password",
            Self::LogIn => "log_in",
            Self::Invitation => "invitation",
            Self::EmailChange => "email_change",
            Self::EmailChangeRequested => "email_change_requested",
            Self::EmailChanged => "email_changed",
            Self::PasswordChanged => "password_changed",
            Self::DeletionPlanned => "deletion_planned",
            Self::AccountDeleted => "account_deleted",
            Self::Reauthenticate => "reauthenticate",
            Self::FactorAdded => "factor_added",
            Self::FactorRemoved => "factor_removed",
            Self::RecoveryCodesRenewed => "recovery_codes_renewed",
            Self::RecoveryCodesFew => "recovery_codes_few",
            Self::TotpDisabled => "totp_disabled",
            Self::PasskeyCounter => "passkey_counter",
            Self::WebhookStopped => "webhook_stopped",
            Self::NewDevice => "new_device",
            Self::TooManyFailures => "too_many_failures",
            Self::PasswordLocked => "password_locked",
            Self::PasswordUnlocked => "password_unlocked",
            Self::Test => "test",
        }
    }

    /// Whether the mail has a link. The others say what has happened, and lead nowhere.
    pub const fn has_link(self) -> bool {
        !matches!(
            self,
            Self::AccountDeleted
                | Self::FactorAdded
                | Self::FactorRemoved
                | Self::RecoveryCodesRenewed
                | Self::RecoveryCodesFew
                | Self::TotpDisabled
                | Self::PasskeyCounter
                | Self::NewDevice
                | Self::TooManyFailures
                | Self::PasswordLocked
                | Self::PasswordUnlocked
                | Self::WebhookStopped
                | Self::Test
        )
    }

    /// The kind that is stored as this word, if it is one.
    pub fn from_stored(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether the mail only tells a user what has happened: nothing needs it, and an operator may [leave it
    /// out](crate::settings::MailSettings::leave_out).
    pub const fn is_notice(self) -> bool {
        match self {
            Self::EmailChangeRequested
            | Self::EmailChanged
            | Self::PasswordChanged
            | Self::DeletionPlanned
            | Self::AccountDeleted
            | Self::FactorAdded
            | Self::FactorRemoved
            | Self::RecoveryCodesRenewed
            | Self::RecoveryCodesFew
            | Self::TotpDisabled
            | Self::PasskeyCounter
            | Self::NewDevice
            | Self::TooManyFailures
            | Self::PasswordLocked
            | Self::PasswordUnlocked => true,
            Self::VerifyEmail
            | Self::AccountExists
            | Self::ResetPassword
            | Self::LogIn
            | Self::Invitation
            | Self::EmailChange
            | Self::Reauthenticate
            | Self::WebhookStopped
            | Self::Test => false,
        }
    }
}

/// What a mail says beside its fixed text. Sealed while the mail is queued, because a link logs in.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MailContent {
    /// The link of the button.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// The code to type, as it is shown: `WDJB-MJHT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Until when link and code can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The username of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Another email address that the mail names: the new one of a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other_email: Option<String>,
    /// The name of the factor that the mail is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<String>,
    /// How many recovery codes are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codes_left: Option<u32>,
    /// The name of the endpoint of webhooks that the mail is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Why nothing more is sent there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// From which address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// With which browser or program, as shown to people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl fmt::Debug for MailContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MailContent(..)")
    }
}

/// A mail to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMail {
    /// The id.
    pub id: MailId,
    /// What it is about.
    pub kind: MailKind,
    /// The address.
    pub to: String,
    /// The account; [`UserId::NEW`]: the one that the write creates.
    pub user: Option<UserId>,
    /// The language.
    pub locale: Locale,
    /// What it says, sealed.
    pub sealed: Vec<u8>,
    /// When it is queued.
    pub created_at: Timestamp,
    /// After this it is not worth sending: its link has expired.
    pub expires_at: Timestamp,
    /// The mail is never sent: it makes the request for an address without an account take as long as any
    /// other.
    pub is_decoy: bool,
}

/// A mail to be delivered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Mail {
    /// The id.
    pub id: MailId,
    /// What it is about.
    pub kind: MailKind,
    /// The only recipient.
    pub to: String,
    /// The language.
    pub locale: Locale,
    /// What it says.
    pub content: MailContent,
    /// When it was queued: its `Date`.
    pub created_at: Timestamp,
}

impl Mail {
    /// A mail to this address.
    pub fn new(id: MailId, kind: MailKind, to: impl Into<String>, locale: Locale, at: Timestamp) -> Self {
        Self { id, kind, to: to.into(), locale, content: MailContent::default(), created_at: at }
    }
}

/// Delivers mails. `doorwarden-mail` implements the trait with templates and SMTP.
#[async_trait]
pub trait Mailer: fmt::Debug + Send + Sync + 'static {
    /// Writes the mail and hands it over. Called again with the same mail after a temporary error, and, after
    /// a crash in between, after it was delivered: then the `Message-ID` must be the same.
    ///
    /// # Errors
    /// [`SendError`], which says whether a later attempt may succeed. The text is shown to operators, and
    /// must not contain what the mail says.
    async fn send(&self, mail: &Mail) -> Result<(), SendError>;
}

/// A mail was not delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// A later attempt may succeed: the server cannot be reached, or answers 4xx.
    #[error("{0}")]
    Temporary(String),
    /// No attempt will succeed: the server refuses the recipient or the mail, or the mail cannot be written.
    #[error("{0}")]
    Permanent(String),
}
