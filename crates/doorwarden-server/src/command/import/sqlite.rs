//! Django's tables in SQLite, where a column may hold values of any type.

use super::cell::{self, COLUMNS, Cell};
use super::factors::Texts;
use super::layout::{Layout, Tables};
use super::source::{CHUNK, quoted};
use crate::failure::Failure;
use doorwarden::core::flow::import::SourceAccount;
use parking_lot::Mutex;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;
use zeroize::Zeroizing;

/// A database file, opened read-only.
#[derive(Clone)]
pub(super) struct Source(Arc<Mutex<Connection>>);

impl Source {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let shown = path.display();
        let cannot = |error| Failure::unavailable(format!("cannot open `{shown}`: {error}"));
        let connection = Connection::open_with_flags(path, flags).map_err(cannot)?;
        connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(failed)?;
        let looked = connection.query_row("SELECT count(*) FROM sqlite_master", (), |_| Ok(()));
        let Err(error) = looked else { return Ok(Self(Arc::new(Mutex::new(connection)))) };
        // Even reading a database in WAL mode needs files beside it, unless it is opened as immutable.
        if !matches!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen)) {
            return Err(cannot(error));
        }
        if std::fs::metadata(format!("{shown}-wal")).is_ok_and(|log| log.len() > 0) {
            return Err(Failure::unavailable(format!(
                "cannot read `{shown}` in place: its directory is read-only, and `{shown}-wal` contains changes"
            ))
            .hint("copy both files to a writable directory, and import from there"));
        }
        let path = shown.to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let url = format!("file:{path}?immutable=1");
        let connection =
            Connection::open_with_flags(url, flags | OpenFlags::SQLITE_OPEN_URI).map_err(cannot)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    pub(super) fn tables(&self) -> Result<Tables, Failure> {
        // Django declares JSON as text with a CHECK constraint.
        let sql = "SELECT m.name, c.name, \
                   CASE WHEN instr(m.sql, 'JSON_VALID(\"' || c.name || '\")') > 0 THEN 'json' ELSE c.type END \
                   FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type IN ('table', 'view')";
        let mut tables = Tables::new();
        for (table, column, r#type) in self.all(sql, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))? {
            tables.entry(table).or_default().push((column, r#type));
        }
        Ok(tables)
    }

    pub(super) fn last_id(&self, table: &str) -> Result<i64, Failure> {
        let exists = "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'";
        if self.all(exists, |_| Ok(()))?.is_empty() {
            return Ok(0);
        }
        let sql = "SELECT name, CASE typeof(seq) WHEN 'integer' THEN seq ELSE 0 END FROM sqlite_sequence";
        let all = self.all(sql, |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        Ok(all.into_iter().find(|(name, _)| name == table).map_or(0, |(_, last)| last))
    }

    pub(super) fn names(&self, sql: &str) -> Result<Vec<(i64, String, String)>, Failure> {
        self.all(sql, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    }

    pub(super) fn pairs(&self, sql: &str) -> Result<Vec<(i64, i64)>, Failure> {
        self.all(sql, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    pub(super) fn texts(&self, sql: &str, columns: usize) -> Result<Vec<Texts>, Failure> {
        let text =
            |row: &Row<'_>, place| row.get::<_, Option<String>>(place).map(|text| text.map(Zeroizing::new));
        self.all(sql, |row| (0..columns).map(|place| text(row, place)).collect())
    }

    /// Sends every user; returns early if the receiver is gone.
    pub(super) fn read(
        &self,
        layout: &Layout,
        keep: &[String],
        sender: &Sender<Vec<SourceAccount>>,
    ) -> Result<(), Failure> {
        let connection = self.0.lock();
        let mut statement = connection.prepare(&users(layout, keep)).map_err(failed)?;
        let mut rows = statement.query(()).map_err(failed)?;
        let mut chunk = Vec::with_capacity(CHUNK);
        while let Some(row) = rows.next().map_err(failed)? {
            chunk.push(account(row, layout, keep)?);
            if chunk.len() == CHUNK {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                if sender.blocking_send(full).is_err() {
                    return Ok(());
                }
            }
        }
        // The receiver may be gone.
        let _ = sender.blocking_send(chunk);
        Ok(())
    }

    fn all<T>(
        &self,
        sql: &str,
        read: impl Fn(&Row<'_>) -> Result<T, rusqlite::Error>,
    ) -> Result<Vec<T>, Failure> {
        let connection = self.0.lock();
        let mut statement = connection.prepare(sql).map_err(failed)?;
        let rows = statement.query_map((), |row| read(row)).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "so that `map_err` takes it")]
fn failed(error: rusqlite::Error) -> Failure {
    Failure::unavailable(format!("cannot read the source database: {error}"))
}

/// The statement that reads the users.
pub(super) fn users(layout: &Layout, keep: &[String]) -> String {
    let known = COLUMNS.iter().map(|name| layout.column(name).map_or_else(|| "NULL".to_owned(), quoted));
    let columns: Vec<String> = known.chain(keep.iter().map(|name| quoted(name))).collect();
    format!("SELECT {} FROM {} ORDER BY \"id\"", columns.join(", "), quoted(&layout.users))
}

fn account(row: &Row<'_>, layout: &Layout, keep: &[String]) -> Result<SourceAccount, Failure> {
    let Cell::Integer(id) = value(row, 0)? else {
        return Err(Failure::no("the id of a user is not an integer"));
    };
    cell::account(layout, keep, id, |place| value(row, place))
}

fn value<'r>(row: &'r Row<'_>, place: usize) -> Result<Cell<'r>, Failure> {
    Ok(match row.get_ref(place).map_err(failed)? {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.into()),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Cell::Text(text.into()),
            Err(_) => Cell::Bytes(bytes.into()),
        },
    })
}
