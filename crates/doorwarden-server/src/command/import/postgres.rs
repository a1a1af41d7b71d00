//! Django's tables in PostgreSQL, all read in one snapshot.

use super::layout::{Layout, Tables};
use super::source::{CHUNK, quoted};
use crate::failure::Failure;
use doorwarden::core::flow::import::SourceAccount;
use doorwarden::core::time::Timestamp;
use doorwarden_postgres::PostgresOptions;
use futures_util::TryStreamExt;
use serde_json::Value;
use std::pin::pin;
use tokio::sync::mpsc::Sender;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

/// A connection in the middle of a transaction that only reads.
pub(super) struct Source(Client);

impl Source {
    pub(super) async fn open(url: &str) -> Result<Self, Failure> {
        let client = PostgresOptions::new(url).client().await?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
                     SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";
        client.batch_execute(begin).await.map_err(failed)?;
        Ok(Self(client))
    }

    pub(super) async fn tables(&self) -> Result<Tables, Failure> {
        let sql = "SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL) FROM pg_class c \
                   JOIN pg_attribute a ON a.attrelid = c.oid \
                   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(c.oid) \
                   AND c.relnamespace <> 'pg_catalog'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped \
                   ORDER BY c.oid, a.attnum";
        let mut tables = Tables::new();
        for row in self.0.query(sql, &[]).await.map_err(failed)? {
            tables.entry(get(&row, 0)?).or_default().push((get(&row, 1)?, get(&row, 2)?));
        }
        Ok(tables)
    }

    pub(super) async fn last_id(&self, table: &str) -> Result<i64, Failure> {
        let sql = "SELECT last_value FROM pg_sequences \
                   WHERE format('%I.%I', schemaname, sequencename) = pg_get_serial_sequence($1, 'id')";
        let row = self.0.query_opt(sql, &[&quoted(table)]).await.map_err(failed)?;
        Ok(row.map(|row| get::<Option<i64>>(&row, 0)).transpose()?.flatten().unwrap_or(0))
    }

    pub(super) async fn names(&self, sql: &str) -> Result<Vec<(i64, String, String)>, Failure> {
        let rows = self.0.query(sql, &[]).await.map_err(failed)?;
        rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?))).collect()
    }

    pub(super) async fn pairs(&self, sql: &str) -> Result<Vec<(i64, i64)>, Failure> {
        let rows = self.0.query(sql, &[]).await.map_err(failed)?;
        rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
    }

    /// Sends every user; ends early if nobody listens any more.
    pub(super) async fn read(&self, sql: &str, sender: &Sender<Vec<SourceAccount>>) -> Result<(), Failure> {
        let no_parameters: [&(dyn ToSql + Sync); 0] = [];
        let mut rows = pin!(self.0.query_raw(sql, no_parameters).await.map_err(failed)?);
        let mut chunk = Vec::with_capacity(CHUNK);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            chunk.push(account(&row)?);
            if chunk.len() == CHUNK {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                if sender.send(full).await.is_err() {
                    return Ok(());
                }
            }
        }
        // Nobody may listen any more.
        let _ = sender.send(chunk).await;
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "so that `map_err` takes it")]
fn failed(error: tokio_postgres::Error) -> Failure {
    let why = error.as_db_error().map_or_else(|| error.to_string(), |refusal| refusal.message().to_owned());
    Failure::unavailable(format!("the database that the accounts come from failed: {why}"))
}

fn get<'r, T: tokio_postgres::types::FromSql<'r>>(row: &'r Row, place: usize) -> Result<T, Failure> {
    row.try_get(place).map_err(failed)
}

/// The statement that reads the users.
pub(super) fn users(layout: &Layout, keep: &[String]) -> String {
    let column = |name: &str, r#type: &str, or: &str| match layout.has(name) {
        true => format!("coalesce({}::{type}, {or})", quoted(name)),
        false => or.to_owned(),
    };
    let flag = |name: &str, or: &str| match layout.has(name) {
        true => column(name, "boolean", "false"),
        false => or.to_owned(),
    };
    // Microseconds since 1970; what never was or will be is nothing.
    let moment = |name: &str| match layout.has(name) {
        true => {
            let name = quoted(name);
            format!(
                "CASE WHEN isfinite({name}::timestamptz) \
                 THEN (extract(epoch FROM {name}::timestamptz) * 1000000)::bigint END"
            )
        }
        false => "NULL::bigint".to_owned(),
    };
    let kept: Vec<String> =
        keep.iter().map(|name| format!("'{}', {}", name.replace('\'', "''"), quoted(name))).collect();
    let metadata = match kept.is_empty() {
        true => "NULL::text".to_owned(),
        false => format!("json_build_object({})::text", kept.join(", ")),
    };
    let columns = [
        "\"id\"::bigint".to_owned(),
        column("username", "text", "''"),
        column("email", "text", "''"),
        column("password", "text", "''"),
        flag("is_active", "true"),
        flag("is_staff", "false"),
        flag("is_superuser", "false"),
        moment("last_login"),
        moment("date_joined"),
        metadata,
    ];
    format!("SELECT {} FROM {} ORDER BY \"id\"", columns.join(", "), quoted(&layout.users))
}

fn account(row: &Row) -> Result<SourceAccount, Failure> {
    let moment = |place| Ok::<_, Failure>(get::<Option<i64>>(row, place)?.map(Timestamp::from_micros));
    let mut account = SourceAccount {
        id: get(row, 0)?,
        username: get(row, 1)?,
        email: get(row, 2)?,
        password: get(row, 3)?,
        is_active: get(row, 4)?,
        is_staff: get(row, 5)?,
        is_superuser: get(row, 6)?,
        last_login: moment(7)?,
        date_joined: moment(8)?,
        ..SourceAccount::default()
    };
    if let Some(text) = get::<Option<&str>>(row, 9)? {
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(members)) => {
                account.metadata = members.into_iter().filter(|(_, value)| !value.is_null()).collect();
            }
            _ => account.unreadable.push("metadata"),
        }
    }
    Ok(account)
}
