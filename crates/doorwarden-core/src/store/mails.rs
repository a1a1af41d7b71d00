use super::StoreError;
use crate::audit::Effects;
use crate::locale::Locale;
use crate::mail::{MailId, MailKind};
use crate::time::Timestamp;
use crate::user::UserId;
use async_trait::async_trait;

/// The outbox. A mail is queued by the write that causes it, which has it in [`Effects::mails`].
#[async_trait]
pub trait MailStore {
    /// Takes at most `limit` mails that are due, for an attempt that ends before `until`: nobody else takes
    /// them before that. The number of attempts is raised at once. `first`: only mails that were never tried,
    /// or only those that were.
    async fn claim_mails(
        &self,
        now: Timestamp,
        until: Timestamp,
        first: bool,
        limit: u32,
    ) -> Result<Vec<QueuedMail>, StoreError>;

    /// A mail was delivered. What it said is deleted.
    async fn mail_sent(&self, id: MailId, at: Timestamp) -> Result<(), StoreError>;

    /// A mail was not delivered, for a reason that is shown to operators. It is due again at `retry_at`;
    /// without that, the attempts have ended.
    async fn mail_failed(
        &self,
        id: MailId,
        at: Timestamp,
        reason: &str,
        retry_at: Option<Timestamp>,
    ) -> Result<(), StoreError>;

    /// Makes a mail due that failed or waits for another attempt, or all that failed; returns how many.
    async fn retry_mails(
        &self,
        id: Option<MailId>,
        at: Timestamp,
        effects: Effects,
    ) -> Result<u64, StoreError>;

    /// The mail with this id.
    async fn mail(&self, id: MailId) -> Result<Option<MailRecord>, StoreError>;

    /// Mails by id, newest first, those before `before` and at most `limit`; only those in a state, if one is
    /// given.
    async fn mails(
        &self,
        state: Option<MailState>,
        before: Option<MailId>,
        limit: u32,
    ) -> Result<Vec<MailRecord>, StoreError>;

    /// How many mails wait, and since when the oldest that is due has waited.
    async fn mail_queue(&self, now: Timestamp) -> Result<MailQueue, StoreError>;

    /// Deletes at most `limit` mails that were sent or failed before `before`, and decoys; returns how many.
    async fn purge_mails(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// A mail that was claimed for an attempt.
#[derive(Debug, Clone)]
pub struct QueuedMail {
    /// The id.
    pub id: MailId,
    /// What it is about.
    pub kind: MailKind,
    /// The address.
    pub to: String,
    /// The language.
    pub locale: Locale,
    /// What it says, sealed.
    pub sealed: Vec<u8>,
    /// When it was queued.
    pub created_at: Timestamp,
    /// After this it is not worth sending.
    pub expires_at: Timestamp,
    /// The number of this attempt, from 1.
    pub attempt: u32,
}

/// What became of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailState {
    /// It waits for its first attempt or for another.
    Queued,
    /// It was delivered to the mail server.
    Sent,
    /// It was given up.
    Failed,
}

impl MailState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Queued, Self::Sent, Self::Failed];

    /// The stored word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }

    /// The state that is stored as this word, if it is one.
    pub fn from_stored(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A mail of the outbox, without what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailRecord {
    /// The id.
    pub id: MailId,
    /// What it is about.
    pub kind: MailKind,
    /// The address.
    pub to: String,
    /// The account, if there is one.
    pub user: Option<UserId>,
    /// The language.
    pub locale: Locale,
    /// What became of it.
    pub state: MailState,
    /// How many attempts were made.
    pub attempts: u32,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it is due, or when it was sent or given up.
    pub due_at: Timestamp,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl MailRecord {
    /// A mail that waits for its first attempt; a store sets the rest.
    pub fn new(id: MailId, kind: MailKind, to: String, locale: Locale, at: Timestamp) -> Self {
        Self {
            id,
            kind,
            to,
            user: None,
            locale,
            state: MailState::Queued,
            attempts: 0,
            created_at: at,
            due_at: at,
            error: None,
        }
    }
}

/// The state of the outbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MailQueue {
    /// How many mails wait.
    pub queued: u64,
    /// How many were given up and are not deleted yet.
    pub failed: u64,
    /// Since when the oldest mail that is due has been due.
    pub due_since: Option<Timestamp>,
}
