//! Webhooks. What is to be sent is written by a trigger of the audit log.

use crate::audit::{self, change, write_effects};
use crate::database::Effort;
use crate::failure::Failure;
use crate::rows::{all, get, instant, optional, optional_instant};
use crate::store::PostgresStore;
use crate::values::At;
use async_trait::async_trait;
use doorwarden_core::audit::{Actor, Effects, Outcome};
use doorwarden_core::session::SessionId;
use doorwarden_core::store::{Claimed, DeliveryFailure, DeliveryQueue, StoreError, WebhookStore};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use doorwarden_core::webhook::{
    Delivery, DeliveryState, EventTypes, MessageId, Webhook, WebhookName, WebhookState,
};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// The columns of a delivery, of the table called `d`.
macro_rules! columns {
    () => {
        "d.id, d.message_id, d.webhook, d.kind, d.at, d.actor, d.actor_id, d.user_id, d.session_id, d.result, d.data, \
         d.state, d.attempts, d.due_at, d.status, d.error"
    };
}

/// Makes the next event of the account of `done` due, at the time in this parameter.
macro_rules! wake_next {
    ($at:literal) => {
        concat!(
            "UPDATE doorwarden_deliveries n SET due_at = least(n.due_at, ",
            $at,
            ") FROM done WHERE n.state = 'queued' AND n.id = (\
             SELECT e.id FROM doorwarden_deliveries e WHERE e.webhook = done.webhook AND e.lane = done.lane \
             AND e.state = 'queued' AND e.id > done.id ORDER BY e.id LIMIT 1)"
        )
    };
}

/// How many deliveries one claim looks at.
const LOOK_AT: i64 = 200;

#[async_trait]
impl WebhookStore for PostgresStore {
    async fn webhooks(&self) -> Result<Vec<Webhook>, StoreError> {
        let sql = "SELECT name, url, events, sealed, former_sealed, former_until, state, reason, is_declared, \
                   created_at, failing_since FROM doorwarden_webhooks ORDER BY name";
        Ok(all(&self.database.rows(Effort::Read, sql, &[]).await?, webhook)?)
    }

    async fn add_webhook(&self, webhook: Webhook, effects: Effects) -> Result<bool, StoreError> {
        const SQL: &str = change!(
            "INSERT INTO doorwarden_webhooks (name, url, events, sealed, state, is_declared, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING RETURNING 1",
            "$8"
        );
        let params = [
            (&webhook.name.as_str() as _, Type::TEXT),
            (&webhook.url as _, Type::TEXT),
            (&webhook.events.names() as _, Type::TEXT_ARRAY),
            (&webhook.sealed as _, Type::BYTEA),
            (&webhook.state.as_str() as _, Type::TEXT),
            (&webhook.is_declared as _, Type::BOOL),
            (&At(webhook.created_at) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.change(&effects, SQL, &params).await?.is_some())
    }

    async fn change_webhook(
        &self,
        name: &WebhookName,
        url: &str,
        events: &EventTypes,
        is_declared: bool,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        const SQL: &str = change!(
            "UPDATE doorwarden_webhooks SET url = $2, events = $3, is_declared = $4 WHERE name = $1 \
             AND (url, events, is_declared) IS DISTINCT FROM ($2, $3, $4) RETURNING 1",
            "$5"
        );
        let params = [
            (&name.as_str() as _, Type::TEXT),
            (&url as _, Type::TEXT),
            (&events.names() as _, Type::TEXT_ARRAY),
            (&is_declared as _, Type::BOOL),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.change(&effects, SQL, &params).await?.is_some())
    }

    async fn rotate_webhook_secret(
        &self,
        name: &WebhookName,
        former: &[u8],
        sealed: &[u8],
        until: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        const SQL: &str = change!(
            "UPDATE doorwarden_webhooks SET former_sealed = sealed, former_until = $4, sealed = $3 \
             WHERE name = $1 AND sealed = $2 RETURNING 1",
            "$5"
        );
        let params = [
            (&name.as_str() as _, Type::TEXT),
            (&former as _, Type::BYTEA),
            (&sealed as _, Type::BYTEA),
            (&At(until) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.change(&effects, SQL, &params).await?.is_some())
    }

    async fn reseal_webhook(
        &self,
        webhook: &Webhook,
        sealed: &[u8],
        former: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE doorwarden_webhooks SET sealed = $3, former_sealed = $5, \
                   former_until = CASE WHEN $5 IS NOT NULL THEN former_until END WHERE name = $1 AND sealed = $2 AND former_sealed IS NOT DISTINCT FROM $4 RETURNING 1";
        let before = webhook.former.as_ref().map(|(sealed, _)| sealed);
        let params = [
            (&webhook.name.as_str() as _, Type::TEXT),
            (&webhook.sealed as _, Type::BYTEA),
            (&sealed as _, Type::BYTEA),
            (&before as _, Type::BYTEA),
            (&former as _, Type::BYTEA),
        ];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn switch_webhook(
        &self,
        name: &WebhookName,
        state: WebhookState,
        reason: Option<&str>,
        at: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        const SQL: &str = concat!(
            "WITH changed AS (UPDATE doorwarden_webhooks SET state = $2, reason = $3, \
                 failing_since = CASE WHEN $2 <> 'enabled' THEN failing_since END \
                 WHERE name = $1 AND state <> $2 RETURNING name), \
             due AS (UPDATE doorwarden_deliveries d SET due_at = $4, attempts = 0 FROM changed \
                 WHERE $2 = 'enabled' AND d.webhook = changed.name AND d.state = 'queued'), \
             audited AS (",
            write_effects!("$5", from: "changed"),
            ") SELECT FROM changed"
        );
        let reason = reason.map(|reason| reason.replace('\0', ""));
        let params = [
            (&name.as_str() as _, Type::TEXT),
            (&state.as_str() as _, Type::TEXT),
            (&reason as _, Type::TEXT),
            (&At(at) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.change(&effects, SQL, &params).await?.is_some())
    }

    async fn remove_webhook(&self, name: &WebhookName, effects: Effects) -> Result<bool, StoreError> {
        const SQL: &str = concat!(
            "WITH changed AS (DELETE FROM doorwarden_webhooks WHERE name = $1 RETURNING name), \
             gone AS (DELETE FROM doorwarden_deliveries d USING changed WHERE d.webhook = changed.name), audited AS (",
            write_effects!("$2", from: "changed"),
            ") SELECT FROM changed"
        );
        let params = [(&name.as_str() as _, Type::TEXT), (&audit::parameter(&effects) as _, Type::TEXT)];
        Ok(self.database.change(&effects, SQL, &params).await?.is_some())
    }

    async fn claim_deliveries(
        &self,
        name: &WebhookName,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Claimed, StoreError> {
        // What is held back waits as long as what holds it back.
        let sql = concat!(
            "WITH due AS MATERIALIZED (SELECT id, lane, due_at FROM doorwarden_deliveries \
                 WHERE webhook = $1 AND state = 'queued' AND due_at <= $2 \
                 AND EXISTS (SELECT FROM doorwarden_webhooks w WHERE w.name = $1 AND w.state = 'enabled') \
                 ORDER BY due_at, id LIMIT $5 FOR UPDATE SKIP LOCKED), \
             judged AS (SELECT due.id, head.due_at AS held_until, \
                 count(*) FILTER (WHERE head.due_at IS NULL) OVER (ORDER BY due.due_at, due.id) AS place \
                 FROM due LEFT JOIN LATERAL (SELECT e.due_at FROM doorwarden_deliveries e \
                     WHERE e.webhook = $1 AND e.lane = due.lane AND e.state = 'queued' AND e.id < due.id \
                     ORDER BY e.id LIMIT 1) AS head ON true), \
             changed AS (UPDATE doorwarden_deliveries d SET due_at = greatest($3, judged.held_until), \
                 attempts = d.attempts + CASE WHEN judged.held_until IS NULL THEN 1 ELSE 0 END \
                 FROM judged WHERE d.id = judged.id AND (judged.held_until IS NOT NULL OR judged.place <= $4) \
                 RETURNING ",
            columns!(),
            ", judged.held_until IS NULL AS is_taken) \
             SELECT d.*, (SELECT count(*) FROM due) FROM (SELECT true) AS always LEFT JOIN changed d ON d.is_taken"
        );
        let params = [
            (&name.as_str() as _, Type::TEXT),
            (&At(now) as _, Type::TIMESTAMPTZ),
            (&At(until) as _, Type::TIMESTAMPTZ),
            (&i64::from(limit) as _, Type::INT8),
            (&LOOK_AT as _, Type::INT8),
        ];
        let rows = self.database.rows(Effort::Write, sql, &params).await?;
        let looked_at = rows.first().map_or(Ok(0), |row| get::<i64>(row, 17))?;
        let taken: Vec<&Row> = rows.iter().filter(|row| matches!(get(row, 16), Ok(Some(true)))).collect();
        let mut deliveries = taken.into_iter().map(delivery).collect::<Result<Vec<_>, _>>()?;
        deliveries.sort_by_key(|delivery| delivery.id);
        let is_more = looked_at == LOOK_AT || deliveries.len() == limit as usize;
        Ok(Claimed { deliveries, is_more })
    }

    async fn delivered(
        &self,
        delivery: i64,
        attempt: u32,
        status: u16,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = concat!(
            "WITH done AS (UPDATE doorwarden_deliveries \
                 SET state = 'delivered', due_at = $3, status = $4, error = NULL \
                 WHERE id = $1 AND attempts = $2 AND state = 'queued' RETURNING id, webhook, lane), \
             next AS (",
            wake_next!("$3"),
            ") UPDATE doorwarden_webhooks w SET failing_since = NULL FROM done \
             WHERE w.name = done.webhook AND w.failing_since IS NOT NULL"
        );
        let params = [
            (&delivery as _, Type::INT8),
            (&i64::from(attempt) as _, Type::INT8),
            (&At(at) as _, Type::TIMESTAMPTZ),
            (&i32::from(status) as _, Type::INT4),
        ];
        self.database.rows(Effort::Write, sql, &params).await?;
        Ok(())
    }

    async fn delivery_failed(
        &self,
        delivery: i64,
        attempt: u32,
        failure: DeliveryFailure,
    ) -> Result<(), StoreError> {
        let sql = concat!(
            "WITH done AS (UPDATE doorwarden_deliveries SET state = $3, due_at = $4, status = $5, error = $6 \
                 WHERE id = $1 AND attempts = $2 AND state = 'queued' RETURNING id, webhook, lane, state), \
             next AS (",
            wake_next!("$7"),
            " AND done.state = 'failed') UPDATE doorwarden_webhooks w SET failing_since = $7 FROM done \
             WHERE w.name = done.webhook AND w.failing_since IS NULL"
        );
        let DeliveryFailure { at, status, reason, retry_at } = failure;
        let state = if retry_at.is_some() { DeliveryState::Queued } else { DeliveryState::Failed };
        let params = [
            (&delivery as _, Type::INT8),
            (&i64::from(attempt) as _, Type::INT8),
            (&state.as_str() as _, Type::TEXT),
            (&At(retry_at.unwrap_or(at)) as _, Type::TIMESTAMPTZ),
            (&status.map(i32::from) as _, Type::INT4),
            (&reason.replace('\0', "") as _, Type::TEXT),
            (&At(at) as _, Type::TIMESTAMPTZ),
        ];
        self.database.rows(Effort::Write, sql, &params).await?;
        Ok(())
    }

    async fn redeliver(
        &self,
        name: &WebhookName,
        message: Option<MessageId>,
        at: Timestamp,
        effects: Effects,
    ) -> Result<u64, StoreError> {
        let sql = concat!(
            "WITH due AS (UPDATE doorwarden_deliveries \
                 SET state = 'queued', due_at = $3, attempts = 0, lane = NULL WHERE webhook = $1 AND (message_id = $2 \
                 OR $2 IS NULL AND (state = 'failed' OR state = 'queued' AND error IS NOT NULL)) RETURNING 1), \
             done AS (SELECT count(*) AS count FROM due), audited AS (",
            write_effects!(
                "$4",
                from: "(SELECT count FROM done WHERE count > 0) AS done",
                found: "jsonb_build_object('count', done.count)"
            ),
            ") SELECT count FROM done"
        );
        let params = [
            (&name.as_str() as _, Type::TEXT),
            (&message.map(|id| id.0) as _, Type::UUID),
            (&At(at) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        let row = self.database.row(Effort::Write, sql, &params).await?;
        let due = optional(row.as_ref(), |row| get::<i64>(row, 0))?.unwrap_or(0);
        Ok(u64::try_from(due).unwrap_or(0))
    }

    async fn deliveries(
        &self,
        name: &WebhookName,
        state: Option<DeliveryState>,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_deliveries d WHERE webhook = $1 AND ($2 IS NULL OR state = $2) \
             AND ($3 IS NULL OR id < $3) ORDER BY id DESC LIMIT $4"
        );
        let params = [
            (&name.as_str() as _, Type::TEXT),
            (&state.map(DeliveryState::as_str) as _, Type::TEXT),
            (&before as _, Type::INT8),
            (&i64::from(limit) as _, Type::INT8),
        ];
        Ok(all(&self.database.rows(Effort::Long, sql, &params).await?, delivery)?)
    }

    async fn delivery_queue(&self, name: &WebhookName) -> Result<DeliveryQueue, StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE state = 'failed'), \
                   min(at) FILTER (WHERE state = 'queued') FROM doorwarden_deliveries WHERE webhook = $1";
        let row = self.database.row(Effort::Long, sql, &[(&name.as_str(), Type::TEXT)]).await?;
        let queue = |row: &Row| {
            let count = |place| Ok::<_, Failure>(u64::try_from(get::<i64>(row, place)?).unwrap_or(0));
            Ok(DeliveryQueue { queued: count(0)?, failed: count(1)?, oldest: optional_instant(row, 2)? })
        };
        Ok(optional(row.as_ref(), queue)?.unwrap_or_default())
    }

    async fn purge_deliveries(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let sql = "DELETE FROM doorwarden_deliveries WHERE id IN (\
                   SELECT id FROM doorwarden_deliveries WHERE at < $1 ORDER BY at LIMIT $2) RETURNING 1";
        let params = [(&At(before) as _, Type::TIMESTAMPTZ), (&i64::from(limit) as _, Type::INT8)];
        Ok(self.database.rows(Effort::Long, sql, &params).await?.len() as u64)
    }
}

fn webhook(row: &Row) -> Result<Webhook, Failure> {
    let name = get::<&str>(row, 0)?;
    let damaged = |column: &str| {
        Failure::Unreadable(format!("doorwarden_webhooks.{column} of `{name}` cannot be read"))
    };
    let mut webhook =
        Webhook::new(WebhookName::from_stored(name), get(row, 1)?, get(row, 3)?, instant(row, 9)?);
    webhook.events = EventTypes::from_stored(get(row, 2)?);
    webhook.former = get::<Option<Vec<u8>>>(row, 4)?.zip(optional_instant(row, 5)?);
    webhook.state = WebhookState::from_stored(get(row, 6)?).ok_or_else(|| damaged("state"))?;
    webhook.reason = get(row, 7)?;
    webhook.is_declared = get(row, 8)?;
    webhook.failing_since = optional_instant(row, 10)?;
    Ok(webhook)
}

fn delivery(row: &Row) -> Result<Delivery, Failure> {
    let id = get::<i64>(row, 0)?;
    let damaged = |column: &str| {
        Failure::Unreadable(format!("doorwarden_deliveries.{column} of id {id} cannot be read"))
    };
    let actor = Actor::from_stored(get(row, 5)?, get(row, 6)?).ok_or_else(|| damaged("actor"))?;
    let (message, webhook) = (MessageId(get(row, 1)?), WebhookName::from_stored(get::<&str>(row, 2)?));
    let mut delivery = Delivery::new(id, message, webhook, get(row, 3)?, instant(row, 4)?, actor);
    delivery.user = get::<Option<_>>(row, 7)?.map(UserId);
    delivery.session = get::<Option<_>>(row, 8)?.map(SessionId);
    delivery.outcome = Outcome::from_stored(get(row, 9)?).ok_or_else(|| damaged("result"))?;
    delivery.data = serde_json::from_str(get(row, 10)?).map_err(|_| damaged("data"))?;
    delivery.state = DeliveryState::from_stored(get(row, 11)?).ok_or_else(|| damaged("state"))?;
    delivery.attempts = u32::try_from(get::<i32>(row, 12)?).unwrap_or(0);
    delivery.due_at = instant(row, 13)?;
    delivery.status = get::<Option<i32>>(row, 14)?.and_then(|status| u16::try_from(status).ok());
    delivery.error = get(row, 15)?;
    Ok(delivery)
}
