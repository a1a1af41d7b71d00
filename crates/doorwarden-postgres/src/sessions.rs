//! Sessions.

use crate::audit::{self, change, write_effects};
use crate::database::Effort;
use crate::rows::{all, get, judged_session_columns, optional, session, session_columns};
use crate::store::PostgresStore;
use crate::values::At;
use async_trait::async_trait;
use doorwarden_core::audit::Effects;
use doorwarden_core::authentication::AuthContext;
use doorwarden_core::event::Event;
use doorwarden_core::password::PasswordHash;
use doorwarden_core::refresh::Presented;
use doorwarden_core::session::{EndReason, Session, SessionCursor, SessionId};
use doorwarden_core::store::{OpenSession, Opened, Renewal, Revocations, Rotation, SessionStore, StoreError};
use doorwarden_core::time::Timestamp;
use doorwarden_core::user::UserId;
use tokio_postgres::types::Type;

/// Opens a session for the user whose row the first part has locked. Deactivation, a password change and a
/// sign-out of the user need the same lock: each either comes first and no session is opened, or finds the
/// session.
macro_rules! insert_session {
    ($owner:literal) => {
        concat!(
            "WITH owner AS (",
            $owner,
            "), opened AS (INSERT INTO doorwarden_sessions (id, user_id, created_at, last_seen_at, expires_at, amr, auth_time, \
             assurance_level, refresh_counter, idle_seconds, client_id, address, user_agent, ended_at, end_reason, \
             rotated_at, late_repeats, repeated_at_counter, late_repeat_at, audience, generation) \
             SELECT $2, id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
             sessions_generation FROM owner \
             RETURNING generation), done AS (SELECT generation, CASE WHEN $21 IS NULL THEN '{}' \
             ELSE doorwarden_end_surplus($1, generation, $21, $2, $3, $22) END AS ended FROM opened), audited AS (",
            write_effects!("$23", from: "done"),
            "), surplus AS (",
            write_effects!(
                "$24",
                from: "done CROSS JOIN unnest(done.ended) AS session (id)",
                user: "NULL",
                session: "session.id",
                found: "'{}'"
            ),
            ") SELECT generation, ended FROM done"
        )
    };
}

const OPEN: &str = insert_session!(
    "SELECT id, sessions_generation FROM users WHERE id = $1 AND is_active AND ($25 IS NULL OR password = $25) \
     AND (NOT has_factor OR $26) FOR NO KEY UPDATE"
);

const LOG_IN: &str = insert_session!(
    "UPDATE users SET last_login = $3, password = coalesce($27, password), \
     password_trimmed = password_trimmed AND NOT $28, \
     email_verified_at = CASE WHEN $29 THEN $3 ELSE email_verified_at END \
     FROM (SELECT set_config('doorwarden.password', 'rehashed', true) AS said) AS setting \
     WHERE id = $1 AND is_active AND ($25 IS NULL OR password = $25) AND (NOT has_factor OR $26) \
     AND setting.said = 'rehashed' RETURNING id, sessions_generation"
);

#[async_trait]
impl SessionStore for PostgresStore {
    async fn open_session(&self, open: OpenSession, effects: Effects) -> Result<Option<Opened>, StoreError> {
        let (session, password) = (open.session(), open.password());
        let verified = password.map(|password| password.verified.as_str());
        let rehashed = password.and_then(|password| password.rehashed.as_ref()).map(PasswordHash::as_str);
        let amr = session.auth.map(|auth| auth.methods.to_string()).unwrap_or_default();
        let auth_time = session.auth.map_or(session.created_at, |auth| auth.auth_time);
        let surplus = Event::surplus(session.user, &[SessionId::UNKNOWN]);
        let (ended_at, end_reason) = session.ended.map(|(at, reason)| (At(at), reason.as_str())).unzip();
        let params = [
            (&session.user.0 as _, Type::INT8),
            (&session.id.0 as _, Type::UUID),
            (&At(session.created_at) as _, Type::TIMESTAMPTZ),
            (&At(session.last_seen_at) as _, Type::TIMESTAMPTZ),
            (&At(session.expires_at) as _, Type::TIMESTAMPTZ),
            (&amr as _, Type::TEXT),
            (&At(auth_time) as _, Type::TIMESTAMPTZ),
            (&i16::from(session.assurance_level()) as _, Type::INT2),
            (&session.refresh_counter as _, Type::INT8),
            (&session.idle_seconds as _, Type::INT8),
            (&session.client_id as _, Type::TEXT),
            (&session.client.address.map(|address| address.to_string()) as _, Type::TEXT),
            (&session.client.user_agent as _, Type::TEXT),
            (&ended_at as _, Type::TIMESTAMPTZ),
            (&end_reason as _, Type::TEXT),
            (&session.rotated_at.map(At) as _, Type::TIMESTAMPTZ),
            (&i16::from(session.repeats.late) as _, Type::INT2),
            (&session.repeats.last_at_counter as _, Type::INT8),
            (&session.repeats.last_late_at.map(At) as _, Type::TIMESTAMPTZ),
            (&session.audience as _, Type::TEXT),
            (&open.most().map(i64::from) as _, Type::INT8),
            (&i64::from(Opened::MOST_ENDED) as _, Type::INT8),
            (&audit::parameter(&effects) as _, Type::TEXT),
            (&audit::parameter(&effects.causing(surplus)) as _, Type::TEXT),
            (&verified as _, Type::TEXT),
            (&open.may_have_factor() as _, Type::BOOL),
            (&rehashed as _, Type::TEXT),
            (&password.is_some_and(|password| password.is_untrimmed) as _, Type::BOOL),
            (&open.proves_email() as _, Type::BOOL),
        ];
        let row = if open.is_login() {
            self.database.change(&effects, LOG_IN, &params).await?
        } else {
            self.database.change(&effects, OPEN, &params[..26]).await?
        };
        let opened = |row: &_| {
            let ended = get::<Vec<_>>(row, 1)?.into_iter().map(SessionId).collect();
            Ok(Opened { generation: get(row, 0)?, ended })
        };
        Ok(optional(row.as_ref(), opened)?)
    }

    async fn limit_sessions(
        &self,
        user: UserId,
        most: u32,
        at: Timestamp,
        limit: u32,
        effects: Effects,
    ) -> Result<Vec<SessionId>, StoreError> {
        let sql = concat!(
            "WITH done AS (SELECT doorwarden_end_surplus(id, sessions_generation, $2, NULL, $3, $4) AS ended FROM users \
             WHERE id = $1), audited AS (",
            write_effects!(
                "$5",
                from: "done CROSS JOIN unnest(done.ended) AS session (id)",
                user: "NULL",
                session: "session.id",
                found: "'{}'"
            ),
            ") SELECT ended FROM done"
        );
        let surplus = Event::surplus(user, &[SessionId::UNKNOWN]);
        let params = [
            (&user.0 as _, Type::INT8),
            (&i64::from(most) as _, Type::INT8),
            (&At(at) as _, Type::TIMESTAMPTZ),
            (&i64::from(limit) as _, Type::INT8),
            (&audit::parameter(&effects.causing(surplus)) as _, Type::TEXT),
        ];
        let row = self.database.row(Effort::Write, sql, &params).await?;
        let ended = optional(row.as_ref(), |row| get::<Vec<_>>(row, 0))?.unwrap_or_default();
        Ok(ended.into_iter().map(SessionId).collect())
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        let sql = concat!(
            "SELECT ",
            judged_session_columns!(),
            " FROM doorwarden_sessions s LEFT JOIN users u ON u.id = s.user_id WHERE s.id = $1"
        );
        let row = self.database.row(Effort::Read, sql, &[(&id.0, Type::UUID)]).await?;
        Ok(optional(row.as_ref(), session)?)
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
            " FROM doorwarden_sessions s WHERE s.user_id = $1 AND s.ended_at IS NULL AND s.expires_at > $2 \
             AND s.generation = (SELECT sessions_generation FROM users WHERE id = $1) \
             AND ($3 IS NULL OR (s.created_at, s.id) < ($3, $4)) ORDER BY s.created_at DESC, s.id DESC LIMIT $5"
        );
        let (opened, id) = after.map(|after| (At(after.created_at), after.id.0)).unzip();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let params = [
            (&user.0 as _, Type::INT8),
            (&At(now) as _, Type::TIMESTAMPTZ),
            (&opened as _, Type::TIMESTAMPTZ),
            (&id as _, Type::UUID),
            (&limit as _, Type::INT8),
        ];
        Ok(all(&self.database.rows(Effort::Read, sql, &params).await?, session)?)
    }

    async fn authenticate_session(
        &self,
        id: SessionId,
        user: UserId,
        auth: AuthContext,
        verified: Option<&PasswordHash>,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let sql = change!(
            "UPDATE doorwarden_sessions SET amr = $3, auth_time = $4, assurance_level = $5 \
             WHERE id = $1 AND user_id = $2 AND ended_at IS NULL AND expires_at > $4 \
             AND generation = (SELECT sessions_generation FROM users \
                 WHERE id = $2 AND is_active AND ($6 IS NULL OR password = $6) AND (NOT has_factor OR $5 >= 2)) RETURNING 1",
            "$7"
        );
        let params = [
            (&id.0 as _, Type::UUID),
            (&user.0 as _, Type::INT8),
            (&auth.methods.to_string() as _, Type::TEXT),
            (&At(auth.auth_time) as _, Type::TIMESTAMPTZ),
            (&i16::from(auth.assurance_level) as _, Type::INT2),
            (&verified.map(PasswordHash::as_str) as _, Type::TEXT),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.change(&effects, sql, &params).await?.is_some())
    }

    async fn end_session(
        &self,
        id: SessionId,
        user: UserId,
        reason: EndReason,
        at: Timestamp,
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let sql = change!(
            "UPDATE doorwarden_sessions SET ended_at = $4, end_reason = $3 \
             WHERE id = $1 AND user_id = $2 AND ended_at IS NULL \
             AND generation = (SELECT sessions_generation FROM users WHERE id = $2) RETURNING 1",
            "$5"
        );
        let params = [
            (&id.0 as _, Type::UUID),
            (&user.0 as _, Type::INT8),
            (&reason.as_str() as _, Type::TEXT),
            (&At(at) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        Ok(self.database.row(Effort::Write, sql, &params).await?.is_some())
    }

    async fn end_sessions_of(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: EndReason,
        at: Timestamp,
        effects: Effects,
    ) -> Result<Option<u64>, StoreError> {
        let sql = concat!(
            "WITH done AS (SELECT doorwarden_end_others($1, $2, $3, $4) AS count), audited AS (",
            write_effects!(
                "$5",
                from: "(SELECT count FROM done WHERE count > 0) AS done",
                found: "jsonb_build_object('count', done.count)"
            ),
            ") SELECT count FROM done"
        );
        let params = [
            (&user.0 as _, Type::INT8),
            (&except.map(|id| id.0) as _, Type::UUID),
            (&reason.as_str() as _, Type::TEXT),
            (&At(at) as _, Type::TIMESTAMPTZ),
            (&audit::parameter(&effects) as _, Type::TEXT),
        ];
        let row = self.database.row(Effort::Write, sql, &params).await?;
        let ended = optional(row.as_ref(), |row| get::<Option<i64>>(row, 0))?.flatten();
        Ok(ended.map(|ended| u64::try_from(ended).unwrap_or(0)))
    }

    async fn rotate_refresh(&self, shown: Presented, effects: Effects) -> Result<Rotation, StoreError> {
        self.rotations.rotate(shown, effects).await
    }

    async fn renew_refresh(
        &self,
        id: SessionId,
        renewal: Renewal,
        effects: Effects,
    ) -> Result<Option<Session>, StoreError> {
        Ok(self.rotations.renew(id, &renewal, &effects).await?)
    }

    async fn revocations(&self, since: Timestamp) -> Result<Revocations, StoreError> {
        let sessions = "SELECT id, ended_at, user_id FROM doorwarden_sessions s WHERE ended_at >= $1 AND refresh_counter IS NOT NULL \
            AND NOT EXISTS (SELECT FROM doorwarden_session_ends e WHERE e.user_id = s.user_id \
                AND e.generation > s.generation AND e.many AND e.ended_at >= $1) \
            UNION ALL SELECT s.id, e.ended_at, s.user_id FROM doorwarden_session_ends e JOIN doorwarden_sessions s \
            ON s.user_id = e.user_id AND s.generation = e.former AND s.ended_at IS NULL \
            WHERE e.ended_at >= $1 AND NOT e.many AND NOT e.settled AND s.refresh_counter IS NOT NULL \
            UNION SELECT id, ended_at, user_id FROM doorwarden_deleted_sessions WHERE ended_at >= $1 \
            ORDER BY 2 DESC, 1 DESC LIMIT $2";
        let users = "SELECT id, tokens_valid_after FROM users WHERE tokens_valid_after >= $1 ORDER BY 2 DESC, 1 DESC LIMIT $2";
        let all_of = "SELECT user_id, ended_at, kept FROM doorwarden_session_ends WHERE ended_at >= $1 AND many \
            ORDER BY 2 DESC, 1 DESC LIMIT $2";
        let params =
            [(&At(since) as _, Type::TIMESTAMPTZ), (&(i64::from(Revocations::MOST) + 1) as _, Type::INT8)];
        let sessions = self.database.rows(Effort::Read, sessions, &params).await?;
        let users = self.database.rows(Effort::Read, users, &params).await?;
        let all_of = self.database.rows(Effort::Read, all_of, &params).await?;
        let truncated = "SELECT max(at) FROM doorwarden_truncations WHERE at >= $1";
        let truncated = self.database.row(Effort::Read, truncated, &params[..1]).await?;
        let truncated = optional(truncated.as_ref(), |row| get::<Option<At>>(row, 0))?.flatten();
        let revoked = Revocations::from_newest(
            all(&sessions, |row| Ok((SessionId(get(row, 0)?), get::<At>(row, 1)?.0, UserId(get(row, 2)?))))?,
            all(&users, |row| Ok((UserId(get(row, 0)?), get::<At>(row, 1)?.0)))?,
            all(&all_of, |row| {
                let kept = get::<Option<_>>(row, 2)?.map(SessionId);
                Ok((UserId(get(row, 0)?), get::<At>(row, 1)?.0, kept))
            })?,
        );
        Ok(revoked.and_all_until(truncated.map(|at| at.0)))
    }

    async fn touch_sessions(&self, seen: &[(SessionId, Timestamp)]) -> Result<(), StoreError> {
        let sql = "UPDATE doorwarden_sessions s SET last_seen_at = seen.at FROM (\
                   SELECT id, max(at) AS at FROM unnest($1::uuid[], $2::timestamptz[]) AS given (id, at) \
                   GROUP BY id ORDER BY id) AS seen \
                   WHERE s.id = seen.id AND s.last_seen_at < seen.at";
        let (ids, instants): (Vec<_>, Vec<_>) = seen.iter().map(|(id, at)| (id.0, At(*at))).unzip();
        let params = [(&ids as _, Type::UUID_ARRAY), (&instants as _, Type::TIMESTAMPTZ_ARRAY)];
        self.database.rows(Effort::Write, sql, &params).await?;
        Ok(())
    }

    async fn settle_ends(&self, before: Timestamp, limit: u32) -> Result<bool, StoreError> {
        // Two janitors do not wait for each other. If the portion is full, nothing is settled yet.
        let settle = "WITH due AS (\
                SELECT user_id, former, generation, ended_at, reason FROM doorwarden_session_ends \
                WHERE NOT settled AND ended_at <= $1 ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED\
            ), portion AS (\
                SELECT s.id, due.ended_at, due.reason FROM due JOIN doorwarden_sessions s \
                ON s.user_id = due.user_id AND s.generation = due.former AND s.ended_at IS NULL LIMIT $2\
            ), ended AS (\
                UPDATE doorwarden_sessions s SET ended_at = portion.ended_at, end_reason = portion.reason \
                FROM portion WHERE s.id = portion.id AND s.ended_at IS NULL \
                RETURNING s.user_id, s.generation, s.expires_at\
            ), marked AS (\
                UPDATE doorwarden_session_ends e SET settled = (SELECT count(*) FROM portion) < $2, \
                expires_at = greatest(e.expires_at, (SELECT max(expires_at) FROM ended \
                    WHERE ended.user_id = e.user_id AND ended.generation = e.former)) \
                FROM due WHERE e.user_id = due.user_id AND e.generation = due.generation\
            ) SELECT (SELECT count(*) FROM due) >= $2 OR (SELECT count(*) FROM portion) >= $2";
        let forget = "DELETE FROM doorwarden_session_ends WHERE (user_id, generation) IN (\
            SELECT user_id, generation FROM doorwarden_session_ends WHERE settled AND expires_at < $1 LIMIT $2) RETURNING 1";
        let params = [(&At(before) as _, Type::TIMESTAMPTZ), (&i64::from(limit) as _, Type::INT8)];
        let row = self.database.row(Effort::Long, settle, &params).await?;
        let has_more = optional(row.as_ref(), |row| get::<bool>(row, 0))?.unwrap_or(false);
        let forgotten = self.database.rows(Effort::Long, forget, &params).await?;
        Ok(has_more || forgotten.len() >= limit as usize)
    }

    async fn purge_sessions(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let sessions = "DELETE FROM doorwarden_sessions WHERE id IN (\
                        (SELECT id FROM doorwarden_sessions WHERE ended_at < least($1, now() - interval '1 day') LIMIT $2) UNION \
                        (SELECT id FROM doorwarden_sessions WHERE expires_at < least($1, now() - interval '1 day') LIMIT $2) \
                        LIMIT $2) RETURNING 1";
        let params = [(&At(before) as _, Type::TIMESTAMPTZ), (&i64::from(limit) as _, Type::INT8)];
        let purged = self.database.rows(Effort::Long, sessions, &params).await?;
        Ok(purged.len() as u64)
    }

    async fn purge_changes(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let portions = [
            "DELETE FROM doorwarden_changes WHERE ctid = ANY (ARRAY(\
             SELECT ctid FROM doorwarden_changes WHERE at < least($1, now() - interval '5 minutes') \
             ORDER BY at LIMIT $2)) RETURNING 1",
            "DELETE FROM doorwarden_deleted_sessions WHERE ctid = ANY (ARRAY(\
             SELECT ctid FROM doorwarden_deleted_sessions WHERE ended_at < least($1, now() - interval '1 day') \
             LIMIT $2)) RETURNING 1",
            "DELETE FROM doorwarden_truncations WHERE ctid = ANY (ARRAY(\
             SELECT ctid FROM doorwarden_truncations WHERE at < least($1, now() - interval '1 day') LIMIT $2)) \
             RETURNING 1",
        ];
        let params = [(&At(before) as _, Type::TIMESTAMPTZ), (&i64::from(limit) as _, Type::INT8)];
        let mut most = 0;
        for portion in portions {
            most = most.max(self.database.rows(Effort::Long, portion, &params).await?.len());
        }
        Ok(most as u64)
    }
}
