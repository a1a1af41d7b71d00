//! Rows as values.

use crate::failure::Failure;
use crate::values::At;
use doorwarden_core::authentication::{Amr, AuthContext};
use doorwarden_core::identity::{EmailAddress, Username};
use doorwarden_core::mail::Locale;
use doorwarden_core::password::PasswordHash;
use doorwarden_core::session::{ClientInfo, EndReason, Repeats, Session, SessionId};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::{User, UserId};
use std::net::IpAddr;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Json};

/// The columns of a user, of the table called `u`.
macro_rules! user_columns {
    () => {
        "u.id, u.username, u.email, u.password, u.is_active, u.is_staff, u.is_superuser, u.date_joined, u.last_login, \
         u.metadata, u.password_trimmed, u.tokens_valid_after, u.sessions_generation, u.email_verified_at, u.locale, \
         u.must_change_password, u.deletion_at, u.has_factor"
    };
}

/// The columns of a session, of the table called `s`.
macro_rules! session_columns {
    () => {
        "s.id, s.user_id, s.created_at, s.last_seen_at, s.expires_at, s.amr, s.auth_time, s.assurance_level, \
         s.refresh_counter, s.idle_seconds, s.client_id, s.address, s.user_agent, s.ended_at, s.end_reason, s.generation, \
         s.rotated_at, s.late_repeats, s.repeated_at_counter, s.late_repeat_at, s.audience"
    };
}

/// The same with the end that it shares with others of its user, of the table called `u`.
macro_rules! judged_session_columns {
    () => {
        "s.id, s.user_id, s.created_at, s.last_seen_at, s.expires_at, s.amr, s.auth_time, s.assurance_level, \
         s.refresh_counter, s.idle_seconds, s.client_id, s.address, s.user_agent, \
         CASE WHEN s.ended_at IS NULL AND u.sessions_generation IS DISTINCT FROM s.generation THEN coalesce(\
             (SELECT e.ended_at FROM doorwarden_session_ends e \
              WHERE e.user_id = s.user_id AND e.generation > s.generation ORDER BY e.generation LIMIT 1), s.last_seen_at) \
             ELSE s.ended_at END, \
         CASE WHEN s.ended_at IS NULL AND u.sessions_generation IS DISTINCT FROM s.generation THEN coalesce(\
             (SELECT e.reason FROM doorwarden_session_ends e \
              WHERE e.user_id = s.user_id AND e.generation > s.generation ORDER BY e.generation LIMIT 1), 'signed_out') \
             ELSE s.end_reason END, \
         s.generation, s.rotated_at, s.late_repeats, s.repeated_at_counter, s.late_repeat_at, s.audience"
    };
}

pub(crate) use {judged_session_columns, session_columns, user_columns};

/// A column by its place.
pub(crate) fn get<'a, T: FromSql<'a>>(row: &'a Row, place: usize) -> Result<T, Failure> {
    Ok(row.try_get(place)?)
}

pub(crate) fn instant(row: &Row, place: usize) -> Result<Timestamp, Failure> {
    Ok(get::<At>(row, place)?.0)
}

pub(crate) fn optional_instant(row: &Row, place: usize) -> Result<Option<Timestamp>, Failure> {
    Ok(get::<Option<At>>(row, place)?.map(|at| at.0))
}

/// The address of a client. Text that is no address, written by another program, tells nothing.
pub(crate) fn address(row: &Row, place: usize) -> Result<Option<IpAddr>, Failure> {
    Ok(get::<Option<&str>>(row, place)?.and_then(|text| text.parse().ok()))
}

/// A user from [`user_columns`], which stand first.
pub(crate) fn user(row: &Row) -> Result<User, Failure> {
    let mut user = User::new(
        UserId(get(row, 0)?),
        Username::from_stored(get::<String>(row, 1)?),
        EmailAddress::from_stored(get::<String>(row, 2)?),
        PasswordHash::from_stored(get(row, 3)?),
        instant(row, 7)?,
    );
    user.is_active = get(row, 4)?;
    user.is_staff = get(row, 5)?;
    user.is_superuser = get(row, 6)?;
    user.last_login = optional_instant(row, 8)?;
    user.metadata = get::<Json<_>>(row, 9)?.0;
    user.password_trimmed = get(row, 10)?;
    user.tokens_valid_after = optional_instant(row, 11)?;
    user.sessions_generation = get(row, 12)?;
    user.email_verified_at = optional_instant(row, 13)?;
    // A language that is not one of these, written by another program, is no reason to refuse a login.
    user.locale = get::<Option<&str>>(row, 14)?.and_then(Locale::of_tag);
    user.must_change_password = get(row, 15)?;
    user.deletion_at = optional_instant(row, 16)?;
    user.has_factor = get(row, 17)?;
    Ok(user)
}

/// How many columns [`user_columns`] are.
pub(crate) const USER_COLUMNS: usize = 18;

/// How many columns [`session_columns`] are.
pub(crate) const SESSION_COLUMNS: usize = 21;

/// A session from [`session_columns`], which stand first.
pub(crate) fn session(row: &Row) -> Result<Session, Failure> {
    let reason = get::<Option<&str>>(row, 14)?;
    let ended = match optional_instant(row, 13)?.zip(reason) {
        Some((at, word)) => Some((
            at,
            EndReason::from_stored(word)
                .ok_or_else(|| Failure::Unreadable("a session ended for an unknown reason".to_owned()))?,
        )),
        None => None,
    };
    let (auth_time, assurance_level) = (instant(row, 6)?, small(row, 7)?);
    let auth = Amr::from_stored(get(row, 5)?);
    let auth = auth.map(|methods| AuthContext { methods, assurance_level, auth_time });
    let (created_at, expires_at) = (instant(row, 2)?, instant(row, 4)?);
    let mut session = Session::new(SessionId(get(row, 0)?), UserId(get(row, 1)?), created_at, expires_at);
    session.last_seen_at = instant(row, 3)?;
    session.auth = auth;
    session.refresh_counter = get(row, 8)?;
    session.idle_seconds = get(row, 9)?;
    session.client_id = get(row, 10)?;
    session.client =
        ClientInfo { address: address(row, 11)?, user_agent: get(row, 12)?, ..ClientInfo::default() };
    session.ended = ended;
    session.generation = get(row, 15)?;
    session.rotated_at = optional_instant(row, 16)?;
    session.repeats = Repeats {
        late: small(row, 17)?,
        last_at_counter: get(row, 18)?,
        last_late_at: optional_instant(row, 19)?,
    };
    session.audience = get(row, 20)?;
    Ok(session)
}

fn small(row: &Row, place: usize) -> Result<u8, Failure> {
    let number = get::<i16>(row, place)?;
    let name = row.columns()[place].name();
    u8::try_from(number).map_err(|_| Failure::Unreadable(format!("a session has an impossible {name}")))
}

/// Every row as a value.
pub(crate) fn all<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
    rows.iter().map(read).collect()
}

/// The row as a value, if there is one.
pub(crate) fn optional<T>(
    row: Option<&Row>,
    read: impl Fn(&Row) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    row.map(read).transpose()
}
