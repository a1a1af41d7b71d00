//! Rows as values, and the one way to run a statement that gives some.

use crate::failure::Failure;
use doorwarden_core::authentication::{Amr, AuthContext};
use doorwarden_core::identity::{EmailAddress, Username};
use doorwarden_core::mail::Locale;
use doorwarden_core::password::PasswordHash;
use doorwarden_core::session::{ClientInfo, EndReason, Repeats, Session, SessionId};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{User, UserId};
use rusqlite::types::{FromSql, Value};
use rusqlite::{Connection, Params, Row};
use std::net::IpAddr;
use uuid::Uuid;

/// The columns of a user.
macro_rules! user_columns {
    () => {
        "id, username, email, password, is_active, is_staff, is_superuser, date_joined, last_login, metadata, \
         password_trimmed, tokens_valid_after, sessions_generation, email_verified_at, locale, must_change_password, \
         deletion_at, has_factor"
    };
}

/// The columns of a session.
macro_rules! session_columns {
    () => {
        "id, user_id, created_at, last_seen_at, expires_at, amr, auth_time, assurance_level, refresh_counter, \
         idle_seconds, client_id, address, user_agent, ended_at, end_reason, generation, rotated_at, late_repeats, \
         repeated_at_counter, late_repeat_at, audience"
    };
}

/// The columns of a session, of the table called `s`, with the end that it shares with others of its user.
macro_rules! judged_session_columns {
    () => {
        "id, user_id, created_at, last_seen_at, expires_at, amr, auth_time, assurance_level, refresh_counter, \
         idle_seconds, client_id, address, user_agent, \
         CASE WHEN ended_at IS NULL AND (SELECT sessions_generation FROM users WHERE id = s.user_id) IS NOT generation \
             THEN coalesce((SELECT ended_at FROM doorwarden_session_ends \
                 WHERE user_id = s.user_id AND generation > s.generation ORDER BY generation LIMIT 1), last_seen_at) \
             ELSE ended_at END AS ended_at, \
         CASE WHEN ended_at IS NULL AND (SELECT sessions_generation FROM users WHERE id = s.user_id) IS NOT generation \
             THEN coalesce((SELECT reason FROM doorwarden_session_ends \
                 WHERE user_id = s.user_id AND generation > s.generation ORDER BY generation LIMIT 1), 'signed_out') \
             ELSE end_reason END AS end_reason, \
         generation, rotated_at, late_repeats, repeated_at_counter, late_repeat_at, audience"
    };
}

pub(crate) use {judged_session_columns, session_columns, user_columns};

/// All rows of a statement, which is stepped to its end. This matters with `RETURNING`: a statement that is
/// reset after its first row commits inside the reset, where a failure is not reported and no checkpoint
/// follows.
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

/// Runs a statement that returns no rows; returns how many rows it changed.
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

/// A row of this table, whose first column is its key. What cannot be read is named, so that it can be
/// mended.
pub(crate) struct Record<'a> {
    pub(crate) table: &'static str,
    pub(crate) row: &'a Row<'a>,
}

impl Record<'_> {
    pub(crate) fn get<T: FromSql>(&self, place: usize) -> Result<T, Failure> {
        self.row.get(place).map_err(|_| self.damaged(place))
    }

    /// A column that is text with a meaning.
    pub(crate) fn parse<T>(&self, place: usize, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Failure> {
        self.parse_optional(place, parse)?.ok_or_else(|| self.damaged(place))
    }

    /// The same, or NULL.
    fn parse_optional<T>(
        &self,
        place: usize,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let text = self.row.get_ref(place).ok().and_then(|value| value.as_str_or_null().ok());
        let text = text.ok_or_else(|| self.damaged(place))?;
        text.map(|text| parse(text).ok_or_else(|| self.damaged(place))).transpose()
    }

    /// The address of a client. Text that is no address, written by another program, tells nothing.
    pub(crate) fn address(&self, place: usize) -> Result<Option<IpAddr>, Failure> {
        self.parse_optional(place, |text| Some(text.parse().ok())).map(Option::flatten)
    }

    pub(crate) fn instant(&self, place: usize) -> Result<Timestamp, Failure> {
        Ok(Timestamp::from_micros(self.get(place)?))
    }

    pub(crate) fn optional_instant(&self, place: usize) -> Result<Option<Timestamp>, Failure> {
        Ok(self.get::<Option<i64>>(place)?.map(Timestamp::from_micros))
    }

    fn damaged(&self, place: usize) -> Failure {
        let id = match self.row.get::<_, Value>(0) {
            Ok(Value::Integer(id)) => id.to_string(),
            Ok(Value::Blob(id)) => Uuid::from_slice(&id).map(|id| id.to_string()).unwrap_or_default(),
            Ok(Value::Text(id)) => id,
            _ => String::new(),
        };
        let column = self.row.as_ref().column_name(place).unwrap_or_default();
        Failure::Unreadable(format!("{}.{column} of id {id} cannot be read", self.table))
    }
}

/// Text as an instant.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// An instant as the table `users` holds it. What lies outside the years 0 to 9999 becomes their first or
/// last instant.
pub(crate) fn text(at: Timestamp) -> String {
    let micros = at.as_micros().clamp(-62_167_219_200_000_000, 253_402_300_799_999_999);
    Timestamp::from_micros(micros).to_string()
}

/// A user from [`user_columns`], which stand first.
pub(crate) fn user(row: &Row<'_>) -> Result<User, Failure> {
    let row = Record { table: "users", row };
    let mut user = User::new(
        UserId(row.get(0)?),
        Username::from_stored(row.get::<String>(1)?),
        EmailAddress::from_stored(row.get::<String>(2)?),
        PasswordHash::from_stored(row.get(3)?),
        row.parse(7, instant)?,
    );
    user.is_active = row.get(4)?;
    user.is_staff = row.get(5)?;
    user.is_superuser = row.get(6)?;
    user.last_login = row.parse_optional(8, instant)?;
    user.metadata = row.parse(9, |text| serde_json::from_str(text).ok())?;
    user.password_trimmed = row.get(10)?;
    user.tokens_valid_after = row.parse_optional(11, instant)?;
    user.sessions_generation = row.get(12)?;
    user.email_verified_at = row.parse_optional(13, instant)?;
    // A language that is not one of these, written by another program, is no reason to refuse a login.
    user.locale = row.get::<Option<String>>(14)?.and_then(|tag| Locale::of_tag(&tag));
    user.must_change_password = row.get(15)?;
    user.deletion_at = row.parse_optional(16, instant)?;
    user.has_factor = row.get(17)?;
    Ok(user)
}

/// A session from [`session_columns`], which stand first.
pub(crate) fn session(row: &Row<'_>) -> Result<Session, Failure> {
    let row = Record { table: "doorwarden_sessions", row };
    let reason = row.parse_optional(14, EndReason::from_stored)?;
    let (auth_time, assurance_level) = (row.instant(6)?, row.get(7)?);
    let auth = row.parse(5, |words| Some(Amr::from_stored(words)))?;
    let auth = auth.map(|methods| AuthContext { methods, assurance_level, auth_time });
    let (created_at, expires_at) = (row.instant(2)?, row.instant(4)?);
    let mut session = Session::new(SessionId(row.get(0)?), UserId(row.get(1)?), created_at, expires_at);
    session.last_seen_at = row.instant(3)?;
    session.auth = auth;
    session.refresh_counter = row.get(8)?;
    session.idle_seconds = row.get(9)?;
    session.client_id = row.get(10)?;
    session.client =
        ClientInfo { address: row.address(11)?, user_agent: row.get(12)?, ..ClientInfo::default() };
    session.ended = row.optional_instant(13)?.zip(reason);
    session.generation = row.get(15)?;
    session.rotated_at = row.optional_instant(16)?;
    session.repeats = Repeats {
        late: row.get(17)?,
        last_at_counter: row.get(18)?,
        last_late_at: row.optional_instant(19)?,
    };
    session.audience = row.get(20)?;
    Ok(session)
}
