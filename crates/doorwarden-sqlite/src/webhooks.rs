//! Webhooks. What is to be sent is written by a trigger of the audit log.

use crate::audit;
use crate::failure::Failure;
use crate::rows::{Record, all, count, get, one, run};
use crate::store::SqliteStore;
use async_trait::async_trait;
use doorwarden_core::audit::{Actor, Effects, Outcome};
use doorwarden_core::event::Found;
use doorwarden_core::session::SessionId;
use doorwarden_core::store::{Claimed, DeliveryFailure, DeliveryQueue, StoreError, WebhookStore};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use doorwarden_core::webhook::{
    Delivery, DeliveryState, EventTypes, MessageId, Webhook, WebhookName, WebhookState,
};
use rusqlite::{Connection, Row, params};

const COLUMNS: &str = "id, message_id, webhook, kind, at, actor, actor_id, user_id, session_id, result, data, \
                       state, attempts, due_at, status, error";

/// How many deliveries one claim looks at.
const LOOK_AT: u32 = 200;

#[async_trait]
impl WebhookStore for SqliteStore {
    async fn webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        let sql = "SELECT name, url, events, sealed, former_sealed, former_until, state, reason, is_declared, \
                   created_at, failing_since FROM doorwarden_webhooks ORDER BY name";
        Ok(self.read(|connection| all(connection, sql, (), webhook))?)
    }

    async fn add_webhook(&self, webhook: Webhook, effects: Effects) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql = "INSERT INTO doorwarden_webhooks \
                       (name, url, events, sealed, state, is_declared, created_at) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
            let params = params![
                webhook.name.as_str(),
                webhook.url,
                stored(&webhook.events),
                webhook.sealed,
                webhook.state.as_str(),
                webhook.is_declared,
                webhook.created_at.as_micros(),
            ];
            let added = run(connection, sql, params)? > 0;
            Ok(audit::write_if(connection, added, &effects)?)
        })
        .await
    }

    async fn change_webhook(
        &self,
        name: &WebhookName,
        url: &str,
        events: &EventTypes,
        is_declared: bool,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let (name, url, events) = (name.as_str().to_owned(), url.to_owned(), stored(events));
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_webhooks SET url = ?2, events = ?3, is_declared = ?4 WHERE name = ?1 \
                       AND (url <> ?2 OR events IS NOT ?3 OR is_declared <> ?4)";
            let changed = run(connection, sql, params![name, url, events, is_declared])? > 0;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn rotate_webhook_secret(
        &self,
        name: &WebhookName,
        former: &[u8],
        sealed: &[u8],
        until: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let (name, former, sealed) = (name.as_str().to_owned(), former.to_vec(), sealed.to_vec());
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_webhooks SET former_sealed = sealed, former_until = ?4, sealed = ?3 \
                       WHERE name = ?1 AND sealed = ?2";
            let changed = run(connection, sql, params![name, former, sealed, until.as_micros()])? > 0;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn reseal_webhook(
        &self,
        webhook: &Webhook,
        sealed: &[u8],
        former: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        let (webhook, sealed, former) = (webhook.clone(), sealed.to_vec(), former.map(<[u8]>::to_vec));
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_webhooks SET sealed = ?3, former_sealed = ?5, \
                       former_until = CASE WHEN ?5 IS NOT NULL THEN former_until END WHERE name = ?1 AND sealed = ?2 AND former_sealed IS ?4";
            let before = webhook.former.map(|(sealed, _)| sealed);
            let params = params![webhook.name.as_str(), webhook.sealed, sealed, before, former];
            Ok(run(connection, sql, params)? > 0)
        })
        .await
    }

    async fn switch_webhook(
        &self,
        name: &WebhookName,
        state: WebhookState,
        reason: Option<&str>,
        at: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let (name, reason) = (name.as_str().to_owned(), reason.map(str::to_owned));
        self.write_much(move |connection| {
            let sql = "UPDATE doorwarden_webhooks SET state = ?2, reason = ?3, \
                       failing_since = CASE WHEN ?2 <> 'enabled' THEN failing_since END \
                       WHERE name = ?1 AND state <> ?2";
            let changed = run(connection, sql, params![name, state.as_str(), reason])? > 0;
            if changed && state == WebhookState::Enabled {
                let due = "UPDATE doorwarden_deliveries SET due_at = ?2, attempts = 0 \
                           WHERE webhook = ?1 AND state = 'queued'";
                run(connection, due, (&name, at.as_micros()))?;
            }
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn remove_webhook(&self, name: &WebhookName, effects: Effects) -> Result<bool, StoreError> {
        let name = name.as_str().to_owned();
        self.write_much(move |connection| {
            run(connection, "DELETE FROM doorwarden_deliveries WHERE webhook = ?1", [&name])?;
            let removed = run(connection, "DELETE FROM doorwarden_webhooks WHERE name = ?1", [&name])? > 0;
            Ok(audit::write_if(connection, removed, &effects)?)
        })
        .await
    }

    async fn claim_deliveries(
        &self,
        name: &WebhookName,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Claimed, StoreError> {
        let name = name.as_str().to_owned();
        let due = "SELECT 1 FROM doorwarden_deliveries WHERE webhook = ?1 AND state = 'queued' AND due_at <= ?2 LIMIT 1";
        // Usually there is none, which is found without a write.
        let found = self.read(|connection| one(connection, due, (&name, now.as_micros()), |_| Ok(())))?;
        if found.is_none() {
            return Ok(Claimed::default());
        }
        self.write(move |connection| Ok(claim(connection, &name, now, until, limit)?)).await
    }

    async fn delivered(
        &self,
        delivery: i64,
        attempt: u32,
        status: u16,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_deliveries SET state = 'delivered', due_at = ?3, status = ?4, error = NULL \
                       WHERE id = ?1 AND attempts = ?2 AND state = 'queued'";
            if run(connection, sql, params![delivery, attempt, at.as_micros(), status])? > 0 {
                wake_next(connection, delivery, at)?;
                let fine = "UPDATE doorwarden_webhooks SET failing_since = NULL WHERE failing_since IS NOT NULL \
                            AND name = (SELECT webhook FROM doorwarden_deliveries WHERE id = ?1)";
                run(connection, fine, [delivery])?;
            }
            Ok(())
        })
        .await
    }

    async fn delivery_failed(
        &self,
        delivery: i64,
        attempt: u32,
        failure: DeliveryFailure,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            let DeliveryFailure { at, status, reason, retry_at } = failure;
            let state = if retry_at.is_some() { DeliveryState::Queued } else { DeliveryState::Failed };
            let sql = "UPDATE doorwarden_deliveries SET state = ?3, due_at = ?4, status = ?5, error = ?6 \
                       WHERE id = ?1 AND attempts = ?2 AND state = 'queued'";
            let due_at = retry_at.unwrap_or(at).as_micros();
            if run(connection, sql, params![delivery, attempt, state.as_str(), due_at, status, reason])? > 0 {
                if retry_at.is_none() {
                    wake_next(connection, delivery, at)?;
                }
                let failing = "UPDATE doorwarden_webhooks SET failing_since = ?2 WHERE failing_since IS NULL \
                               AND name = (SELECT webhook FROM doorwarden_deliveries WHERE id = ?1)";
                run(connection, failing, (delivery, at.as_micros()))?;
            }
            Ok(())
        })
        .await
    }

    async fn redeliver(
        &self,
        name: &WebhookName,
        message: Option<MessageId>,
        at: Timestamp,
        effects: Effects,
    ) -> Result<u64, StoreError> {
        let name = name.as_str().to_owned();
        self.write_much(move |connection| {
            let sql = "UPDATE doorwarden_deliveries SET state = 'queued', due_at = ?3, attempts = 0, lane = NULL \
                       WHERE webhook = ?1 AND (message_id = ?2 OR ?2 IS NULL \
                       AND (state = 'failed' OR state = 'queued' AND error IS NOT NULL))";
            let due = run(connection, sql, params![name, message.map(|id| id.0), at.as_micros()])? as u64;
            audit::write_if(connection, due > 0, &effects.with(Found::Count(due)))?;
            Ok(due)
        })
        .await
    }

    async fn deliveries(
        &self,
        name: &WebhookName,
        state: Option<DeliveryState>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM doorwarden_deliveries WHERE webhook = ?1 AND (?2 IS NULL OR state = ?2) \
             AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4"
        );
        let (name, state) = (name.as_str().to_owned(), state.map(DeliveryState::as_str));
        self.scan(move |connection| all(connection, &sql, (name, state, before, limit), delivery)).await
    }

    async fn delivery_queue(&self, name: &WebhookName) -> Result<DeliveryQueue, StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'failed'), \
                   min(at) FILTER (WHERE state = 'queued') FROM doorwarden_deliveries WHERE webhook = ?1";
        let queue = |row: &Row<'_>| {
            let oldest = get::<Option<i64>>(row, 2)?.map(Timestamp::from_micros);
            Ok(DeliveryQueue { queued: count(row, 0)?, failed: count(row, 1)?, oldest })
        };
        let name = name.as_str().to_owned();
        Ok(self.scan(move |connection| one(connection, sql, [name], queue)).await?.unwrap_or_default())
    }

    async fn purge_deliveries(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let sql = "DELETE FROM doorwarden_deliveries WHERE id IN (\
                       SELECT id FROM doorwarden_deliveries WHERE at < ?1 ORDER BY at LIMIT ?2)";
            Ok(run(connection, sql, (before.as_micros(), limit))? as u64)
        })
        .await
    }
}

/// Takes what nothing holds back, and lets the rest wait as long as what holds it back.
fn claim(
    connection: &Connection,
    name: &str,
    now: Timestamp,
    until: Timestamp,
    limit: u32,
) -> Result<Claimed, Failure> {
    let sql = "SELECT d.id, d.lane IS NOT NULL AND EXISTS (SELECT 1 FROM doorwarden_deliveries e \
                   WHERE e.webhook = d.webhook AND e.lane = d.lane AND e.state = 'queued' AND e.id < d.id) \
               FROM doorwarden_deliveries d WHERE d.webhook = ?1 AND d.state = 'queued' AND d.due_at <= ?2 \
               AND EXISTS (SELECT 1 FROM doorwarden_webhooks w WHERE w.name = ?1 AND w.state = 'enabled') \
               ORDER BY d.due_at, d.id LIMIT ?3";
    let looked_at: Vec<(i64, bool)> =
        all(connection, sql, (name, now.as_micros(), LOOK_AT), |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    let mut claimed = Claimed::default();
    for (id, is_held_back) in &looked_at {
        if *is_held_back {
            let hold = "UPDATE doorwarden_deliveries AS d SET due_at = max(?2, (SELECT e.due_at \
                            FROM doorwarden_deliveries e WHERE e.webhook = d.webhook AND e.lane = d.lane \
                            AND e.state = 'queued' AND e.id < d.id ORDER BY e.id LIMIT 1)) WHERE id = ?1";
            run(connection, hold, (id, until.as_micros()))?;
        } else if claimed.deliveries.len() < limit as usize {
            let take = format!(
                "UPDATE doorwarden_deliveries SET due_at = ?2, attempts = attempts + 1 WHERE id = ?1 RETURNING {COLUMNS}"
            );
            claimed.deliveries.extend(one(connection, &take, (id, until.as_micros()), delivery)?);
        }
    }
    claimed.is_more = looked_at.len() == LOOK_AT as usize || claimed.deliveries.len() == limit as usize;
    claimed.deliveries.sort_by_key(|delivery| delivery.id);
    Ok(claimed)
}

/// Makes the next event of the account due.
fn wake_next(connection: &Connection, delivery: i64, at: Timestamp) -> Result<(), Failure> {
    let sql = "UPDATE doorwarden_deliveries SET due_at = min(due_at, ?2) WHERE id = (\
               SELECT n.id FROM doorwarden_deliveries d JOIN doorwarden_deliveries n \
               ON n.webhook = d.webhook AND n.lane = d.lane AND n.state = 'queued' AND n.id > d.id \
               WHERE d.id = ?1 ORDER BY n.id LIMIT 1)";
    run(connection, sql, (delivery, at.as_micros()))?;
    Ok(())
}

/// The kinds of events, each between commas.
fn stored(events: &EventTypes) -> Option<String> {
    events.names().map(|names| format!(",{},", names.join(",")))
}

fn webhook(row: &Row<'_>) -> Result<Webhook, Failure> {
    let row = Record { table: "doorwarden_webhooks", row };
    let name = WebhookName::from_stored(row.get::<String>(0)?);
    let mut webhook = Webhook::new(name, row.get(1)?, row.get(3)?, row.instant(9)?);
    let events: Option<String> = row.get(2)?;
    let names = |text: String| text.trim_matches(',').split(',').map(str::to_owned).collect();
    webhook.events = EventTypes::from_stored(events.map(names));
    webhook.former = row.get::<Option<Vec<u8>>>(4)?.zip(row.optional_instant(5)?);
    webhook.state = row.parse(6, WebhookState::from_stored)?;
    webhook.reason = row.get(7)?;
    webhook.is_declared = row.get(8)?;
    webhook.failing_since = row.optional_instant(10)?;
    Ok(webhook)
}

fn delivery(row: &Row<'_>) -> Result<Delivery, Failure> {
    let row = Record { table: "doorwarden_deliveries", row };
    let actor_id: Option<String> = row.get(6)?;
    let actor = row.parse(5, |kind| Actor::from_stored(kind, actor_id.as_deref()))?;
    let (message, webhook) = (MessageId(row.get(1)?), WebhookName::from_stored(row.get::<String>(2)?));
    let mut delivery = Delivery::new(row.get(0)?, message, webhook, row.get(3)?, row.instant(4)?, actor);
    delivery.user = row.get::<Option<_>>(7)?.map(UserId);
    delivery.session = row.get::<Option<_>>(8)?.map(SessionId);
    delivery.outcome = row.parse(9, Outcome::from_stored)?;
    delivery.data = row.parse(10, |text| serde_json::from_str(text).ok())?;
    delivery.state = row.parse(11, DeliveryState::from_stored)?;
    delivery.attempts = row.get(12)?;
    delivery.due_at = row.instant(13)?;
    delivery.status = row.get(14)?;
    delivery.error = row.get(15)?;
    Ok(delivery)
}
