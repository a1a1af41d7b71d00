//! `doorwarden webhook`: endpoints to which events are reported, and what became of what was sent to them.

use super::prompt;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{List, Output, count};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Subcommand};
use doorwarden::{
    Delivery, DeliveryState, Doorwarden, EventTypes, MessageId, Webhook, WebhookError, WebhookName, Webhooks,
};
use serde_json::{Value, json};

/// The number of deliveries per page.
const PAGE: u32 = 500;

/// Subcommands of `webhook`.
#[derive(Debug, Subcommand)]
pub(crate) enum Subcommands {
    /// List the endpoints, their states, and how much waits for them
    List,
    /// Add an endpoint; prints its secret, which is not shown again
    Add {
        /// Name of the endpoint: lowercase letters, digits, `-` and `_`
        name: WebhookName,
        /// Where events are sent: an `https://` URL
        url: String,
        /// Only events of this type, such as `user.created`; can be repeated
        #[arg(long = "event", value_name = "TYPE")]
        events: Vec<String>,
    },
    /// Remove an endpoint, with what waits for it
    Remove {
        /// Name of the endpoint
        name: WebhookName,
        /// Skip the confirmation prompt
        #[arg(long, short)]
        yes: bool,
    },
    /// Replace the secret of an endpoint; both sign for a day (`webhooks.rotation`)
    RotateSecret {
        /// Name of the endpoint
        name: WebhookName,
    },
    /// Send events to an endpoint again that was paused or disabled, and what waits for it at once
    Enable {
        /// Name of the endpoint
        name: WebhookName,
    },
    /// Send an endpoint no more events; what waits for it stays
    Disable {
        /// Name of the endpoint
        name: WebhookName,
    },
    /// Send a test message to an endpoint, without the queue
    Test {
        /// Name of the endpoint
        name: WebhookName,
    },
    /// List what was sent to an endpoint, and what waits, the newest first
    Deliveries {
        /// Name of the endpoint
        name: WebhookName,
        /// Only deliveries in this state
        #[arg(long, value_parser = PossibleValuesParser::new(DeliveryState::ALL.map(DeliveryState::as_str))
            .try_map(|word| DeliveryState::from_stored(&word).ok_or("not a state")))]
        state: Option<DeliveryState>,
        /// Maximum number of deliveries to list
        #[arg(long, value_name = "COUNT")]
        limit: Option<u64>,
    },
    /// Let the service send messages again, whatever became of them
    Redeliver(Redeliver),
}

/// Arguments of `webhook redeliver`.
#[derive(Debug, Args)]
pub(crate) struct Redeliver {
    /// Name of the endpoint
    name: WebhookName,
    /// Message id
    #[arg(required_unless_present = "failed", conflicts_with = "failed")]
    message: Option<MessageId>,
    /// Every message that failed or waits for another attempt
    #[arg(long)]
    failed: bool,
}

pub(super) async fn run(config: &Config, command: Subcommands, out: Output) -> Result<(), Failure> {
    // Secrets are sealed with the secret key.
    let needs_keys = matches!(
        command,
        Subcommands::Add { .. } | Subcommands::RotateSecret { .. } | Subcommands::Test { .. }
    );
    let auth = if needs_keys { super::open_with_keys(config).await? } else { super::open(config).await? };
    let result = on(&auth, command, out).await;
    auth.close().await;
    result
}

async fn on(auth: &Doorwarden, command: Subcommands, out: Output) -> Result<(), Failure> {
    let webhooks = auth.webhooks();
    match command {
        Subcommands::List => list(&webhooks, out).await,
        Subcommands::Add { name, url, events } => add(&webhooks, &name, &url, &events, out).await,
        Subcommands::Remove { name, yes } => {
            prompt::confirm(yes, &format!("Remove webhook `{name}`, and what waits for it?"))?;
            webhooks.remove(&name).await?;
            out.done(&format!("Removed webhook `{name}`"), &json!({"name": name.as_str(), "removed": true}))
        }
        Subcommands::RotateSecret { name } => {
            let secret = webhooks.rotate_secret(&name).await?.expose();
            let value = json!({"name": name.as_str(), "secret": secret.as_str()});
            let sentence =
                format!("The new secret of webhook `{name}`, which is not shown again: {}", *secret);
            out.done(&sentence, &value)
        }
        Subcommands::Enable { name } => {
            let word =
                if webhooks.enable(&name).await? { "Enabled webhook" } else { "Already enabled: webhook" };
            out.done(&format!("{word} `{name}`"), &json!({"name": name.as_str(), "state": "enabled"}))
        }
        Subcommands::Disable { name } => {
            let word =
                if webhooks.disable(&name).await? { "Disabled webhook" } else { "Already disabled: webhook" };
            out.done(&format!("{word} `{name}`"), &json!({"name": name.as_str(), "state": "disabled"}))
        }
        Subcommands::Test { name } => test(&webhooks, &name, out).await,
        Subcommands::Deliveries { name, state, limit } => {
            deliveries(&webhooks, &name, state, limit.unwrap_or(u64::MAX), out).await
        }
        Subcommands::Redeliver(Redeliver { name, message: Some(message), .. }) => {
            match webhooks.redeliver(&name, message).await? {
                true => out.done(
                    &format!("Made message `{message}` due"),
                    &json!({"name": name.as_str(), "id": message.to_string(), "redelivered": 1}),
                ),
                false => {
                    Err(Failure::not_found(format!("no message `{message}` for webhook `{name}` found")))
                }
            }
        }
        Subcommands::Redeliver(Redeliver { name, message: None, .. }) => {
            let due = webhooks.redeliver_failed(&name).await?;
            let value = json!({"name": name.as_str(), "redelivered": due});
            out.done(&format!("Made {} due", count(due, "message")), &value)
        }
    }
}

async fn add(
    webhooks: &Webhooks,
    name: &WebhookName,
    url: &str,
    events: &[String],
    out: Output,
) -> Result<(), Failure> {
    let filter = EventTypes::of_types(events.iter().map(String::as_str)).map_err(|error| {
        Failure::usage(error.to_string()).hint("docs/webhooks.md lists the types of events")
    })?;
    let secret = webhooks.add(name, url, filter).await?.expose();
    let value = json!({"name": name.as_str(), "url": url, "secret": secret.as_str()});
    let added = format!("Added webhook `{name}`");
    let shown = format!("Its secret, which is not shown again: {}", *secret);
    out.done_each(&[added, shown], &value)
}

async fn list(webhooks: &Webhooks, out: Output) -> Result<(), Failure> {
    let mut list = List::new(out, &["NAME", "STATE", "WAITING", "FAILED", "EVENTS", "URL"]);
    let mut rows = Vec::new();
    for webhook in webhooks.list().await? {
        let Webhook {
            name, url, events, state, reason, is_declared, created_at, failing_since, former, ..
        } = &webhook;
        let queue = webhooks.queue(name).await?;
        let types = events.types();
        let value = json!({
            "name": name.as_str(),
            "url": url,
            "events": types,
            "state": state.as_str(),
            "reason": reason,
            "declared": is_declared,
            "created_at": created_at,
            "failing_since": failing_since,
            "former_secret_until": former.as_ref().map(|(_, until)| until),
            "waiting": queue.queued,
            "failed": queue.failed,
            "oldest": queue.oldest,
        });
        let types = if types.is_empty() { "all".to_owned() } else { types.join(",") };
        let cells = [
            name.as_str(),
            state.as_str(),
            &queue.queued.to_string(),
            &queue.failed.to_string(),
            &types,
            url,
        ];
        rows.push((value, cells.map(str::to_owned).to_vec()));
    }
    list.page(&rows)?;
    list.end("No webhooks found")
}

async fn test(webhooks: &Webhooks, name: &WebhookName, out: Output) -> Result<(), Failure> {
    let (message, response) = webhooks.test(name).await?;
    let status = response.status;
    if !(200..300).contains(&status) {
        return Err(Failure::no(format!("webhook `{name}` answered the test with {status}")));
    }
    let value = json!({"name": name.as_str(), "id": message.to_string(), "status": status});
    out.done(&format!("Sent message `{message}` to webhook `{name}`, which answered {status}"), &value)
}

async fn deliveries(
    webhooks: &Webhooks,
    name: &WebhookName,
    state: Option<DeliveryState>,
    mut left: u64,
    out: Output,
) -> Result<(), Failure> {
    let mut list = List::new(out, &["ID", "TYPE", "USER", "STATE", "ATTEMPTS", "HAPPENED", "ERROR"]);
    let mut before = None;
    loop {
        let size = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = webhooks.deliveries(name, state, before, size).await?;
        let row = |delivery: &Delivery| {
            let cells = vec![
                delivery.message.to_string(),
                delivery.event_type().to_owned(),
                delivery.user.map_or("-".to_owned(), |user| user.to_string()),
                delivery.state.as_str().to_owned(),
                delivery.attempts.to_string(),
                delivery.at.to_string(),
                delivery.error.clone().unwrap_or_else(|| "-".to_owned()),
            ];
            (value(delivery), cells)
        };
        list.page(&page.iter().map(row).collect::<Vec<_>>())?;
        left -= page.len() as u64;
        match page.last() {
            Some(last) if page.len() == size as usize && left > 0 => before = Some(last.id),
            _ => return list.end("No deliveries found"),
        }
    }
}

fn value(delivery: &Delivery) -> Value {
    let is_queued = delivery.state == DeliveryState::Queued;
    json!({
        "id": delivery.message.to_string(),
        "type": delivery.event_type(),
        "user_id": delivery.user,
        "state": delivery.state.as_str(),
        "attempts": delivery.attempts,
        "at": delivery.at,
        "due_at": Some(delivery.due_at).filter(|_| is_queued),
        "ended_at": Some(delivery.due_at).filter(|_| !is_queued),
        "status": delivery.status,
        "error": delivery.error,
    })
}

impl From<WebhookError> for Failure {
    fn from(error: WebhookError) -> Self {
        let text = error.to_string();
        match error {
            WebhookError::Unknown(_) => Self::not_found(text).hint("`doorwarden webhook list` lists them"),
            WebhookError::Url(..) => Self::usage(text)
                .hint("addresses of private networks can be allowed with `webhooks.allow_private`"),
            WebhookError::Declared(_) => Self::no(text).hint("change it there"),
            WebhookError::Sealed(_) => Self::no(text)
                .hint("replace it with `doorwarden webhook rotate-secret`, or set `old_secret_keys`"),
            WebhookError::Exists(_) | WebhookError::Send(_) | WebhookError::NoClient => Self::no(text),
            WebhookError::Store(error) => error.into(),
        }
    }
}
