//! Django's tables in PostgreSQL, all read in one snapshot.

use super::cell::{self, COLUMNS, Cell};
use super::factors::Texts;
use super::layout::{Kind, Layout, Tables};
use super::source::{CHUNK, quoted};
use crate::failure::Failure;
use doorwarden::core::flow::import::SourceAccount;
use doorwarden_postgres::PostgresOptions;
use futures_util::TryStreamExt;
use std::pin::pin;
use tokio::sync::mpsc::Sender;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use zeroize::Zeroizing;

/// A connection with an open read-only transaction.
pub(super) struct Source(Client);

impl Source {
    pub(super) async fn open(url: &str) -> Result<Self, Failure> {
        let client = PostgresOptions::new(url).client().await?;
        // Django's timestamps are in UTC, even if the column has no time zone and the server's is another.
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; \
                     SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL bytea_output = 'hex'; \
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

    pub(super) async fn texts(&self, sql: &str, columns: usize) -> Result<Vec<Texts>, Failure> {
        let text = |row: &Row, place| Ok(get::<Option<String>>(row, place)?.map(Zeroizing::new));
        let rows = self.0.query(sql, &[]).await.map_err(failed)?;
        rows.iter().map(|row| (0..columns).map(|place| text(row, place)).collect()).collect()
    }

    /// Sends every user; returns early if the receiver is gone.
    pub(super) async fn read(
        &self,
        layout: &Layout,
        keep: &[String],
        sender: &Sender<Vec<SourceAccount>>,
    ) -> Result<(), Failure> {
        let no_parameters: [&(dyn ToSql + Sync); 0] = [];
        let mut rows = pin!(self.0.query_raw(&users(layout, keep), no_parameters).await.map_err(failed)?);
        let mut chunk = Vec::with_capacity(CHUNK);
        while let Some(row) = rows.try_next().await.map_err(failed)? {
            chunk.push(account(&row, layout, keep)?);
            if chunk.len() == CHUNK {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                if sender.send(full).await.is_err() {
                    return Ok(());
                }
            }
        }
        // The receiver may be gone.
        let _ = sender.send(chunk).await;
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "so that `map_err` takes it")]
fn failed(error: tokio_postgres::Error) -> Failure {
    let why = error.as_db_error().map_or_else(|| error.to_string(), |refusal| refusal.message().to_owned());
    Failure::unavailable(format!("cannot read the source database: {why}"))
}

fn get<'r, T: tokio_postgres::types::FromSql<'r>>(row: &'r Row, place: usize) -> Result<T, Failure> {
    row.try_get(place).map_err(failed)
}

/// The statement that reads the users: every value in the server's text format.
fn users(layout: &Layout, keep: &[String]) -> String {
    let text = |name: &str| format!("{}::text", quoted(name));
    let known =
        COLUMNS[1..].iter().map(|name| layout.column(name).map_or_else(|| "NULL::text".to_owned(), text));
    let kept = keep.iter().map(|name| match layout.kind(name) {
        Kind::Json | Kind::Other => format!("to_json({})::text", quoted(name)),
        Kind::Flag | Kind::Instant | Kind::Bytes => text(name),
    });
    let columns: Vec<String> =
        std::iter::once("\"id\"::bigint".to_owned()).chain(known).chain(kept).collect();
    format!("SELECT {} FROM {} ORDER BY \"id\"", columns.join(", "), quoted(&layout.users))
}

fn account(row: &Row, layout: &Layout, keep: &[String]) -> Result<SourceAccount, Failure> {
    cell::account(layout, keep, get(row, 0)?, |place| {
        let kind = match COLUMNS.get(place) {
            Some(name) => layout.column(name).map_or(Kind::Other, |column| layout.kind(column)),
            None => layout.kind(&keep[place - COLUMNS.len()]),
        };
        Ok(Cell::written(get(row, place)?, kind))
    })
}
