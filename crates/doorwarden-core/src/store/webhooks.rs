use super::StoreError;
use crate::audit::Effects;
use crate::time::Timestamp;
use crate::webhook::{Delivery, DeliveryState, EventTypes, MessageId, Webhook, WebhookName, WebhookState};
use async_trait::async_trait;

/// Endpoints of webhooks, and what is to be sent to them.
///
/// The write that causes an event also writes one delivery for each endpoint that gets such events, so that
/// no event is without its deliveries. While there is no endpoint, it writes none.
#[async_trait]
pub trait WebhookStore {
    /// Every endpoint, by name.
    async fn webhooks(&self) -> Result<Vec<Webhook>, StoreError>;

    /// Adds an endpoint. `false` if there is one of this name.
    async fn add_webhook(&self, webhook: Webhook, effects: Effects) -> Result<bool, StoreError>;

    /// Changes the URL of an endpoint, which events it gets, and whether the configuration declares it.
    /// `false` if there is no such endpoint, or nothing changes.
    async fn change_webhook(
        &self,
        name: &WebhookName,
        url: &str,
        events: &EventTypes,
        is_declared: bool,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Replaces the secret of an endpoint, which was sealed as `former`; the former one also signs until
    /// `until`. `false` if the secret is another one by now.
    async fn rotate_webhook_secret(
        &self,
        name: &WebhookName,
        former: &[u8],
        sealed: &[u8],
        until: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Stores the same secrets sealed anew, if they are still sealed as `webhook` says. `former` is the
    /// secret before the current one; `None` forgets it.
    async fn reseal_webhook(
        &self,
        webhook: &Webhook,
        sealed: &[u8],
        former: Option<&[u8]>,
    ) -> Result<bool, StoreError>;

    /// Changes whether an endpoint gets events, and why. If it is enabled, everything that waits for it is
    /// due at once, with all its attempts, and the endpoint has not failed. `false` if there is no such
    /// endpoint, or it is in this state.
    async fn switch_webhook(
        &self,
        name: &WebhookName,
        state: WebhookState,
        reason: Option<&str>,
        at: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError>;

    /// Removes an endpoint with its deliveries. `false` if there is no such endpoint.
    async fn remove_webhook(&self, name: &WebhookName, effects: Effects) -> Result<bool, StoreError>;

    /// Takes at most `limit` deliveries of an enabled endpoint that are due, for an attempt that ends before
    /// `until`: nobody else takes them before that. The number of attempts is raised at once. An event of an
    /// account is taken only when none before it waits for the same endpoint; until then it is due no earlier
    /// than that.
    async fn claim_deliveries(
        &self,
        name: &WebhookName,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Claimed, StoreError>;

    /// The endpoint answered 2xx to this attempt. The next event of the account is due.
    async fn delivered(
        &self,
        delivery: i64,
        attempt: u32,
        status: u16,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// This attempt failed, for a reason that is shown to operators. The delivery is due again at `retry_at`;
    /// without that, the attempts have ended, and the next event of the account is due. The endpoint fails
    /// since then, or since before.
    async fn delivery_failed(
        &self,
        delivery: i64,
        attempt: u32,
        failure: DeliveryFailure,
    ) -> Result<(), StoreError>;

    /// Makes the delivery of a message due, or of all that failed or wait for another attempt if there is no
    /// message; returns how many. They neither wait for others of their account nor hold them back.
    async fn redeliver(
        &self,
        name: &WebhookName,
        message: Option<MessageId>,
        at: Timestamp,
        effects: Effects,
    ) -> Result<u64, StoreError>;

    /// Deliveries of an endpoint by [`id`](Delivery::id), the newest first, those before `before` and at most
    /// `limit`; only those in a state, if one is given.
    async fn deliveries(
        &self,
        name: &WebhookName,
        state: Option<DeliveryState>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// How many deliveries of an endpoint wait.
    async fn delivery_queue(&self, name: &WebhookName) -> Result<DeliveryQueue, StoreError>;

    /// Deletes at most `limit` deliveries of events before `before`, also those that wait; returns how many.
    async fn purge_deliveries(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// The result of [`WebhookStore::claim_deliveries`].
#[derive(Debug, Default)]
pub struct Claimed {
    /// What was taken, by number.
    pub deliveries: Vec<Delivery>,
    /// Whether there may be more that is due.
    pub is_more: bool,
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryFailure {
    /// The time.
    pub at: Timestamp,
    /// The status of the response, if there was one.
    pub status: Option<u16>,
    /// Why it failed.
    pub reason: String,
    /// When it is tried again; `None`: no more.
    pub retry_at: Option<Timestamp>,
}

/// What waits for an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryQueue {
    /// How many deliveries wait.
    pub queued: u64,
    /// How many were given up and are not deleted yet.
    pub failed: u64,
    /// The time of the oldest event that waits.
    pub oldest: Option<Timestamp>,
}
