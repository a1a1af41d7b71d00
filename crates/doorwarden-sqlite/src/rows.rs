//! Rows as values, and the one way to run a statement that gives some.

use crate::failure::Failure;
use doorwarden_core::identity::{EmailAddress, Username};
use doorwarden_core::password::PasswordHash;
use doorwarden_core::session::{ClientInfo, EndReason, Session, SessionId};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{User, UserId};
use rusqlite::types::FromSql;
use rusqlite::{Connection, Params, Row};
use uuid::Uuid;

/// The columns of a user.
macro_rules! user_columns {
    () => {
        "id, username, email, password, is_active, is_staff, is_superuser, date_joined, last_login, metadata, \
         password_trimmed, tokens_valid_after"
    };
}

/// The columns of a session.
macro_rules! session_columns {
    () => {
        "id, user_id, created_at, last_seen_at, expires_at, amr, auth_time, assurance_level, refresh_counter, \
         idle_seconds, client_id, address, user_agent, ended_at, end_reason"
    };
}

pub(crate) use {session_columns, user_columns};

/// All rows of a statement, which is stepped to its end. With `RETURNING` that is no detail: a statement that is reset after its
/// first row commits inside the reset, where nobody hears of a failure and no checkpoint follows.
pub(crate) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        values.push(read(row)?);
    }
    Ok(values)
}

/// The first row of a statement, which is stepped to its end all the same.
pub(crate) fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut first = None;
    while let Some(row) = rows.next()? {
        if first.is_none() {
            first = Some(read(row)?);
        }
    }
    Ok(first)
}

/// Runs a statement that gives no rows; how many it changed.
pub(crate) fn run(connection: &Connection, sql: &str, params: impl Params) -> Result<usize, Failure> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}

/// A column by its place.
pub(crate) fn get<T: FromSql>(row: &Row<'_>, place: usize) -> Result<T, Failure> {
    Ok(row.get(place)?)
}

/// A count.
pub(crate) fn count(row: &Row<'_>, place: usize) -> Result<u64, Failure> {
    Ok(u64::try_from(get::<i64>(row, place)?).unwrap_or(0))
}

/// A user from [`user_columns`], which stand first.
pub(crate) fn user(row: &Row<'_>) -> Result<User, Failure> {
    let id: i64 = get(row, 0)?;
    let damaged = |column: &str| Failure::Unreadable(format!("users.{column} of id {id} cannot be read"));
    let instant = |place: usize, column: &str| {
        let text: Option<String> = row.get(place).map_err(|_| damaged(column))?;
        text.map(|text| text.parse::<Timestamp>()).transpose().map_err(|_| damaged(column))
    };
    let metadata: String = get(row, 9)?;
    Ok(User {
        id: UserId(id),
        username: Username::from_stored(get::<String>(row, 1)?),
        email: EmailAddress::from_stored(get::<String>(row, 2)?),
        password: PasswordHash::from_stored(get(row, 3)?),
        is_active: get(row, 4)?,
        is_staff: get(row, 5)?,
        is_superuser: get(row, 6)?,
        date_joined: instant(7, "date_joined")?.ok_or_else(|| damaged("date_joined"))?,
        last_login: instant(8, "last_login")?,
        metadata: serde_json::from_str(&metadata).map_err(|_| damaged("metadata"))?,
        password_trimmed: get(row, 10)?,
        tokens_valid_after: instant(11, "tokens_valid_after")?,
    })
}

/// A session from [`session_columns`], which stand first.
pub(crate) fn session(row: &Row<'_>) -> Result<Session, Failure> {
    let id: Uuid = get(row, 0)?;
    let damaged =
        |column: &str| Failure::Unreadable(format!("doorwarden_sessions.{column} of id {id} cannot be read"));
    let instant = |place: usize| get::<i64>(row, place).map(Timestamp::from_micros);
    let ended = match get::<Option<i64>>(row, 13)?.zip(get::<Option<String>>(row, 14)?) {
        Some((at, word)) => {
            let reason = EndReason::from_stored(&word).ok_or_else(|| damaged("end_reason"))?;
            Some((Timestamp::from_micros(at), reason))
        }
        None => None,
    };
    Ok(Session {
        id: SessionId(id),
        user: UserId(get(row, 1)?),
        created_at: instant(2)?,
        last_seen_at: instant(3)?,
        expires_at: instant(4)?,
        amr: get(row, 5)?,
        auth_time: instant(6)?,
        assurance_level: get(row, 7)?,
        refresh_counter: get(row, 8)?,
        idle_seconds: get(row, 9)?,
        client_id: get(row, 10)?,
        client: ClientInfo { address: get(row, 11)?, user_agent: get(row, 12)? },
        ended,
    })
}
