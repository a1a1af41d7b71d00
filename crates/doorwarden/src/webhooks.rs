use doorwarden_core::audit::Origin;
use doorwarden_core::context::Context;
use doorwarden_core::flow::webhooks::{self, WebhookError};
use doorwarden_core::store::{DeliveryQueue, StoreError};
use doorwarden_core::token::webhook::WebhookSecret;
use doorwarden_core::webhook::{
    Delivery, DeliveryState, EventTypes, MessageId, Webhook, WebhookName, WebhookResponse,
};
use std::sync::Arc;

/// The endpoints of webhooks, from [`Doorwarden::webhooks`](crate::Doorwarden::webhooks): services to which
/// events are reported, signed as [Standard Webhooks](https://www.standardwebhooks.com) defines it.
#[derive(Debug, Clone)]
pub struct Webhooks {
    context: Arc<Context>,
    origin: Origin,
}

impl Webhooks {
    pub(crate) fn new(context: Arc<Context>, origin: Origin) -> Self {
        Self { context, origin }
    }

    /// Every endpoint, by name.
    ///
    /// # Errors
    /// The database operation failed.
    pub async fn list(&self) -> Result<Vec<Webhook>, StoreError> {
        self.context.store.webhooks().await
    }

    /// Adds an endpoint, and returns its secret, which the receiver needs and nobody is shown again.
    ///
    /// # Errors
    /// Nothing may be sent to the URL, there is an endpoint of this name, or the database operation failed.
    pub async fn add(
        &self,
        name: &WebhookName,
        url: &str,
        events: EventTypes,
    ) -> Result<WebhookSecret, WebhookError> {
        webhooks::add_webhook(&self.context, name, url, events, &self.origin).await
    }

    /// Removes an endpoint, with what waits for it.
    ///
    /// # Errors
    /// There is no such endpoint, or the database operation failed.
    pub async fn remove(&self, name: &WebhookName) -> Result<(), WebhookError> {
        webhooks::remove_webhook(&self.context, name, &self.origin).await
    }

    /// Replaces the secret of an endpoint, and returns the new one. The former one also signs for a while.
    ///
    /// # Errors
    /// There is no such endpoint, the configuration has its secret, or the database operation failed.
    pub async fn rotate_secret(&self, name: &WebhookName) -> Result<WebhookSecret, WebhookError> {
        webhooks::rotate_webhook_secret(&self.context, name, &self.origin).await
    }

    /// Lets an endpoint have events again, and those that wait for it at once. `false` if it is enabled.
    ///
    /// # Errors
    /// There is no such endpoint, or the database operation failed.
    pub async fn enable(&self, name: &WebhookName) -> Result<bool, WebhookError> {
        webhooks::enable_webhook(&self.context, name, true, &self.origin).await
    }

    /// Sends no more events to an endpoint: what happens from now on is lost for it, what waits stays.
    /// `false` if it is disabled.
    ///
    /// # Errors
    /// There is no such endpoint, or the database operation failed.
    pub async fn disable(&self, name: &WebhookName) -> Result<bool, WebhookError> {
        webhooks::enable_webhook(&self.context, name, false, &self.origin).await
    }

    /// Sends a message of the type `webhook.test` at once; returns its id and the response.
    ///
    /// # Errors
    /// There is no such endpoint, or no response.
    pub async fn test(&self, name: &WebhookName) -> Result<(MessageId, WebhookResponse), WebhookError> {
        webhooks::test_webhook(&self.context, name).await
    }

    /// At most `limit` deliveries to an endpoint, the newest first, those before `before`; only those in a
    /// state, if one is given.
    ///
    /// # Errors
    /// There is no such endpoint, or the database operation failed.
    pub async fn deliveries(
        &self,
        name: &WebhookName,
        state: Option<DeliveryState>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, WebhookError> {
        webhooks::webhook(&self.context, name).await?;
        Ok(self.context.store.deliveries(name, state, before, limit).await?)
    }

    /// How much waits for an endpoint.
    ///
    /// # Errors
    /// The database operation failed.
    pub async fn queue(&self, name: &WebhookName) -> Result<DeliveryQueue, StoreError> {
        self.context.store.delivery_queue(name).await
    }

    /// Makes the delivery of a message due, whatever became of it; `false` if there is none.
    ///
    /// # Errors
    /// There is no such endpoint, or the database operation failed.
    pub async fn redeliver(&self, name: &WebhookName, message: MessageId) -> Result<bool, WebhookError> {
        Ok(webhooks::redeliver(&self.context, name, Some(message), &self.origin).await? > 0)
    }

    /// Makes everything due that failed or waits for another attempt, and returns how much.
    ///
    /// # Errors
    /// There is no such endpoint, or the database operation failed.
    pub async fn redeliver_failed(&self, name: &WebhookName) -> Result<u64, WebhookError> {
        webhooks::redeliver(&self.context, name, None, &self.origin).await
    }
}
