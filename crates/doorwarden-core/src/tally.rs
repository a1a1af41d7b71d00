//! What an instance has done in the background, and refused, since it started: for its metrics.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Counted {
    /// A mail was sent.
    MailSent,
    /// A mail could not be sent, and is tried again later.
    MailDeferred,
    /// A mail could not be sent, and is not tried again.
    MailGivenUp,
    /// A webhook was delivered.
    WebhookDelivered,
    /// A webhook could not be delivered, and is tried again later.
    WebhookDeferred,
    /// A webhook could not be delivered, and is not tried again by itself.
    WebhookGivenUp,
    /// An event of the audit log was sealed.
    EventSealed,
    /// The audit log could not be sealed.
    SealFailed,
}

/// How many kinds of things are counted.
const KINDS: usize = Counted::SealFailed as usize + 1;

/// The counts of one instance.
#[derive(Debug, Default)]
pub struct Tally {
    counts: [AtomicU64; KINDS],
    throttled: Mutex<BTreeMap<&'static str, u64>>,
}

impl Tally {
    /// How often it has happened.
    pub fn count(&self, what: Counted) -> u64 {
        self.counts[what as usize].load(Relaxed)
    }

    /// How many requests were refused because too many came before them, by the [limit](crate::limit::Limit)
    /// as the header `RateLimit` calls it.
    pub fn throttled(&self) -> Vec<(&'static str, u64)> {
        self.throttled.lock().iter().map(|(limit, count)| (*limit, *count)).collect()
    }

    pub(crate) fn add(&self, what: Counted, count: u64) {
        self.counts[what as usize].fetch_add(count, Relaxed);
    }

    pub(crate) fn throttle(&self, limit: &'static str) {
        *self.throttled.lock().entry(limit).or_default() += 1;
    }
}
