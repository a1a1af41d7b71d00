//! Sessions.

use crate::audit;
use crate::challenges;
use crate::failure::Failure;
use crate::rows::{
    Record, all, count, get, instant, judged_session_columns, one, run, session, session_columns, text,
};
use crate::store::SqliteStore;
use crate::users::with_own_password;
use async_trait::async_trait;
use doorwarden_core::audit::{Effects, Found};
use doorwarden_core::authentication::AuthContext;
use doorwarden_core::event::Event;
use doorwarden_core::password::PasswordHash;
use doorwarden_core::refresh::{self, Decision, Presented};
use doorwarden_core::session::{EndReason, Session, SessionCursor, SessionId};
use doorwarden_core::store::{OpenSession, Opened, Renewal, Revocations, Rotation, SessionStore, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use rusqlite::{Connection, params};

/// How many rows one write takes where there may be very many, so that others get their turn.
const PORTION: u32 = 500;

#[async_trait]
impl SessionStore for SqliteStore {
    async fn open_session(&self, open: OpenSession, effects: Effects) -> Result<Option<Opened>, StoreError> {
        self.write(move |connection| {
            challenges::check(connection, &effects)?;
            let (session, password) = (open.session(), open.password());
            if open.is_login() {
                let sql = "UPDATE users SET last_login = ?3, password = coalesce(?4, password), \
                           password_trimmed = password_trimmed AND NOT ?5, \
                           email_verified_at = CASE WHEN ?6 THEN ?3 ELSE email_verified_at END \
                           WHERE id = ?1 AND is_active AND (?2 IS NULL OR password = ?2) AND has_factor <= ?7";
                let rehashed = password.and_then(|password| password.rehashed.as_ref());
                let params = params![
                    session.user.0,
                    password.map(|password| password.verified.as_str()),
                    text(session.created_at),
                    rehashed.map(PasswordHash::as_str),
                    password.is_some_and(|password| password.is_untrimmed),
                    open.proves_email(),
                    open.may_have_factor(),
                ];
                let log_in = || Ok(run(connection, sql, params)? == 1);
                if !with_own_password(connection, rehashed, log_in)? {
                    return Ok(None);
                }
            }
            // A login may just have stored a better hash of the same password.
            let verified = password.filter(|_| !open.is_login()).map(|password| password.verified.as_str());
            let sql = "SELECT sessions_generation FROM users \
                       WHERE id = ?1 AND is_active AND (?2 IS NULL OR password = ?2) AND has_factor <= ?3";
            let params = (session.user.0, verified, open.may_have_factor());
            let Some(generation) = one(connection, sql, params, |row| get(row, 0))? else {
                return Ok(None);
            };
            insert(connection, session, generation)?;
            let ended = match open.most() {
                Some(most) => {
                    let new = Some(session.id);
                    end_surplus(connection, session.user, most, new, session.created_at, Opened::MOST_ENDED)?
                }
                None => Vec::new(),
            };
            audit::write(connection, &effects)?;
            audit::write(connection, &effects.causing(Event::surplus(session.user, &ended)))?;
            Ok(Some(Opened { generation, ended }))
        })
        .await
    }

    async fn limit_sessions(
        &self,
        user: UserId,
        most: u32,
        at: Timestamp,
        limit: u32,
        effects: Effects,
    ) -> Result<Vec<SessionId>, StoreError> {
        self.write(move |connection| {
            let ended = end_surplus(connection, user, most, None, at, limit)?;
            audit::write(connection, &effects.causing(Event::surplus(user, &ended)))?;
            Ok(ended)
        })
        .await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        Ok(self.read(|connection| by_id(connection, id))?)
    }

    async fn sessions_of(
        &self,
        user: UserId,
        now: Timestamp,
        after: Option<SessionCursor>,
        limit: usize,
    ) -> Result<Vec<Session>, StoreError> {
        let sql = concat!(
            "SELECT ",
            session_columns!(),
            " FROM doorwarden_sessions WHERE user_id = ?1 AND ended_at IS NULL AND expires_at > ?2 \
             AND generation = (SELECT sessions_generation FROM users WHERE id = ?1) \
             AND (?3 IS NULL OR (created_at, id) < (?3, ?4)) ORDER BY created_at DESC, id DESC LIMIT ?5"
        );
        let (opened, id) = after.map(|after| (after.created_at.as_micros(), after.id.0)).unzip();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        Ok(self
            .read(|connection| all(connection, sql, (user.0, now.as_micros(), opened, id, limit), session))?)
    }

    async fn authenticate_session(
        &self,
        id: SessionId,
        user: UserId,
        auth: AuthContext,
        verified: Option<&PasswordHash>,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let verified = verified.map(|hash| hash.as_str().to_owned());
        self.write(move |connection| {
            challenges::check(connection, &effects)?;
            let sql = "UPDATE doorwarden_sessions SET amr = ?3, auth_time = ?4, assurance_level = ?5 \
                       WHERE id = ?1 AND user_id = ?2 AND ended_at IS NULL AND expires_at > ?4 \
                       AND generation = (SELECT sessions_generation FROM users \
                           WHERE id = ?2 AND is_active AND (?6 IS NULL OR password = ?6) AND (NOT has_factor OR ?5 >= 2))";
            let (amr, at) = (auth.methods.to_string(), auth.auth_time.as_micros());
            let params = params![id.0, user.0, amr, at, auth.assurance_level, verified];
            let changed = run(connection, sql, params)? == 1;
            Ok(audit::write_if(connection, changed, &effects)?)
        })
        .await
    }

    async fn end_session(
        &self,
        id: SessionId,
        user: UserId,
        reason: EndReason,
        at: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let sql = "UPDATE doorwarden_sessions SET ended_at = ?4, end_reason = ?3 \
                       WHERE id = ?1 AND user_id = ?2 AND ended_at IS NULL \
                       AND generation = (SELECT sessions_generation FROM users WHERE id = ?2)";
            let ended = run(connection, sql, (id.0, user.0, reason.as_str(), at.as_micros()))? == 1;
            Ok(audit::write_if(connection, ended, &effects)?)
        })
        .await
    }

    async fn end_sessions_of(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: EndReason,
        at: Timestamp,
        effects: Effects,
    ) -> Result<Option<u64>, StoreError> {
        self.write(move |connection| {
            let generation = "SELECT sessions_generation FROM users WHERE id = ?1";
            let Some(generation) = one(connection, generation, [user.0], |row| get::<i64>(row, 0))? else {
                return Ok(None);
            };
            if let Some(kept) = except {
                let lives = "SELECT 1 FROM doorwarden_sessions WHERE id = ?1 AND user_id = ?2 AND generation = ?3 \
                             AND ended_at IS NULL AND expires_at > ?4";
                let params = (kept.0, user.0, generation, at.as_micros());
                if one(connection, lives, params, |_| Ok(()))?.is_none() {
                    return Ok(None);
                }
            }
            if count_living(connection, user, generation, except)? == 0 {
                return Ok(Some(0));
            }
            let ended = end_all(connection, user, except, reason, at)?;
            audit::write(connection, &effects.with(Found::Count(ended)))?;
            Ok(Some(ended))
        })
        .await
    }

    async fn rotate_refresh(&self, shown: Presented, effects: Effects) -> Result<Rotation, StoreError> {
        self.write(move |connection| Ok(rotate(connection, &shown, &effects)?)).await
    }

    async fn renew_refresh(
        &self,
        id: SessionId,
        renewal: Renewal,
        effects: Effects,
    ) -> Result<Option<Session>, StoreError> {
        self.write(move |connection| {
            let Some((session, has_owner)) = with_owner(connection, id)? else { return Ok(None) };
            let renewed = renewal.of(&session, has_owner);
            if let Some(renewed) = &renewed {
                store_decided(connection, renewed)?;
                audit::write(connection, &effects)?;
            }
            Ok(renewed)
        })
        .await
    }

    async fn revocations(&self, since: Timestamp) -> Result<Revocations, StoreError> {
        let sessions = "SELECT id, ended_at, user_id FROM doorwarden_sessions s WHERE ended_at >= ?1 AND refresh_counter IS NOT NULL \
            AND NOT EXISTS (SELECT 1 FROM doorwarden_session_ends e WHERE e.user_id = s.user_id \
                AND e.generation > s.generation AND e.many AND e.ended_at >= ?1) \
            UNION ALL SELECT s.id, e.ended_at, s.user_id FROM doorwarden_session_ends e JOIN doorwarden_sessions s \
            ON s.user_id = e.user_id AND s.generation = e.former AND s.ended_at IS NULL \
            WHERE e.ended_at >= ?1 AND NOT e.many AND NOT e.settled AND s.refresh_counter IS NOT NULL \
            UNION SELECT id, ended_at, user_id FROM doorwarden_deleted_sessions WHERE ended_at >= ?1 \
            ORDER BY 2 DESC, 1 DESC LIMIT ?2";
        let users = "SELECT id, tokens_valid_after FROM users WHERE tokens_valid_after >= ?1 ORDER BY 2 DESC, 1 DESC LIMIT ?2";
        let all_of = "SELECT user_id, ended_at, kept FROM doorwarden_session_ends WHERE ended_at >= ?1 AND many \
            ORDER BY 2 DESC, 1 DESC LIMIT ?2";
        let most = Revocations::MOST + 1;
        self.scan(move |connection| {
            let snapshot = connection.unchecked_transaction()?;
            let sessions = all(&snapshot, sessions, (since.as_micros(), most), |row| {
                let row = Record { table: "doorwarden_sessions", row };
                Ok((SessionId(row.get(0)?), row.instant(1)?, UserId(row.get(2)?)))
            })?;
            let users = all(&snapshot, users, (text(since), most), |row| {
                let row = Record { table: "users", row };
                Ok((UserId(row.get(0)?), row.parse(1, instant)?))
            })?;
            let all_of = all(&snapshot, all_of, (since.as_micros(), most), |row| {
                let row = Record { table: "doorwarden_session_ends", row };
                Ok((UserId(row.get(0)?), row.instant(1)?, row.get::<Option<_>>(2)?.map(SessionId)))
            })?;
            Ok(Revocations::from_newest(sessions, users, all_of))
        })
        .await
    }

    async fn touch_sessions(&self, seen: &[(SessionId, Timestamp)]) -> Result<(), StoreError> {
        for portion in seen.chunks(PORTION as usize) {
            let portion = portion.to_vec();
            self.write::<_, StoreError>(move |connection| {
                let sql =
                    "UPDATE doorwarden_sessions SET last_seen_at = ?2 WHERE id = ?1 AND last_seen_at < ?2";
                for (id, at) in &portion {
                    run(connection, sql, (id.0, at.as_micros()))?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    async fn settle_ends(&self, before: Timestamp, limit: u32) -> Result<bool, StoreError> {
        self.write(move |connection| Ok(settle(connection, before, limit)?)).await
    }

    async fn purge_sessions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.in_portions(limit, move |connection, portion| purge(connection, before, portion)).await
    }

    async fn purge_changes(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let changes = move |connection: &_, portion| purge_changes(connection, before, portion);
        let deleted = move |connection: &_, portion| purge_deleted(connection, before, portion);
        Ok(self.in_portions(limit, changes).await?.max(self.in_portions(limit, deleted).await?))
    }
}

impl SqliteStore {
    /// Deletes at most so many rows, in portions that are each committed.
    async fn in_portions(
        &self,
        limit: u32,
        delete: impl Fn(&Connection, u32) -> Result<u32, Failure> + Copy + Send + 'static,
    ) -> Result<u64, StoreError> {
        let mut deleted = 0;
        loop {
            let portion = PORTION.min(limit - deleted);
            let done = self.write::<_, StoreError>(move |c| Ok(delete(c, portion)?)).await?;
            deleted += done;
            if done < PORTION {
                return Ok(u64::from(deleted));
            }
        }
    }
}

/// Ends the rows of sessions that ended with all others, and deletes what says so of those that would have
/// expired; whether there may be more to do.
fn settle(connection: &Connection, before: Timestamp, most: u32) -> Result<bool, Failure> {
    let forget = "DELETE FROM doorwarden_session_ends WHERE (user_id, generation) IN (\
                  SELECT user_id, generation FROM doorwarden_session_ends WHERE settled AND expires_at < ?1 LIMIT ?2)";
    let forgotten = run(connection, forget, (before.as_micros(), most))?;
    let due = "SELECT user_id, former, generation, ended_at, reason FROM doorwarden_session_ends \
               WHERE NOT settled AND ended_at <= ?1 ORDER BY ended_at LIMIT ?2";
    let due: Vec<(i64, i64, i64, i64, String)> = all(connection, due, (before.as_micros(), most), |row| {
        Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?, get(row, 3)?, get(row, 4)?))
    })?;
    let has_more = [forgotten, due.len()].contains(&(most as usize));
    let mut left = most as usize;
    for (user, former, generation, at, reason) in due {
        let end = "UPDATE doorwarden_sessions SET ended_at = ?3, end_reason = ?4 WHERE id IN (\
                   SELECT id FROM doorwarden_sessions WHERE user_id = ?1 AND generation = ?2 AND ended_at IS NULL LIMIT ?5) \
                   RETURNING expires_at";
        let params = (user, former, at, reason, i64::try_from(left).unwrap_or(i64::MAX));
        let expiries: Vec<i64> = all(connection, end, params, |row| get(row, 0))?;
        left -= expiries.len();
        let mark = "UPDATE doorwarden_session_ends SET expires_at = max(expires_at, ?3), settled = ?4 \
                    WHERE user_id = ?1 AND generation = ?2";
        let latest = expiries.iter().max().copied().unwrap_or(i64::MIN);
        run(connection, mark, (user, generation, latest, left > 0))?;
        if left == 0 {
            return Ok(true);
        }
    }
    Ok(has_more)
}

/// Deletes at most this many sessions that ended or expired before this instant; returns how many.
fn purge(connection: &Connection, before: Timestamp, most: u32) -> Result<u32, Failure> {
    let sql = "DELETE FROM doorwarden_sessions WHERE id IN (\
               SELECT id FROM (SELECT id FROM doorwarden_sessions WHERE ended_at < min(?1, \
                   CAST((julianday('now') - 2440588.5) * 86400000000 AS INTEGER)) LIMIT ?2) UNION \
               SELECT id FROM (SELECT id FROM doorwarden_sessions WHERE expires_at < min(?1, \
                   CAST((julianday('now') - 2440588.5) * 86400000000 AS INTEGER)) LIMIT ?2) LIMIT ?2)";
    let deleted = run(connection, sql, (before.as_micros(), most))?;
    Ok(u32::try_from(deleted).unwrap_or(most))
}

/// Deletes the records of sessions whose rows were deleted, if they ended before this instant and a day ago;
/// returns how many.
fn purge_deleted(connection: &Connection, before: Timestamp, most: u32) -> Result<u32, Failure> {
    let sql = "DELETE FROM doorwarden_deleted_sessions WHERE id IN (SELECT id FROM doorwarden_deleted_sessions \
               WHERE ended_at < min(?1, CAST((julianday('now') - 2440588.5) * 86400000000 AS INTEGER)) LIMIT ?2)";
    let deleted = run(connection, sql, (before.as_micros(), most))?;
    Ok(u32::try_from(deleted).unwrap_or(0))
}

/// Deletes those of so many of the oldest changes that are older than this instant and five minutes; returns
/// how many.
fn purge_changes(connection: &Connection, before: Timestamp, most: u32) -> Result<u32, Failure> {
    let sql = "DELETE FROM doorwarden_changes WHERE seq IN (SELECT seq FROM doorwarden_changes ORDER BY seq LIMIT ?2) \
               AND at < min(?1, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) - 300000000)";
    let deleted = run(connection, sql, (before.as_micros(), most))?;
    Ok(u32::try_from(deleted).unwrap_or(0))
}

/// Ends the sessions of a user who exists by raising the user's generation, which `kept` follows; returns how
/// many, or only that there were more than 1,000.
pub(crate) fn end_all(
    connection: &Connection,
    user: UserId,
    kept: Option<SessionId>,
    reason: EndReason,
    at: Timestamp,
) -> Result<u64, Failure> {
    let generation = "SELECT sessions_generation FROM users WHERE id = ?1";
    let former = one(connection, generation, [user.0], |row| get::<i64>(row, 0))?.unwrap_or(0);
    let ended = count_living(connection, user, former, kept)?;
    // Before the generation rises, or the trigger for SQL by hand says why.
    let note = "INSERT INTO doorwarden_ending (user_id, former, generation, ended_at, reason, kept) \
                VALUES (?1, ?2, ?2 + 1, ?3, ?4, ?5)";
    let kept = kept.map(|id| id.0);
    run(connection, note, (user.0, former, at.as_micros(), reason.as_str(), kept))?;
    let raise = "UPDATE users SET sessions_generation = sessions_generation + 1 WHERE id = ?1";
    run(connection, raise, [user.0])?;
    let keep = "UPDATE doorwarden_sessions SET generation = generation + 1 \
                WHERE id = ?1 AND user_id = ?2 AND generation = ?3 AND ended_at IS NULL";
    run(connection, keep, (kept, user.0, former))?;
    Ok(ended)
}

/// How many sessions of this generation but `except` have not ended; of more than 1,000 only that.
fn count_living(
    connection: &Connection,
    user: UserId,
    generation: i64,
    except: Option<SessionId>,
) -> Result<u64, Failure> {
    let sql = "SELECT count(*) FROM (SELECT 1 FROM doorwarden_sessions \
               WHERE user_id = ?1 AND generation = ?2 AND ended_at IS NULL AND id IS NOT ?3 LIMIT 1001)";
    let params = (user.0, generation, except.map(|id| id.0));
    Ok(one(connection, sql, params, |row| count(row, 0))?.unwrap_or(0))
}

/// Ends at most `limit` of the living sessions beyond `most`, but not `new`, those first that were not used
/// for the longest time; which. Looks at a bounded number of rows, whatever their number.
fn end_surplus(
    connection: &Connection,
    user: UserId,
    most: u32,
    new: Option<SessionId>,
    at: Timestamp,
    limit: u32,
) -> Result<Vec<SessionId>, Failure> {
    // A use is noted once a minute and written behind: one that was used since it was opened may be in use
    // for so much longer.
    let living = "SELECT id, expires_at, last_seen_at + iif(last_seen_at > created_at, 90000000, 0) \
                  FROM doorwarden_sessions WHERE user_id = ?1 AND ended_at IS NULL \
                  AND generation = (SELECT sessions_generation FROM users WHERE id = ?1) LIMIT 10000";
    let mut living: Vec<(i64, SessionId)> = all(connection, living, [user.0], |row| {
        let row = Record { table: "doorwarden_sessions", row };
        Ok((row.instant(1)? > at).then_some((row.get(2)?, SessionId(row.get(0)?))))
    })?
    .into_iter()
    .flatten()
    .collect();
    let surplus = living.len().saturating_sub(most as usize).min(limit as usize);
    if surplus == 0 {
        return Ok(Vec::new());
    }
    living.retain(|(_, id)| Some(*id) != new);
    living.sort_unstable();
    living.truncate(surplus);
    let end = "UPDATE doorwarden_sessions SET ended_at = ?2, end_reason = ?3 WHERE id = ?1";
    for (_, id) in &living {
        run(connection, end, (id.0, at.as_micros(), EndReason::Limit.as_str()))?;
    }
    Ok(living.into_iter().map(|(_, id)| id).collect())
}

fn by_id(connection: &Connection, id: SessionId) -> Result<Option<Session>, Failure> {
    let sql = concat!("SELECT ", judged_session_columns!(), " FROM doorwarden_sessions s WHERE id = ?1");
    one(connection, sql, [id.0], session)
}

fn insert(connection: &Connection, session: &Session, generation: i64) -> Result<(), Failure> {
    let sql = concat!(
        "INSERT INTO doorwarden_sessions (",
        session_columns!(),
        ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)"
    );
    let params = params![
        session.id.0,
        session.user.0,
        session.created_at.as_micros(),
        session.last_seen_at.as_micros(),
        session.expires_at.as_micros(),
        session.auth.map(|auth| auth.methods.to_string()).unwrap_or_default(),
        session.auth.map_or(session.created_at, |auth| auth.auth_time).as_micros(),
        session.assurance_level(),
        session.refresh_counter,
        session.idle_seconds,
        session.client_id,
        session.client.address.map(|address| address.to_string()),
        session.client.user_agent,
        session.ended.map(|(at, _)| at.as_micros()),
        session.ended.map(|(_, reason)| reason.as_str()),
        generation,
        session.rotated_at.map(Timestamp::as_micros),
        session.repeats.late,
        session.repeats.last_at_counter,
        session.repeats.last_late_at.map(Timestamp::as_micros),
        session.audience,
    ];
    run(connection, sql, params)?;
    Ok(())
}

/// Rotates a refresh token: in the usual case with one statement, otherwise as the rule decides. There is one
/// writer at a time, so nothing comes between the read and the write.
fn rotate(connection: &Connection, shown: &Presented, effects: &Effects) -> Result<Rotation, Failure> {
    let newest = concat!(
        "UPDATE doorwarden_sessions \
         SET refresh_counter = refresh_counter + 1, rotated_at = ?3, last_seen_at = max(last_seen_at, ?3) \
         WHERE id = ?1 AND refresh_counter = ?2 AND late_repeats = 0 AND ended_at IS NULL AND expires_at > ?3 \
         AND (idle_seconds IS NULL OR last_seen_at + min(idle_seconds, ?4) * 1000000 > ?3) \
         AND generation = (SELECT sessions_generation FROM users WHERE users.id = user_id AND is_active) RETURNING ",
        session_columns!()
    );
    let params = (shown.session.0, shown.counter, shown.at.as_micros(), refresh::MAX_IDLE_SECONDS);
    if let Some(rotated) = one(connection, newest, params, session)? {
        return Ok(Rotation::Rotated(rotated));
    }
    let Some((session, has_owner)) = with_owner(connection, shown.session)? else {
        return Ok(Rotation::Unknown);
    };
    let decision = refresh::decide(&session, has_owner, shown);
    audit::write(connection, &effects.causing(Event::of_decision(&decision)))?;
    Ok(match decision {
        Decision::Rotate(rotated) => {
            store_decided(connection, &rotated)?;
            Rotation::Rotated(rotated)
        }
        Decision::Repeat(repeated, repeat) => {
            if repeated != session {
                store_decided(connection, &repeated)?;
            }
            Rotation::Repeated(repeated, repeat)
        }
        Decision::Reuse(ended) => {
            store_decided(connection, &ended)?;
            Rotation::Reused(ended)
        }
        Decision::Refuse => Rotation::Refused,
    })
}

/// The session of this id, and whether its user is there and active.
fn with_owner(connection: &Connection, id: SessionId) -> Result<Option<(Session, bool)>, Failure> {
    let sql = concat!(
        "SELECT ",
        judged_session_columns!(),
        ", EXISTS (SELECT 1 FROM users WHERE users.id = s.user_id AND is_active) FROM doorwarden_sessions s WHERE id = ?1"
    );
    one(connection, sql, [id.0], |row| Ok((session(row)?, get(row, 21)?)))
}

/// Stores what the rule of refresh tokens has decided about a session, also what hardly ever changes.
fn store_decided(connection: &Connection, session: &Session) -> Result<(), Failure> {
    let sql = "UPDATE doorwarden_sessions SET refresh_counter = ?2, rotated_at = ?3, last_seen_at = ?4, expires_at = ?5, \
               idle_seconds = ?6, late_repeats = ?7, repeated_at_counter = ?8, late_repeat_at = ?9, audience = ?10, \
               ended_at = ?11, end_reason = ?12 WHERE id = ?1";
    let params = params![
        session.id.0,
        session.refresh_counter,
        session.rotated_at.map(Timestamp::as_micros),
        session.last_seen_at.as_micros(),
        session.expires_at.as_micros(),
        session.idle_seconds,
        session.repeats.late,
        session.repeats.last_at_counter,
        session.repeats.last_late_at.map(Timestamp::as_micros),
        session.audience,
        session.ended.map(|(at, _)| at.as_micros()),
        session.ended.map(|(_, reason)| reason.as_str()),
    ];
    run(connection, sql, params)?;
    Ok(())
}
