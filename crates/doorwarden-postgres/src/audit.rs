//! The audit log.
//!
//! What a write causes travels as one parameter, a JSON text, and is written by a part of the statement that
//! makes the change.

use crate::database::Effort;
use crate::failure::Failure;
use crate::rows::{address, all, get};
use crate::store::PostgresStore;
use crate::values::At;
use async_trait::async_trait;
use doorwarden_core::audit::{Actor, AuditRecord, Effects, Outcome};
use doorwarden_core::session::{ClientInfo, SessionId};
use doorwarden_core::store::{AuditStore, EventFilter, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

/// The statement that writes the effects in this parameter, once for each row of `from`. Where an event names
/// no user or session, it takes those that are given; `found` goes into its data. Only those events are
/// written for which `only` holds.
macro_rules! write_effects {
    (
        $effects:literal, from: $from:literal, user: $user:literal, session: $session:literal, found: $found:literal,
        only: $only:literal
    ) => {
        concat!(
            "INSERT INTO doorwarden_events \
             (at, kind, actor, actor_id, user_id, session_id, address, user_agent, request_id, result, data) \
             SELECT cause.at, event.kind, cause.actor, cause.actor_id, coalesce(event.user_id, ",
            $user,
            "), coalesce(event.session_id, ",
            $session,
            "), cause.address, cause.user_agent, cause.request_id, event.result, (event.data || ",
            $found,
            ")::text FROM ",
            $from,
            " CROSS JOIN json_to_record(",
            $effects,
            "::json) AS cause (at timestamptz, actor text, actor_id text, address text, user_agent text, request_id text, \
             events json) \
             CROSS JOIN LATERAL json_to_recordset(cause.events) \
             AS event (kind text, user_id bigint, session_id uuid, result text, data jsonb) WHERE ",
            $only
        )
    };
    ($effects:literal, from: $from:literal, user: $user:literal, session: $session:literal, found: $found:literal) => {
        $crate::audit::write_effects!(
            $effects, from: $from, user: $user, session: $session, found: $found, only: "true"
        )
    };
    ($effects:literal, from: $from:literal, found: $found:literal) => {
        $crate::audit::write_effects!($effects, from: $from, user: "NULL", session: "NULL", found: $found)
    };
    ($effects:literal, from: $from:literal) => {
        $crate::audit::write_effects!($effects, from: $from, found: "'{}'")
    };
}

/// A statement that makes this change, which returns a row if there is one, and writes the effects in this
/// parameter for each such row.
macro_rules! change {
    ($change:literal, $effects:literal) => {
        concat!(
            "WITH changed AS (",
            $change,
            "), audited AS (",
            $crate::audit::write_effects!($effects, from: "changed"),
            ") SELECT FROM changed"
        )
    };
}

pub(crate) use {change, write_effects};

/// Writes the effects in the first parameter.
pub(crate) const WRITE: &str = write_effects!("$1", from: "(SELECT) AS always");

/// The years 0 to 9999 in microseconds, which can be written as text that every reader understands.
const FIRST: i64 = -62_167_219_200_000_000;
const LAST: i64 = 253_402_300_799_999_999;

/// The parameter for [`write_effects`].
pub(crate) fn parameter(effects: &Effects) -> String {
    let Effects { at, origin, events, .. } = effects;
    // PostgreSQL can hold no NUL.
    let text = |text: &str| text.replace('\0', "");
    let events: Vec<Value> = events
        .iter()
        .map(|event| {
            json!({
                "kind": event.name(),
                "user_id": event.user().filter(|user| *user != UserId::NEW),
                "session_id": event.session().filter(|session| *session != SessionId::UNKNOWN),
                "result": event.outcome().as_str(),
                "data": event.data(),
            })
        })
        .collect();
    json!({
        "at": Timestamp::from_micros(at.as_micros().clamp(FIRST, LAST)).to_string(),
        "actor": origin.actor.kind(),
        "actor_id": origin.actor.id().as_deref().map(text),
        "address": origin.client.address,
        "user_agent": origin.client.user_agent.as_deref().map(text),
        "request_id": origin.client.request_id.as_deref().map(text),
        "events": events,
    })
    .to_string()
}

/// The columns of an event, of the view `doorwarden_events`.
macro_rules! columns {
    () => {
        "id, at, kind, actor, actor_id, user_id, session_id, address, user_agent, request_id, result, data"
    };
}

pub(crate) use columns;

#[async_trait]
impl AuditStore for PostgresStore {
    async fn record(&self, effects: Effects) -> Result<(), StoreError> {
        const RECORD: &str =
            concat!("WITH audited AS (", write_effects!("$1", from: "(SELECT) AS always"), ") SELECT");
        self.database.change(&effects, RECORD, &[(&parameter(&effects), Type::TEXT)]).await?;
        Ok(())
    }

    async fn record_all(&self, effects: Vec<Effects>) -> Result<(), StoreError> {
        const RECORD_ALL: &str = concat!(
            "WITH audited AS (",
            write_effects!("given.effects", from: "unnest($1::text[]) AS given (effects)"),
            ") SELECT"
        );
        let effects: Vec<String> = effects.iter().map(parameter).collect();
        self.database.rows(Effort::Write, RECORD_ALL, &[(&effects as _, Type::TEXT_ARRAY)]).await?;
        Ok(())
    }

    async fn audit_records(&self, after: Option<i64>, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        let sql =
            concat!("SELECT ", columns!(), " FROM doorwarden_events WHERE id > $1 ORDER BY id LIMIT $2");
        let after = after.unwrap_or(i64::MIN);
        let params = [(&after as _, Type::INT8), (&i64::from(limit) as _, Type::INT8)];
        Ok(all(&self.database.rows(Effort::Long, sql, &params).await?, record)?)
    }

    async fn find_events(
        &self,
        filter: &EventFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM doorwarden_events WHERE ($1 IS NULL OR user_id = $1) AND ($2 IS NULL OR kind = $2) \
             AND ($3 IS NULL OR at >= $3) AND ($4 IS NULL OR at < $4) AND id < $5 \
             ORDER BY id DESC LIMIT $6"
        );
        let params = [
            (&filter.user.map(|user| user.0) as _, Type::INT8),
            (&filter.kind as _, Type::TEXT),
            (&filter.since.map(At) as _, Type::TIMESTAMPTZ),
            (&filter.until.map(At) as _, Type::TIMESTAMPTZ),
            (&before.unwrap_or(i64::MAX) as _, Type::INT8),
            (&i64::from(limit) as _, Type::INT8),
        ];
        Ok(all(&self.database.rows(Effort::Long, sql, &params).await?, record)?)
    }

    async fn forget_clients(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let sql = "DELETE FROM doorwarden_audit_clients WHERE id IN (\
                   SELECT id FROM doorwarden_audit_clients WHERE at < $1 ORDER BY at LIMIT $2) RETURNING 1";
        let params = [(&At(before) as _, Type::TIMESTAMPTZ), (&i64::from(limit) as _, Type::INT8)];
        Ok(self.database.rows(Effort::Long, sql, &params).await?.len() as u64)
    }
}

pub(crate) fn record(row: &Row) -> Result<AuditRecord, Failure> {
    let id: i64 = get(row, 0)?;
    let damaged =
        |column| Failure::Unreadable(format!("doorwarden_audit.{column} of id {id} cannot be read"));
    let actor = Actor::from_stored(get(row, 3)?, get(row, 4)?).ok_or_else(|| damaged("actor"))?;
    let outcome = Outcome::from_stored(get(row, 10)?).ok_or_else(|| damaged("result"))?;
    let mut record = AuditRecord::new(id, get::<At>(row, 1)?.0, get(row, 2)?, actor, outcome);
    record.user = get::<Option<_>>(row, 5)?.map(UserId);
    record.session = get::<Option<_>>(row, 6)?.map(SessionId);
    record.client = ClientInfo {
        address: address(row, 7)?,
        user_agent: get(row, 8)?,
        request_id: get(row, 9)?,
        ..ClientInfo::default()
    };
    record.data = serde_json::from_str(get(row, 11)?).map_err(|_| damaged("data"))?;
    Ok(record)
}
