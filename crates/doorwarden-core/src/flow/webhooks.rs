//! The administration of endpoints of webhooks.

use crate::audit::Origin;
use crate::context::Context;
use crate::event::{Event, Found};
use crate::random::uuid;
use crate::store::StoreError;
use crate::token::webhook::WebhookSecret;
use crate::webhook::{
    EventTypes, MessageId, Webhook, WebhookName, WebhookRequest, WebhookResponse, WebhookState, test_body,
};

/// Why an endpoint is disabled that was declared before.
const NOT_DECLARED: &str = "no longer in the configuration";

/// An endpoint that the configuration declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredWebhook {
    /// The name.
    pub name: WebhookName,
    /// Where events are sent.
    pub url: String,
    /// Which events it gets.
    pub events: EventTypes,
    /// The secret.
    pub secret: WebhookSecret,
}

/// An endpoint could not be added or changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WebhookError {
    /// This program sends no webhooks.
    #[error("webhooks cannot be sent: there is no client")]
    NoClient,
    /// Nothing may be sent to this URL.
    #[error("the URL of webhook `{0}` {1}")]
    Url(WebhookName, String),
    /// There is an endpoint of this name.
    #[error("there is a webhook `{0}` already")]
    Exists(WebhookName),
    /// There is no endpoint of this name.
    #[error("there is no webhook `{0}`")]
    Unknown(WebhookName),
    /// The configuration declares the endpoint: it must be changed there.
    #[error("webhook `{0}` is declared in the configuration")]
    Declared(WebhookName),
    /// The secret was sealed under another secret key.
    #[error("the secret of webhook `{0}` was sealed under another secret key")]
    Sealed(WebhookName),
    /// The message was not answered.
    #[error("{0}")]
    Send(String),
    /// The database operation failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds an endpoint, and returns its secret, which is new unless it is given.
///
/// # Errors
/// [`WebhookError`] if nothing may be sent to the URL, the name is taken, or the database operation failed.
pub async fn add_webhook(
    context: &Context,
    name: &WebhookName,
    url: &str,
    events: EventTypes,
    origin: &Origin,
) -> Result<WebhookSecret, WebhookError> {
    let secret = WebhookSecret::of_random(context.random.bytes());
    let added = add(context, name, url, events, &secret, false, origin).await?;
    if added { Ok(secret) } else { Err(WebhookError::Exists(name.clone())) }
}

async fn add(
    context: &Context,
    name: &WebhookName,
    url: &str,
    events: EventTypes,
    secret: &WebhookSecret,
    is_declared: bool,
    origin: &Origin,
) -> Result<bool, WebhookError> {
    check(context, name, url)?;
    let sealed = context.courier.vault().seal(context.random.bytes(), name, secret);
    let effects = context.effects(origin, [Event::WebhookAdded { webhook: name.to_string() }]);
    let webhook =
        Webhook { events, is_declared, ..Webhook::new(name.clone(), url.to_owned(), sealed, effects.at) };
    let added = context.store.add_webhook(webhook, effects.clone()).await?;
    if added {
        context.notify(&effects).await;
    }
    Ok(added)
}

fn check(context: &Context, name: &WebhookName, url: &str) -> Result<(), WebhookError> {
    let client = context.courier.client().ok_or(WebhookError::NoClient)?;
    client.check(url).map_err(|wrong| WebhookError::Url(name.clone(), wrong))
}

/// The endpoint of this name.
///
/// # Errors
/// [`WebhookError`] if there is none, or the database operation failed.
pub async fn webhook(context: &Context, name: &WebhookName) -> Result<Webhook, WebhookError> {
    let found = context.store.webhooks().await?.into_iter().find(|webhook| webhook.name == *name);
    found.ok_or_else(|| WebhookError::Unknown(name.clone()))
}

/// Replaces the secret of an endpoint by a new one, which it returns. The former one also signs for a [while
/// ](crate::settings::WebhookSettings::rotation).
///
/// # Errors
/// [`WebhookError`] if there is no such endpoint, the configuration has its secret, or the database operation
/// failed.
pub async fn rotate_webhook_secret(
    context: &Context,
    name: &WebhookName,
    origin: &Origin,
) -> Result<WebhookSecret, WebhookError> {
    let found = undeclared(context, name).await?;
    let secret = WebhookSecret::of_random(context.random.bytes());
    match rotate(context, &found, &secret, origin).await? {
        true => Ok(secret),
        // Somebody else was faster, and was shown the secret that counts.
        false => Err(StoreError::failed("the secret was replaced at the same time").into()),
    }
}

async fn rotate(
    context: &Context,
    found: &Webhook,
    secret: &WebhookSecret,
    origin: &Origin,
) -> Result<bool, WebhookError> {
    let sealed = context.courier.vault().seal(context.random.bytes(), &found.name, secret);
    let effects = context.effects(origin, [Event::WebhookSecretRotated { webhook: found.name.to_string() }]);
    let until = effects.at.after(context.settings.webhooks.rotation);
    let store = context.store.as_ref();
    let rotated =
        store.rotate_webhook_secret(&found.name, &found.sealed, &sealed, until, effects.clone()).await?;
    if rotated {
        context.notify(&effects).await;
    }
    Ok(rotated)
}

async fn undeclared(context: &Context, name: &WebhookName) -> Result<Webhook, WebhookError> {
    let found = webhook(context, name).await?;
    if found.is_declared { Err(WebhookError::Declared(name.clone())) } else { Ok(found) }
}

/// Lets an endpoint have events again, and those that wait for it at once; or no more. `false` if that is so
/// already.
///
/// # Errors
/// [`WebhookError`] if there is no such endpoint, or the database operation failed.
pub async fn enable_webhook(
    context: &Context,
    name: &WebhookName,
    is_enabled: bool,
    origin: &Origin,
) -> Result<bool, WebhookError> {
    let found = webhook(context, name).await?;
    let webhook = name.to_string();
    let (state, reason, event) = if is_enabled {
        (WebhookState::Enabled, None, Event::WebhookEnabled { webhook })
    } else {
        (WebhookState::Disabled, Some("disabled by an operator"), Event::WebhookDisabled { webhook })
    };
    Ok(switch(context, &found, state, reason, event, origin).await?)
}

async fn switch(
    context: &Context,
    found: &Webhook,
    state: WebhookState,
    reason: Option<&str>,
    event: Event,
    origin: &Origin,
) -> Result<bool, StoreError> {
    let effects = context.effects(origin, [event]);
    let switched =
        context.store.switch_webhook(&found.name, state, reason, effects.at, effects.clone()).await?;
    if switched {
        context.notify(&effects).await;
    }
    Ok(switched)
}

/// Removes an endpoint, with what waits for it.
///
/// # Errors
/// [`WebhookError`] if there is no such endpoint, or the database operation failed.
pub async fn remove_webhook(
    context: &Context,
    name: &WebhookName,
    origin: &Origin,
) -> Result<(), WebhookError> {
    let effects = context.effects(origin, [Event::WebhookRemoved { webhook: name.to_string() }]);
    if !context.store.remove_webhook(name, effects.clone()).await? {
        return Err(WebhookError::Unknown(name.clone()));
    }
    context.notify(&effects).await;
    Ok(())
}

/// Sends a message of the type `webhook.test` to an endpoint at once, and returns its id and the response.
///
/// # Errors
/// [`WebhookError`] if there is no such endpoint, its secret cannot be opened, there was no response, or the
/// database operation failed.
pub async fn test_webhook(
    context: &Context,
    name: &WebhookName,
) -> Result<(MessageId, WebhookResponse), WebhookError> {
    let found = webhook(context, name).await?;
    let client = context.courier.client().ok_or(WebhookError::NoClient)?;
    let now = context.now();
    let secrets = context.courier.secrets(&found, now).ok_or_else(|| WebhookError::Sealed(name.clone()))?;
    let message = MessageId(uuid(now, context.random.bytes()));
    let request = WebhookRequest::new(&found.url, message, test_body(now), now, &secrets);
    Ok((message, client.send(&request).await.map_err(WebhookError::Send)?))
}

/// Makes the delivery of a message due, or of every message that failed or waits for another attempt, and
/// returns how many. An instance that sends webhooks sends them within seconds, in any order.
///
/// # Errors
/// [`WebhookError`] if there is no such endpoint, or the database operation failed.
pub async fn redeliver(
    context: &Context,
    name: &WebhookName,
    message: Option<MessageId>,
    origin: &Origin,
) -> Result<u64, WebhookError> {
    webhook(context, name).await?;
    let event = Event::DeliveriesRepeated { webhook: name.to_string(), count: 0 };
    let effects = context.effects(origin, [event]);
    let count = context.store.redeliver(name, message, effects.at, effects.clone()).await?;
    if count > 0 {
        context.notify(&effects.with(Found::Count(count))).await;
    }
    Ok(count)
}

/// Makes the stored endpoints be as the configuration declares them. A secret that differs from the stored
/// one replaces it, and the former one also signs for a while. An endpoint that is no longer declared is
/// disabled, and loses nothing. Several instances may do it at once.
///
/// # Errors
/// [`WebhookError`] if nothing may be sent to a URL, or the database operation failed.
pub async fn declare_webhooks(
    context: &Context,
    declared: &[DeclaredWebhook],
    origin: &Origin,
) -> Result<(), WebhookError> {
    let stored = context.store.webhooks().await?;
    for webhook in declared {
        let DeclaredWebhook { name, url, events, secret } = webhook;
        match stored.iter().find(|stored| stored.name == *name) {
            None => {
                add(context, name, url, events.clone(), secret, true, origin).await?;
            }
            Some(found) => adapt(context, found, webhook, origin).await?,
        }
    }
    let is_left = |stored: &&Webhook| {
        stored.is_declared && declared.iter().all(|declared| declared.name != stored.name)
    };
    for left in stored.iter().filter(is_left) {
        let (state, reason) = (WebhookState::Disabled, Some(NOT_DECLARED));
        let event = Event::WebhookDisabled { webhook: left.name.to_string() };
        switch(context, left, state, reason, event, origin).await?;
    }
    Ok(())
}

async fn adapt(
    context: &Context,
    found: &Webhook,
    declared: &DeclaredWebhook,
    origin: &Origin,
) -> Result<(), WebhookError> {
    let DeclaredWebhook { name, url, events, secret } = declared;
    check(context, name, url)?;
    let effects = context.effects(origin, [Event::WebhookChanged { webhook: name.to_string() }]);
    if context.store.change_webhook(name, url, events, true, effects.clone()).await? {
        context.notify(&effects).await;
    }
    if context.courier.vault().open(name, &found.sealed).as_ref() != Some(secret) {
        rotate(context, found, secret, origin).await?;
    }
    if found.reason.as_deref() == Some(NOT_DECLARED) {
        let event = Event::WebhookEnabled { webhook: name.to_string() };
        switch(context, found, WebhookState::Enabled, None, event, origin).await?;
    }
    Ok(())
}

/// Seals secrets of endpoints under the current secret key that were sealed under an older one; how many.
///
/// # Errors
/// [`StoreError`] if the database operation failed.
pub async fn reseal_webhooks(context: &Context) -> Result<u64, StoreError> {
    let mut resealed = 0;
    for webhook in context.store.webhooks().await? {
        let vault = context.courier.vault();
        let again = |sealed: &[u8]| vault.resealed(context.random.bytes(), &webhook.name, sealed);
        let former = webhook.former.as_ref().map(|(sealed, _)| (sealed, again(sealed)));
        let current = again(&webhook.sealed);
        if current.is_some() || former.as_ref().is_some_and(|(_, again)| again.is_some()) {
            let current = current.as_deref().unwrap_or(&webhook.sealed);
            let former = former.as_ref().map(|(sealed, again)| again.as_deref().unwrap_or(sealed));
            resealed += u64::from(context.store.reseal_webhook(&webhook, current, former).await?);
        }
    }
    Ok(resealed)
}
