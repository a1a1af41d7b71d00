//! The sending of webhooks: who sends them, and with which secrets they are signed.

use crate::time::Timestamp;
use crate::token::SecretKey;
use crate::token::webhook::WebhookSecret;
use crate::webhook::{Webhook, WebhookClient, WebhookVault};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// Sends webhooks, if there is a client.
#[derive(Debug)]
pub struct Courier {
    client: Option<Arc<dyn WebhookClient>>,
    vault: WebhookVault,
    wake: Arc<Notify>,
    /// Whether there are endpoints, as far as this instance knows.
    has_endpoints: AtomicBool,
}

impl Courier {
    /// A courier whose secrets are sealed under a key of this secret key, and that sends with `client`.
    /// Without a client, this instance sends nothing.
    pub fn new(client: Option<Arc<dyn WebhookClient>>, secret: &SecretKey, old: &[SecretKey]) -> Self {
        Self {
            client,
            vault: WebhookVault::new(secret, old),
            wake: Arc::default(),
            has_endpoints: AtomicBool::new(false),
        }
    }

    /// The client.
    pub fn client(&self) -> Option<&Arc<dyn WebhookClient>> {
        self.client.as_ref()
    }

    /// Where the secrets of endpoints are sealed.
    pub fn vault(&self) -> &WebhookVault {
        &self.vault
    }

    /// The secrets that sign at this time, the current one first; `None` if it was sealed under another
    /// secret key.
    pub(crate) fn secrets(&self, webhook: &Webhook, now: Timestamp) -> Option<Vec<WebhookSecret>> {
        let current = self.vault.open(&webhook.name, &webhook.sealed)?;
        let former = webhook.former.as_ref().filter(|(_, until)| now < *until);
        let former = former.and_then(|(sealed, _)| self.vault.open(&webhook.name, sealed));
        Some([current].into_iter().chain(former).collect())
    }

    /// Lets what is new be sent at once, if there may be an endpoint.
    pub(crate) fn wake(&self) {
        if self.has_endpoints.load(Ordering::Relaxed) {
            self.wake.notify_one();
        }
    }

    /// What [`wake`](Self::wake) wakes.
    pub(crate) fn alarm(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    pub(crate) fn knows_of_endpoints(&self, are_there: bool) {
        self.has_endpoints.store(are_there, Ordering::Relaxed);
    }
}
