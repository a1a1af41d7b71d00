//! The outbox: mails are queued, sealed, with the change that causes them, and
//! [sent](crate::flow::send_mails) in the background.

use crate::locale::Locale;
use crate::mail::{MailContent, MailId, MailKind, Mailer, NewMail};
use crate::random::RandomSource;
use crate::store::QueuedMail;
use crate::time::Timestamp;
use crate::token::SecretKey;
use crate::token::seal::Sealer;
use crate::user::UserId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// When the mail is worth no further attempt, by default: three days.
pub(crate) const NOTICE_WORTH: Duration = Duration::from_hours(72);

/// How long mails that were sent or given up stay in the list.
pub(crate) const KEEP: Duration = Duration::from_hours(24 * 7);

/// Writes mails, and knows who delivers them.
#[derive(Debug)]
pub struct Outbox {
    mailer: Option<Arc<dyn Mailer>>,
    sealer: Sealer,
    wake: Arc<Notify>,
}

impl Outbox {
    /// An outbox whose mails are sealed under a key of this secret key, and sent by `mailer`. Without a
    /// mailer nothing is mailed.
    pub fn new(mailer: Option<Arc<dyn Mailer>>, secret: &SecretKey, old: &[SecretKey]) -> Self {
        Self { mailer, sealer: Sealer::of_mails(secret, old), wake: Arc::default() }
    }

    /// Whether mails are sent.
    pub fn is_open(&self) -> bool {
        self.mailer.is_some()
    }

    /// The mailer.
    pub fn mailer(&self) -> Option<&Arc<dyn Mailer>> {
        self.mailer.as_ref()
    }

    /// Lets new mails be sent at once.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// What [`wake`](Self::wake) wakes.
    pub(crate) fn alarm(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// The mail as it is queued with a change.
    pub(crate) fn write(&self, letter: Letter, now: Timestamp, random: &dyn RandomSource) -> NewMail {
        let id = MailId::new(now, random.bytes());
        NewMail {
            id,
            kind: letter.kind,
            to: letter.to,
            user: letter.user,
            locale: letter.locale,
            sealed: self.seal(id, random.bytes(), &letter.content),
            created_at: now,
            expires_at: now.after(letter.worth),
            is_decoy: letter.is_decoy,
        }
    }

    fn seal(&self, id: MailId, nonce: [u8; Sealer::NONCE_BYTES], content: &MailContent) -> Vec<u8> {
        let plain = serde_json::to_vec(content).expect("texts and instants are JSON");
        self.sealer.seal(nonce, id.0.as_bytes(), &plain)
    }

    /// What a queued mail says; `None` if it was sealed under another secret key.
    pub(crate) fn open(&self, mail: &QueuedMail) -> Option<MailContent> {
        let plain = self.sealer.open(mail.id.0.as_bytes(), &mail.sealed).ok()?;
        serde_json::from_slice(&plain).ok()
    }
}

/// A mail to be written.
pub(crate) struct Letter {
    pub(crate) kind: MailKind,
    pub(crate) to: String,
    pub(crate) user: Option<UserId>,
    pub(crate) locale: Locale,
    pub(crate) content: MailContent,
    /// How long it is worth sending.
    pub(crate) worth: Duration,
    /// Written like any other, and never sent.
    pub(crate) is_decoy: bool,
}
