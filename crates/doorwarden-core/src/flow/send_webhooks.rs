//! The sending of webhooks, each attempt by one instance.

use crate::audit::{Actor, Effects};
use crate::context::Context;
use crate::event::Event;
use crate::mail::{MailContent, MailKind};
use crate::outbox::{Letter, NOTICE_WORTH};
use crate::store::{DeliveryFailure, StoreError};
use crate::tally::Counted;
use crate::time::Timestamp;
use crate::webhook::{
    Delivery, RetryAfter, Webhook, WebhookClient, WebhookName, WebhookRequest, WebhookState,
};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::task::JoinSet;

/// How long an instance may take for what it has claimed; after that another one may send it.
const LEASE: Duration = Duration::from_mins(1);
/// How long one attempt may take, whatever the client does.
const SEND_LIMIT: Duration = Duration::from_secs(20);
/// How many messages are sent to one endpoint at the same time by an instance.
const AT_ONCE: usize = 8;
/// How often is looked for what is due without being woken: for what another instance wrote and did not send,
/// and for retries.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How often is looked for endpoints while there are none.
const LOOK_FOR_ENDPOINTS: Duration = Duration::from_secs(10);
/// The waits before each attempt but the first: the schedule that Standard Webhooks recommends.
const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];
/// As many attempts for one message fail before an endpoint is paused: a service that was stopped for days
/// has not tried for days.
const ATTEMPTS_BEFORE_PAUSE: u32 = 4;
/// The longest wait that an endpoint may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);
/// The response of an endpoint that wants no more (RFC 9110, section 15.5.11).
const GONE: u16 = 410;

/// Starts the sending until the context is dropped.
pub(crate) fn start(context: &Arc<Context>) {
    if let Some(client) = context.courier.client() {
        tokio::spawn(send_all(Arc::downgrade(context), Arc::clone(client)));
    }
}

async fn send_all(context: Weak<Context>, client: Arc<dyn WebhookClient>) {
    let mut sending = Sending { client, tasks: JoinSet::new(), running: HashMap::new() };
    let mut has_failed = false;
    loop {
        let Some(strong) = context.upgrade() else { return };
        let begun = sending.begin_due(&strong).await;
        if let Err(error) = &begun
            && !has_failed
        {
            tracing::warn!(%error, "the webhooks to be sent could not be read; trying again");
        }
        has_failed = begun.is_err();
        let are_there = begun.unwrap_or(true);
        // Without a reference to the context, which would never be dropped.
        let alarm = strong.courier.alarm();
        drop(strong);
        let wait = if are_there { LOOK_EVERY } else { LOOK_FOR_ENDPOINTS };
        tokio::select! {
            // What waits for a place, or for an earlier event of its account, gets its turn.
            Some(done) = sending.tasks.join_next(), if !sending.tasks.is_empty() => sending.done(done),
            () = alarm.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
        while let Some(done) = sending.tasks.try_join_next() {
            sending.done(done);
        }
    }
}

/// Sends what is due now, once; returns how many messages were tried. For programs without background tasks,
/// and for tests.
///
/// # Errors
/// [`StoreError`] if the database operation failed. What was claimed is tried again later.
pub async fn send_due(context: &Arc<Context>) -> Result<usize, StoreError> {
    let Some(client) = context.courier.client() else { return Ok(0) };
    let mut sending = Sending { client: Arc::clone(client), tasks: JoinSet::new(), running: HashMap::new() };
    let mut count = 0;
    loop {
        let before = count;
        sending.begin_due(context).await?;
        while let Some(done) = sending.tasks.join_next().await {
            count += 1;
            sending.done(done);
        }
        if count == before {
            return Ok(count);
        }
    }
}

/// The messages that are being sent.
struct Sending {
    client: Arc<dyn WebhookClient>,
    tasks: JoinSet<WebhookName>,
    running: HashMap<WebhookName, usize>,
}

impl Sending {
    /// Takes what is due, as far as there is a place, and begins to send it; returns whether there are
    /// endpoints.
    async fn begin_due(&mut self, context: &Arc<Context>) -> Result<bool, StoreError> {
        let webhooks = context.store.webhooks().await?;
        let are_there = !webhooks.is_empty();
        context.courier.knows_of_endpoints(are_there);
        for webhook in webhooks.into_iter().filter(|webhook| webhook.state == WebhookState::Enabled) {
            let webhook = Arc::new(webhook);
            loop {
                let free = AT_ONCE.saturating_sub(self.running.get(&webhook.name).copied().unwrap_or(0));
                if free == 0 {
                    break;
                }
                let now = context.now();
                let limit = u32::try_from(free).unwrap_or(1);
                let claimed =
                    context.store.claim_deliveries(&webhook.name, now, now.after(LEASE), limit).await?;
                for delivery in claimed.deliveries {
                    *self.running.entry(webhook.name.clone()).or_default() += 1;
                    let (context, client) = (Arc::clone(context), Arc::clone(&self.client));
                    let webhook = Arc::clone(&webhook);
                    self.tasks.spawn(async move {
                        if let Err(error) = attempt(&context, client.as_ref(), &webhook, delivery).await {
                            tracing::warn!(%error, webhook = %webhook.name, "what became of a webhook could not be written");
                        }
                        webhook.name.clone()
                    });
                }
                if !claimed.is_more {
                    break;
                }
            }
        }
        Ok(are_there)
    }

    fn done(&mut self, done: Result<WebhookName, tokio::task::JoinError>) {
        match done {
            Ok(name) => {
                if let Some(count) = self.running.get_mut(&name) {
                    *count = count.saturating_sub(1);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the sending of a webhook panicked");
                // Nobody knows to which endpoint it belonged: let none wait for it for ever.
                if self.tasks.is_empty() {
                    self.running.clear();
                }
            }
        }
    }
}

async fn attempt(
    context: &Context,
    client: &dyn WebhookClient,
    webhook: &Webhook,
    delivery: Delivery,
) -> Result<(), StoreError> {
    let (id, attempt, message) = (delivery.id, delivery.attempts, delivery.message);
    let result = match context.courier.secrets(webhook, context.now()) {
        Some(secrets) => {
            let body = delivery.body();
            let request = WebhookRequest::new(&webhook.url, message, body, context.now(), &secrets);
            let late = Err("there was no response in time".to_owned());
            tokio::time::timeout(SEND_LIMIT, client.send(&request)).await.unwrap_or(late)
        }
        None => Err("the secret of the endpoint was sealed under another secret key".to_owned()),
    };
    let now = context.now();
    let (status, reason, retry_after) = match result {
        Ok(response) if (200..300).contains(&response.status) => {
            tracing::info!(webhook = %webhook.name, message.id = %message, attempt, "a webhook was delivered");
            context.tally.add(Counted::WebhookDelivered, 1);
            return context.store.delivered(id, attempt, response.status, now).await;
        }
        Ok(response) => {
            let reason = format!("the response was {}", response.status);
            (Some(response.status), reason, response.retry_after)
        }
        Err(reason) => (None, reason, None),
    };
    let failed_for = webhook.failing_since.map_or(Duration::ZERO, |since| now.since(since));
    let is_over = failed_for >= context.settings.webhooks.pause_after && attempt >= ATTEMPTS_BEFORE_PAUSE;
    let retry_at = match attempt {
        // What makes the endpoint stop waits for it.
        _ if status == Some(GONE) || is_over => Some(now),
        attempt => wait_after(attempt, retry_after, now, context.random.bytes()).map(|wait| now.after(wait)),
    };
    tracing::warn!(
        webhook = %webhook.name, message.id = %message, attempt, reason, is_last = retry_at.is_none(),
        "a webhook was not delivered"
    );
    let counted = if retry_at.is_some() { Counted::WebhookDeferred } else { Counted::WebhookGivenUp };
    context.tally.add(counted, 1);
    let failure = DeliveryFailure { at: now, status, reason: reason.clone(), retry_at };
    context.store.delivery_failed(id, attempt, failure).await?;
    match (status, webhook.failing_since) {
        (Some(GONE), _) => {
            let event = Event::WebhookDisabled { webhook: webhook.name.to_string() };
            stop(context, webhook, WebhookState::Disabled, &reason, now, event).await
        }
        (_, Some(since)) if is_over => {
            let event = Event::WebhookPaused { webhook: webhook.name.to_string() };
            stop(context, webhook, WebhookState::Paused, &reason, since, event).await
        }
        _ => Ok(()),
    }
}

/// Sends nothing more to an endpoint, and tells the operator.
async fn stop(
    context: &Context,
    webhook: &Webhook,
    state: WebhookState,
    reason: &str,
    since: Timestamp,
    event: Event,
) -> Result<(), StoreError> {
    let effects = context.effects(&Actor::System.into(), [event]);
    let effects = tell_operator(context, effects, webhook, reason, since);
    let at = effects.at;
    if context.store.switch_webhook(&webhook.name, state, Some(reason), at, effects.clone()).await? {
        context.notify(&effects).await;
    }
    Ok(())
}

fn tell_operator(
    context: &Context,
    effects: Effects,
    webhook: &Webhook,
    reason: &str,
    since: Timestamp,
) -> Effects {
    let Some(operator) = context.settings.mail.operator.as_ref().filter(|_| context.outbox.is_open()) else {
        return effects;
    };
    let content = MailContent {
        webhook: Some(webhook.name.to_string()),
        reason: Some(reason.to_owned()),
        at: Some(since),
        ..MailContent::default()
    };
    effects.mailing_all(context.write_mail(Letter {
        kind: MailKind::WebhookStopped,
        to: operator.as_str().to_owned(),
        user: None,
        locale: context.settings.mail.locale,
        content,
        worth: NOTICE_WORTH,
        is_decoy: false,
    }))
}

/// How long to wait after this attempt; `None` if it was the last. Give or take a tenth, so that what failed
/// together does not come back together, but never less than the endpoint asks for.
fn wait_after(
    attempt: u32,
    retry_after: Option<RetryAfter>,
    now: Timestamp,
    random: [u8; 2],
) -> Option<Duration> {
    let place = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let wait = *WAITS.get(place)?;
    let tenth = wait / 10;
    let wait = tenth * 9 + tenth * 2 * u32::from(u16::from_le_bytes(random)) / u32::from(u16::MAX);
    let asked = match retry_after {
        None => Duration::ZERO,
        Some(RetryAfter::In(wait)) => wait,
        Some(RetryAfter::At(at)) => at.since(now),
    };
    Some(wait.max(asked.min(LONGEST_RETRY_AFTER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attempts_follow_the_schedule_with_a_jitter_of_a_tenth() {
        let now = Timestamp::from_seconds(1_795_435_200);
        let wait =
            |attempt, random| wait_after(attempt, None, now, [random; 2]).map(|wait| wait.as_secs_f64());
        for (attempt, seconds) in (1..).zip([5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]) {
            let seconds = f64::from(seconds);
            let (least, most) = (wait(attempt, 0).unwrap(), wait(attempt, 255).unwrap());
            assert!((least - seconds * 0.9).abs() < 1e-6 && (most - seconds * 1.1).abs() < 1e-6, "{attempt}");
        }
        assert_eq!(wait(10, 0), None);
        assert_eq!(wait(0, 0), wait(1, 0));
    }

    #[test]
    fn an_endpoint_may_ask_for_more_time_but_not_for_more_than_a_day() {
        let now = Timestamp::from_seconds(1_795_435_200);
        let wait = |asked| wait_after(2, Some(asked), now, [0; 2]).unwrap().as_secs();
        assert_eq!(wait(RetryAfter::In(Duration::from_secs(1))), 270);
        assert_eq!(wait(RetryAfter::In(Duration::from_secs(999))), 999);
        assert_eq!(wait(RetryAfter::At(now.after(Duration::from_secs(998)))), 998);
        assert_eq!(wait(RetryAfter::At(now.before(Duration::from_secs(998)))), 270);
        assert_eq!(wait(RetryAfter::In(Duration::MAX)), 86_400);
    }

    #[test]
    fn an_endpoint_is_paused_before_an_event_is_given_up() {
        let all: Duration = WAITS.iter().map(|wait| wait.mul_f64(0.9)).sum();
        let settings = crate::settings::WebhookSettings::default();
        assert!(WAITS.iter().sum::<Duration>() > settings.pause_after && all < settings.keep);
    }
}
