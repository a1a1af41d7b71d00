//! Checks whether webhooks can be sent, and whether they were.

use super::Report;
use crate::config::Config;
use crate::output::count;
use doorwarden::core::store::{Store, StoreError};
use doorwarden::core::time::{Clock, SystemClock};
use doorwarden::{WebhookClient as _, WebhookState};
use doorwarden_webhook::HttpClient;
use std::time::Duration;

const CHECK: &str = "webhooks";

/// How long an event may wait without a warning.
const LONG: Duration = Duration::from_hours(1);

/// The configuration.
pub(super) fn check(config: &Config, report: &mut Report) {
    let client = HttpClient::new(config.webhooks.allow_private.iter().copied());
    for endpoint in &config.webhooks.endpoints {
        if let Err(wrong) = client.check(&endpoint.url) {
            let text = format!("the URL of `webhooks.endpoints.{}` {wrong}", endpoint.name);
            let advice = "correct it, or allow its network with `webhooks.allow_private`";
            report.error(CHECK, text, advice);
        }
    }
}

/// The endpoints, and what waits for them.
pub(super) async fn queue(store: &dyn Store, config: &Config, report: &mut Report) -> Result<(), StoreError> {
    let (webhooks, now) = (store.webhooks().await?, SystemClock.now());
    let mut waiting = 0;
    for webhook in &webhooks {
        let name = &webhook.name;
        let queue = store.delivery_queue(name).await?;
        waiting += queue.queued;
        match webhook.state {
            WebhookState::Enabled => {
                if let Some(since) = webhook.failing_since {
                    let text = format!("every message to `{name}` has failed since {since}");
                    report.warning(CHECK, text, format!("`doorwarden webhook deliveries {name}` tells why"));
                } else if queue.oldest.is_some_and(|oldest| now.since(oldest) > LONG) {
                    let text = format!("a message to `{name}` has waited for more than an hour");
                    report.warning(
                        CHECK,
                        text,
                        format!("`doorwarden webhook deliveries {name}` lists what waits"),
                    );
                }
            }
            state => {
                let why = webhook.reason.as_deref().unwrap_or("nobody knows why");
                let text = format!("`{name}` is {}: {why}; {}", state.as_str(), waits(queue.queued));
                report.warning(
                    CHECK,
                    text,
                    format!("`doorwarden webhook enable {name}` sends again, `remove` ends it"),
                );
            }
        }
        if queue.failed > 0 {
            let text = format!("{} to `{name}` could not be delivered", count(queue.failed, "message"));
            report.warning(
                CHECK,
                text,
                format!("`doorwarden webhook redeliver {name} --failed` sends them again"),
            );
        }
    }
    if config.settings.mail.operator.is_none() && !webhooks.is_empty() {
        let text = "nobody is told when an endpoint is paused";
        report.warning(CHECK, text, "set `mail.operator` to the email address of an operator");
    }
    if !webhooks.is_empty() && !report.has(CHECK, super::Level::Warning) {
        let endpoints = count(webhooks.len() as u64, "endpoint");
        report.ok(CHECK, format!("{endpoints}; {}", waits(waiting)));
    }
    Ok(())
}

fn waits(messages: u64) -> String {
    format!("{} waiting", count(messages, "message"))
}
