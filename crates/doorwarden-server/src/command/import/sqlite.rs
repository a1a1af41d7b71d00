//! Django's tables in SQLite, where a column may hold anything.

use super::layout::{Layout, Tables};
use super::source::{CHUNK, quoted};
use crate::failure::Failure;
use doorwarden::core::flow::import::SourceAccount;
use doorwarden::core::time::Timestamp;
use parking_lot::Mutex;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// A database file, open to read.
#[derive(Clone)]
pub(super) struct Source(Arc<Mutex<Connection>>);

impl Source {
    pub(super) fn open(path: &str) -> Result<Self, Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .map_err(|error| Failure::unavailable(format!("{path} cannot be opened: {error}")))?;
        connection.busy_timeout(std::time::Duration::from_secs(10)).map_err(failed)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    pub(super) fn tables(&self) -> Result<Tables, Failure> {
        let sql = "SELECT m.name, c.name, c.type FROM sqlite_master m JOIN pragma_table_info(m.name) c \
                   WHERE m.type IN ('table', 'view')";
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
        let sql = "SELECT name, seq FROM sqlite_sequence";
        let all = self.all(sql, |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        Ok(all.into_iter().find(|(name, _)| name == table).map_or(0, |(_, last)| last))
    }

    pub(super) fn names(&self, sql: &str) -> Result<Vec<(i64, String, String)>, Failure> {
        self.all(sql, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    }

    pub(super) fn pairs(&self, sql: &str) -> Result<Vec<(i64, i64)>, Failure> {
        self.all(sql, |row| Ok((row.get(0)?, row.get(1)?)))
    }

    /// Sends every user; ends early if nobody listens any more.
    pub(super) fn read(
        &self,
        sql: &str,
        keep: &[String],
        sender: &Sender<Vec<SourceAccount>>,
    ) -> Result<(), Failure> {
        let connection = self.0.lock();
        let mut statement = connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query(()).map_err(failed)?;
        let mut chunk = Vec::with_capacity(CHUNK);
        while let Some(row) = rows.next().map_err(failed)? {
            chunk.push(account(row, keep)?);
            if chunk.len() == CHUNK {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                if sender.blocking_send(full).is_err() {
                    return Ok(());
                }
            }
        }
        // Nobody may listen any more.
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
    Failure::unavailable(format!("the database that the accounts come from failed: {error}"))
}

/// The columns of [`account`], in order.
const COLUMNS: [(&str, &str); 9] = [
    ("id", "NULL"),
    ("username", "''"),
    ("email", "''"),
    ("password", "''"),
    ("is_active", "1"),
    ("is_staff", "0"),
    ("is_superuser", "0"),
    ("last_login", "NULL"),
    ("date_joined", "NULL"),
];

/// The statement that reads the users.
pub(super) fn users(layout: &Layout, keep: &[String]) -> String {
    let known =
        COLUMNS.iter().map(|(name, or)| if layout.has(name) { quoted(name) } else { (*or).to_owned() });
    let columns: Vec<String> = known.chain(keep.iter().map(|name| quoted(name))).collect();
    format!("SELECT {} FROM {} ORDER BY \"id\"", columns.join(", "), quoted(&layout.users))
}

fn account(row: &Row<'_>, keep: &[String]) -> Result<SourceAccount, Failure> {
    let ValueRef::Integer(id) = value(row, 0)? else {
        return Err(Failure::no("a user has an id that is no number, as its tokens would have to say"));
    };
    let mut account = SourceAccount { id, ..SourceAccount::default() };
    let mut unreadable = Vec::new();
    let mut text = |place: usize| -> Result<String, Failure> {
        Ok(text(value(row, place)?).unwrap_or_else(|| {
            unreadable.push(COLUMNS[place].0);
            String::new()
        }))
    };
    account.username = text(1)?;
    account.email = text(2)?;
    account.password = text(3)?;
    let mut flag = |place: usize| -> Result<bool, Failure> {
        Ok(match value(row, place)? {
            ValueRef::Integer(number) => number != 0,
            ValueRef::Null => false,
            _ => {
                unreadable.push(COLUMNS[place].0);
                false
            }
        })
    };
    account.is_active = flag(4)?;
    account.is_staff = flag(5)?;
    account.is_superuser = flag(6)?;
    let mut moment = |place: usize| -> Result<Option<Timestamp>, Failure> {
        let moment = match value(row, place)? {
            ValueRef::Null => return Ok(None),
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().and_then(instant),
            _ => None,
        };
        if moment.is_none() {
            unreadable.push(COLUMNS[place].0);
        }
        Ok(moment)
    };
    account.last_login = moment(7)?;
    account.date_joined = moment(8)?;
    for (place, name) in (COLUMNS.len()..).zip(keep) {
        let value = match value(row, place)? {
            ValueRef::Null => continue,
            ValueRef::Integer(number) => number.into(),
            ValueRef::Real(number) => number.into(),
            other => text_value(other),
        };
        account.metadata.insert(name.clone(), value);
    }
    account.unreadable = unreadable;
    Ok(account)
}

fn value<'r>(row: &'r Row<'_>, place: usize) -> Result<ValueRef<'r>, Failure> {
    row.get_ref(place).map_err(failed)
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => Some(String::new()),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().map(str::to_owned),
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(_) | ValueRef::Blob(_) => None,
    }
}

fn text_value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into(),
        _ => Value::Null,
    }
}

/// Django writes `2018-10-04 12:01:00.123456`, in UTC, without saying so.
fn instant(text: &str) -> Option<Timestamp> {
    let mut text = text.replacen(' ', "T", 1);
    if text.get(19..).is_some_and(|rest| !rest.contains(['Z', '+', '-'])) {
        text.push('Z');
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::instant;

    #[test]
    fn instants_are_read_as_django_writes_them() {
        let noon = "2018-10-04T12:01:00.000000Z";
        for text in ["2018-10-04 12:01:00", "2018-10-04 12:01:00.000000", "2018-10-04 14:01:00+02:00", noon] {
            assert_eq!(instant(text).map(|t| t.to_string()).as_deref(), Some(noon), "{text}");
        }
        for text in ["", "yesterday", "2018-10-04", "2018-10-04 25:00:00"] {
            assert_eq!(instant(text), None, "{text}");
        }
    }
}
