//! What every flow is given.

use crate::audit::seal::AuditVault;
use crate::audit::{Effects, Origin};
use crate::challenge::CodeKey;
use crate::courier::Courier;
use crate::duties::Duties;
use crate::event::Event;
use crate::factor::FactorVault;
use crate::factor::ceremony::CeremonyKey;
use crate::feed::{FeedError, Published, RevocationFeed};
use crate::field::Fields;
use crate::hook::Hooks;
use crate::keys::KeyRing;
use crate::limit::Limits;
use crate::live::LiveView;
use crate::mail::NewMail;
use crate::outbox::{Letter, Outbox};
use crate::password::HashPool;
use crate::random::RandomSource;
use crate::refusals::Refusals;
use crate::settings::Settings;
use crate::store::Store;
use crate::tally::Tally;
use crate::time::{Clock, Timestamp};
use crate::token::refresh::RefreshKeys;
use crate::token::session::SessionTokenKeys;
use std::sync::Arc;

/// The parts that flows work with. One for each Doorwarden; nothing is global.
#[derive(Debug)]
pub struct Context {
    /// The database.
    pub store: Arc<dyn Store>,
    /// The live cache, which answers without reading the database.
    pub live: Arc<LiveView>,
    /// Where passwords are hashed.
    pub pool: HashPool,
    /// The keys of session tokens.
    pub session_keys: SessionTokenKeys,
    /// The keys of refresh tokens.
    pub refresh_keys: RefreshKeys,
    /// The keys of access tokens.
    pub keys: KeyRing,
    /// The revocation feed, which notifies other services of revoked access tokens.
    pub feed: RevocationFeed,
    /// Work that is left to the background tasks.
    pub duties: Duties,
    /// Where mails are written and sent.
    pub outbox: Outbox,
    /// How webhooks are sent.
    pub courier: Courier,
    /// The URL of the page to which mailed links lead unless there is a [front
    /// end](crate::settings::MailSettings::front_end).
    pub link_page: String,
    /// The key under which mailed codes are hashed.
    pub codes: CodeKey,
    /// Where the secrets of factors are sealed.
    pub factors: FactorVault,
    /// The key of the challenges of passkeys.
    pub ceremonies: CeremonyKey,
    /// The keys of the audit log.
    pub audit: AuditVault,
    /// What was refused and is not in the audit log yet.
    pub refusals: Refusals,
    /// What was done in the background, and refused, for the metrics.
    pub tally: Tally,
    /// The limits, and what they have counted.
    pub limits: Limits,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn RandomSource>,
    /// The application's own code, in the order of declaration.
    pub hooks: Vec<Arc<dyn Hooks>>,
    /// The application's own fields.
    pub fields: Fields,
    /// The decisions.
    pub settings: Settings,
}

impl Context {
    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// These events, with who causes them, at the present instant.
    pub(crate) fn effects(&self, origin: &Origin, events: impl IntoIterator<Item = Event>) -> Effects {
        Effects::new(self.now(), origin, events)
    }

    /// The mail as it is queued with a change; `None` if it is a notice that is left out.
    pub(crate) fn write_mail(&self, letter: Letter) -> Option<NewMail> {
        let is_left_out = letter.kind.is_notice() && self.settings.mail.leave_out.contains(&letter.kind);
        (!is_left_out).then(|| self.outbox.write(letter, self.now(), self.random.as_ref()))
    }

    /// Logs events that were written, and notifies the hooks.
    pub(crate) async fn notify(&self, effects: &Effects) {
        if !effects.mails.is_empty() {
            self.outbox.wake();
        }
        if !effects.events.is_empty() {
            self.courier.wake();
        }
        for event in &effects.events {
            event.log();
            for hook in &self.hooks {
                hook.on_event(event).await;
            }
        }
    }

    /// Writes events without a change, logs them and notifies the hooks. The operation failed in any case, so
    /// a failed write is only logged.
    pub(crate) async fn record(&self, effects: Effects) {
        if let Err(error) = self.store.record(effects.clone()).await {
            tracing::error!(%error, "an event could not be written to the audit log");
        }
        self.notify(&effects).await;
    }

    /// Logs that an operation was refused and notifies the hooks. The audit log has it within a second, or,
    /// if very many are refused, their number.
    pub(crate) async fn refused(&self, effects: Effects) {
        self.notify(&effects).await;
        self.refusals.add(effects);
    }

    /// Counts an operation that was refused: the audit log has the number of those of a `kind` within a
    /// minute.
    pub fn count_refusal(&self, kind: &'static str) {
        self.refusals.count(kind);
        self.tally.throttle(kind);
    }

    /// The revocation statement as of now: it has everything that this instance has revoked or been notified
    /// of, and is at most five seconds old. A call within 50 ms of the last statement waits until they have
    /// passed. While the change feed is disconnected, the statement is at most 50 ms old.
    ///
    /// # Errors
    /// [`FeedError`] if the revocations cannot be read, or the statement cannot be signed.
    pub async fn revocation_statement(&self) -> Result<Arc<Published>, FeedError> {
        let (store, access, clock) = (self.store.as_ref(), &self.settings.access, self.clock.as_ref());
        self.feed.current(store, &self.live, &self.keys, access, clock).await
    }
}
