-- All sessions of a user end by one number: a session counts only while its generation is that of its user. So the end
-- of all costs the same whatever number of them there is; their rows are tidied up later, in portions.

ALTER TABLE users ADD COLUMN sessions_generation INTEGER NOT NULL DEFAULT 0 CHECK (sessions_generation >= 0);
ALTER TABLE doorwarden_sessions ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;

DROP INDEX doorwarden_sessions_by_user;
CREATE INDEX doorwarden_sessions_by_user ON doorwarden_sessions (user_id, generation) WHERE ended_at IS NULL;

-- When and why all sessions of a user ended that had the generation `former`; the next ones have `generation`. Not written
-- if there was none. It outlives its user, and stays until the last of the sessions would have expired: an id that comes
-- back goes on from here, because a live view may still remember the sessions.
CREATE TABLE doorwarden_session_ends (
    user_id INTEGER NOT NULL,
    former INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    -- The session that went on, with this generation.
    kept BLOB,
    -- Whether these were more sessions than the revocation feed lists one by one.
    many INTEGER NOT NULL CHECK (many IN (0, 1)),
    -- Whether every row of these sessions says that it has ended.
    settled INTEGER NOT NULL DEFAULT 0 CHECK (settled IN (0, 1)),
    -- The latest expiry of those whose rows say so.
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, generation)
) STRICT, WITHOUT ROWID;
CREATE INDEX doorwarden_session_ends_by_time ON doorwarden_session_ends (ended_at);
CREATE INDEX doorwarden_session_ends_to_settle ON doorwarden_session_ends (ended_at) WHERE NOT settled;
CREATE INDEX doorwarden_session_ends_by_expiry ON doorwarden_session_ends (expires_at) WHERE settled;

-- A procedure: an insert here writes the end of the sessions of one generation, unless there are none or it is written.
CREATE VIEW doorwarden_ending AS
SELECT 0 AS user_id, 0 AS former, 0 AS generation, 0 AS ended_at, '' AS reason, x'' AS kept WHERE false;
CREATE TRIGGER doorwarden_note_end INSTEAD OF INSERT ON doorwarden_ending WHEN EXISTS (
    SELECT 1 FROM doorwarden_sessions
    WHERE user_id = NEW.user_id AND generation = NEW.former AND ended_at IS NULL AND id IS NOT NEW.kept
) AND NOT EXISTS (
    SELECT 1 FROM doorwarden_session_ends WHERE user_id = NEW.user_id AND generation > NEW.former
) BEGIN
    INSERT INTO doorwarden_session_ends (user_id, former, generation, ended_at, reason, kept, many, expires_at)
    SELECT NEW.user_id, NEW.former, NEW.generation, at, NEW.reason, NEW.kept, (
        SELECT count(*) > 1000 FROM (
            SELECT 1 FROM doorwarden_sessions WHERE user_id = NEW.user_id AND generation = NEW.former AND ended_at IS NULL
            LIMIT 1001
        )
    ), at
    FROM (
        SELECT coalesce(NEW.ended_at, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)) AS at
    );
END;

-- A generation only rises, also if a program writes back what it has read before.
CREATE TRIGGER doorwarden_generation_lowered AFTER UPDATE OF sessions_generation ON users
WHEN NEW.sessions_generation < OLD.sessions_generation BEGIN
    UPDATE users SET sessions_generation = OLD.sessions_generation WHERE id = NEW.id;
END;
CREATE TRIGGER doorwarden_generation_raised AFTER UPDATE OF sessions_generation ON users
WHEN NEW.sessions_generation > OLD.sessions_generation AND NEW.id = OLD.id BEGIN
    INSERT INTO doorwarden_ending (user_id, former, generation, reason)
    VALUES (NEW.id, OLD.sessions_generation, NEW.sessions_generation, 'signed_out');
END;
-- An id that was in use before.
CREATE TRIGGER doorwarden_generation_of_new_user AFTER INSERT ON users WHEN EXISTS (
    SELECT 1 FROM doorwarden_session_ends WHERE user_id = NEW.id AND generation > NEW.sessions_generation
) BEGIN
    UPDATE users
    SET sessions_generation = (SELECT max(generation) FROM doorwarden_session_ends WHERE user_id = NEW.id)
    WHERE id = NEW.id;
END;

DROP TRIGGER doorwarden_user_deleted;
CREATE TRIGGER doorwarden_user_deleted AFTER DELETE ON users BEGIN
    INSERT INTO doorwarden_ending (user_id, former, generation, reason)
    VALUES (OLD.id, OLD.sessions_generation, OLD.sessions_generation + 1, 'user_deleted');
    DELETE FROM doorwarden_user_groups WHERE user_id = OLD.id;
    DELETE FROM doorwarden_user_permissions WHERE user_id = OLD.id;
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', OLD.id);
END;
DROP TRIGGER doorwarden_user_renumbered;
CREATE TRIGGER doorwarden_user_renumbered AFTER UPDATE OF id ON users WHEN NEW.id <> OLD.id BEGIN
    INSERT INTO doorwarden_ending (user_id, former, generation, reason)
    VALUES (OLD.id, OLD.sessions_generation, OLD.sessions_generation + 1, 'user_deleted');
    UPDATE users
    SET sessions_generation = max(
        sessions_generation,
        coalesce((SELECT max(generation) FROM doorwarden_session_ends WHERE user_id = NEW.id), 0)
    )
    WHERE id = NEW.id;
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', OLD.id);
END;
DROP TRIGGER doorwarden_user_deactivated;
CREATE TRIGGER doorwarden_user_deactivated AFTER UPDATE OF is_active ON users
WHEN OLD.is_active AND NOT NEW.is_active BEGIN
    INSERT INTO doorwarden_ending (user_id, former, generation, reason)
    SELECT id, sessions_generation, sessions_generation + 1, 'deactivated' FROM users WHERE id = NEW.id;
    UPDATE users SET sessions_generation = sessions_generation + 1 WHERE id = NEW.id;
END;
DROP TRIGGER doorwarden_inactive_user_added;

-- REPLACE deletes without firing triggers, so an insert that meets others tells of them, and when it has succeeded, their
-- sessions end as if they were deleted.
CREATE TABLE doorwarden_replaced (
    user_id INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL
) STRICT;
DROP TRIGGER doorwarden_user_replaced;
CREATE TRIGGER doorwarden_user_replaced BEFORE INSERT ON users
WHEN EXISTS (
    SELECT 1 FROM users WHERE id = NEW.id OR email_key = coalesce(NEW.email_key, lower(NEW.email))
        OR username_key = coalesce(NEW.username_key, lower(NEW.username))
) BEGIN
    DELETE FROM doorwarden_replaced;
    INSERT INTO doorwarden_replaced (user_id, generation)
    SELECT id, sessions_generation FROM users WHERE id = NEW.id OR email_key = coalesce(NEW.email_key, lower(NEW.email))
        OR username_key = coalesce(NEW.username_key, lower(NEW.username));
    INSERT INTO doorwarden_changes (kind, ref) SELECT 'user', user_id FROM doorwarden_replaced;
END;
CREATE TRIGGER doorwarden_user_was_replaced AFTER INSERT ON users
WHEN EXISTS (SELECT 1 FROM doorwarden_replaced) BEGIN
    INSERT INTO doorwarden_ending (user_id, former, generation, reason)
    SELECT user_id, generation, generation + 1, 'user_deleted' FROM doorwarden_replaced
    -- Not those of an insert before, which was ignored. Some are still there until the keys are filled.
    WHERE NOT EXISTS (
        SELECT 1 FROM users WHERE id = user_id AND id <> NEW.id AND email_key IS NOT coalesce(NEW.email_key, lower(NEW.email))
            AND username_key IS NOT coalesce(NEW.username_key, lower(NEW.username))
    );
    UPDATE users SET sessions_generation = former.generation + 1
    FROM doorwarden_replaced AS former
    WHERE users.id = NEW.id AND former.user_id = NEW.id AND users.sessions_generation <= former.generation;
    DELETE FROM doorwarden_replaced;
END;

DROP TRIGGER doorwarden_user_updated;
CREATE TRIGGER doorwarden_user_updated AFTER UPDATE OF
    username, email, password, is_active, is_staff, is_superuser, date_joined, last_login, metadata, tokens_valid_after,
    password_trimmed, sessions_generation
ON users WHEN
    NEW.username IS NOT OLD.username OR NEW.email IS NOT OLD.email OR NEW.password IS NOT OLD.password
    OR NEW.is_active IS NOT OLD.is_active OR NEW.is_staff IS NOT OLD.is_staff
    OR NEW.is_superuser IS NOT OLD.is_superuser OR NEW.date_joined IS NOT OLD.date_joined
    OR NEW.last_login IS NOT OLD.last_login OR NEW.metadata IS NOT OLD.metadata
    OR NEW.tokens_valid_after IS NOT OLD.tokens_valid_after OR NEW.password_trimmed IS NOT OLD.password_trimmed
    OR NEW.sessions_generation IS NOT OLD.sessions_generation
BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', NEW.id);
END;

-- Not told: a new session, a rotation, when a session was last seen, that a dead one was cleared away, and that the row of
-- one that has ended with all others says so.
DROP TRIGGER doorwarden_session_updated;
CREATE TRIGGER doorwarden_session_updated AFTER UPDATE OF
    user_id, generation, expires_at, ended_at, auth_time, assurance_level, amr, client_id
ON doorwarden_sessions WHEN NEW.generation IS NOT OLD.generation OR (
    NEW.user_id IS NOT OLD.user_id OR NEW.expires_at IS NOT OLD.expires_at OR NEW.ended_at IS NOT OLD.ended_at
    OR NEW.auth_time IS NOT OLD.auth_time OR NEW.assurance_level IS NOT OLD.assurance_level
    OR NEW.amr IS NOT OLD.amr OR NEW.client_id IS NOT OLD.client_id
) AND NOT EXISTS (
    SELECT 1 FROM doorwarden_session_ends WHERE user_id = OLD.user_id AND generation > OLD.generation
) BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('session', OLD.id);
END;
