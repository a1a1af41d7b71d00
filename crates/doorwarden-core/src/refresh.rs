//! The rule of refresh tokens: what becomes of a presented token (RFC 9700, section 4.14.2).
//!
//! A session has one row, however often it is refreshed: the row has a counter, and so has the token.
//!
//! | the token's counter is | what becomes of it |
//! |---|---|
//! | the row's | The token is rotated: the row's counter becomes one more. |
//! | one behind, within the grace period | The newest is returned again: a lost response, a second tab. |
//! | one behind, later | The newest is returned again, and this is counted; the third time is theft. |
//! | further behind | Theft, at once. |
//!
//! Theft ends the session. A *generation* is the time from one rotation to the next. The count returns to 0
//! when a whole generation passes without any repeat, early or late: two parties who keep in step never have
//! such a generation, and a lost response is followed by one.
//!
//! Both stores and introspection decide by [`decide`]. What the stores do in one statement, because it is the
//! usual case, is the first line of the table and nothing else; whatever that leaves over comes here.

use crate::session::{EndReason, Repeats, Session, SessionId};
use crate::time::Timestamp;
use std::time::Duration;

/// Maximum idle time in seconds: a century, which can be added to any instant.
pub const MAX_IDLE_SECONDS: i64 = 3_155_760_000;

/// How many late repeats without a quiet generation between them are accepted. The next one is theft.
pub const MOST_LATE_REPEATS: u8 = 2;

/// A presented refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presented {
    /// The session that the token names.
    pub session: SessionId,
    /// The token's counter.
    pub counter: i64,
    /// When the token is presented.
    pub at: Timestamp,
    /// How long after a rotation the token before the newest is repeated without being counted.
    pub grace: Duration,
}

/// When a token before the newest came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Within the grace period.
    InGrace,
    /// Later. It was counted.
    Late,
}

/// The decision about a refresh token, with the session as it is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The token is the newest: the counter is one more.
    Rotate(Session),
    /// The token is the one before the newest, and the newest is returned again. What is to be stored may be
    /// what is stored.
    Repeat(Session, Repeat),
    /// Somebody has a copy: the session ends.
    Reuse(Session),
    /// The token is not valid for another reason.
    Refuse,
}

/// Decides about a token of this session. `has_owner`: its user exists and is active, and the session is none
/// of those that were ended all at once.
pub fn decide(session: &Session, has_owner: bool, shown: &Presented) -> Decision {
    let Some(newest) = session.refresh_counter else { return Decision::Refuse };
    if !has_owner || !is_alive(session, shown.at) || !(0..=newest).contains(&shown.counter) {
        return Decision::Refuse;
    }
    match newest - shown.counter {
        0 => Decision::Rotate(rotated(session, newest, shown.at)),
        1 => repeated(session, newest, shown),
        _ => Decision::Reuse(ended(session, shown.at)),
    }
}

/// The session with a refresh token newer than any that was issued for it: its first, or one more rotation.
/// `None` if the session is not live.
pub fn renewed(session: &Session, has_owner: bool, at: Timestamp) -> Option<Session> {
    (has_owner && is_alive(session, at)).then(|| match session.refresh_counter {
        Some(newest) => rotated(session, newest, at),
        None => Session {
            refresh_counter: Some(0),
            last_seen_at: session.last_seen_at.max(at),
            ..session.clone()
        },
    })
}

/// Whether a session has neither ended nor expired at `at`, and was used within its idle time.
pub fn is_alive(session: &Session, at: Timestamp) -> bool {
    session.ended.is_none() && at < session.expires_at && idle_until(session).is_none_or(|end| at < end)
}

/// When a session that is not used any more is idle too long; `None`: never.
pub fn idle_until(session: &Session) -> Option<Timestamp> {
    let seconds = u64::try_from(session.idle_seconds?.min(MAX_IDLE_SECONDS)).unwrap_or(0);
    Some(session.last_seen_at.after(Duration::from_secs(seconds)))
}

/// An idle time as a session keeps it.
pub fn idle_seconds(idle: Duration) -> i64 {
    i64::try_from(idle.as_secs()).unwrap_or(i64::MAX).min(MAX_IDLE_SECONDS)
}

fn rotated(session: &Session, newest: i64, at: Timestamp) -> Session {
    let is_quiet = session.repeats.last_at_counter != Some(newest);
    let late = if is_quiet { 0 } else { session.repeats.late };
    Session {
        refresh_counter: Some(newest + 1),
        rotated_at: Some(at),
        last_seen_at: session.last_seen_at.max(at),
        repeats: Repeats { late, ..session.repeats },
        ..session.clone()
    }
}

fn repeated(session: &Session, newest: i64, shown: &Presented) -> Decision {
    let Repeats { late, last_late_at, .. } = session.repeats;
    // An instance whose clock is behind sees a rotation in its future.
    let is_in_grace = session
        .rotated_at
        .is_some_and(|rotated| shown.at.since(rotated).max(rotated.since(shown.at)) <= shown.grace);
    let repeats = match is_in_grace {
        // As long as nothing is counted, there is nothing that a quiet generation could forgive, and nothing
        // to write.
        true if late == 0 => session.repeats,
        true => Repeats { late, last_at_counter: Some(newest), last_late_at },
        false if late >= MOST_LATE_REPEATS => return Decision::Reuse(ended(session, shown.at)),
        false => Repeats {
            late: late + 1,
            last_at_counter: Some(newest),
            last_late_at: last_late_at.max(Some(shown.at)),
        },
    };
    let session = Session { repeats, ..session.clone() };
    Decision::Repeat(session, if is_in_grace { Repeat::InGrace } else { Repeat::Late })
}

fn ended(session: &Session, at: Timestamp) -> Session {
    Session { ended: Some((at, EndReason::RefreshReused)), ..session.clone() }
}
