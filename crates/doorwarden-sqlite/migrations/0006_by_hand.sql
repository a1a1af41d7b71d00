-- What follows from SQL by hand: a new password ends the sessions, keys beyond ASCII are made by the program, whoever is
-- overwritten loses their sessions, and a session that is deleted stays in the revocation feed.

-- Hashes that a statement to come stores and that end nothing: the same password hashed anew, or a change whose sessions
-- were looked after. Taken out again in the same transaction.
CREATE TABLE doorwarden_own_passwords (
    password TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
CREATE TRIGGER doorwarden_password_changed AFTER UPDATE OF password ON users
WHEN NEW.password IS NOT OLD.password
    AND NOT EXISTS (SELECT 1 FROM doorwarden_own_passwords WHERE password = NEW.password)
BEGIN
    INSERT INTO doorwarden_ending (user_id, former, generation, reason)
    SELECT id, sessions_generation, sessions_generation + 1, 'password_changed' FROM users WHERE id = NEW.id;
    UPDATE users SET sessions_generation = sessions_generation + 1,
        tokens_valid_after = max(coalesce(tokens_valid_after, ''), strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')
    WHERE id = NEW.id;
END;

-- Users whose keys the program must still make: lower() folds ASCII only.
CREATE TABLE doorwarden_pending_keys (
    user_id INTEGER PRIMARY KEY
) STRICT;
INSERT INTO doorwarden_pending_keys (user_id)
SELECT id FROM users WHERE email GLOB '*[^' || char(1) || '-' || char(127) || ']*'
    OR username GLOB '*[^' || char(1) || '-' || char(127) || ']*';

DROP TRIGGER doorwarden_fill_keys;
CREATE TRIGGER doorwarden_fill_keys AFTER INSERT ON users
WHEN NEW.email_key IS NULL OR NEW.username_key IS NULL BEGIN
    UPDATE users
    SET email_key = coalesce(email_key, lower(email)), username_key = coalesce(username_key, lower(username))
    WHERE id = NEW.id;
    INSERT INTO doorwarden_pending_keys (user_id) SELECT NEW.id
    WHERE (NEW.email || NEW.username) GLOB '*[^' || char(1) || '-' || char(127) || ']*'
        AND NOT EXISTS (SELECT 1 FROM doorwarden_pending_keys WHERE user_id = NEW.id);
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', NEW.id);
END;
DROP TRIGGER doorwarden_follow_email;
CREATE TRIGGER doorwarden_follow_email AFTER UPDATE OF email, email_key ON users
WHEN NEW.email_key IS NULL OR (NEW.email IS NOT OLD.email AND NEW.email_key IS OLD.email_key) BEGIN
    UPDATE users SET email_key = lower(email) WHERE id = NEW.id;
    INSERT INTO doorwarden_pending_keys (user_id) SELECT NEW.id
    WHERE NEW.email GLOB '*[^' || char(1) || '-' || char(127) || ']*'
        AND NOT EXISTS (SELECT 1 FROM doorwarden_pending_keys WHERE user_id = NEW.id);
END;
DROP TRIGGER doorwarden_follow_username;
CREATE TRIGGER doorwarden_follow_username AFTER UPDATE OF username, username_key ON users
WHEN NEW.username_key IS NULL OR (NEW.username IS NOT OLD.username AND NEW.username_key IS OLD.username_key) BEGIN
    UPDATE users SET username_key = lower(username) WHERE id = NEW.id;
    INSERT INTO doorwarden_pending_keys (user_id) SELECT NEW.id
    WHERE NEW.username GLOB '*[^' || char(1) || '-' || char(127) || ']*'
        AND NOT EXISTS (SELECT 1 FROM doorwarden_pending_keys WHERE user_id = NEW.id);
END;

-- UPDATE OR REPLACE deletes without firing triggers, so an update that meets others tells of them, and when it has
-- succeeded, the sessions of those who are gone end as if they were deleted.
CREATE TRIGGER doorwarden_user_met_others BEFORE UPDATE OF id, email_key, username_key ON users
WHEN EXISTS (
    SELECT 1 FROM users WHERE id <> OLD.id
        AND (id = NEW.id OR email_key = NEW.email_key OR username_key = NEW.username_key)
) BEGIN
    INSERT INTO doorwarden_changes (kind, ref)
    SELECT 'user', id FROM users WHERE id <> OLD.id
        AND (id = NEW.id OR email_key = NEW.email_key OR username_key = NEW.username_key);
    DELETE FROM doorwarden_replaced WHERE user_id IN (
        SELECT id FROM users WHERE id <> OLD.id
            AND (id = NEW.id OR email_key = NEW.email_key OR username_key = NEW.username_key)
    );
    INSERT INTO doorwarden_replaced (user_id, generation)
    SELECT id, sessions_generation FROM users WHERE id <> OLD.id
        AND (id = NEW.id OR email_key = NEW.email_key OR username_key = NEW.username_key);
END;
CREATE TRIGGER doorwarden_user_overwrote_others AFTER UPDATE OF id, email_key, username_key ON users
WHEN EXISTS (SELECT 1 FROM doorwarden_replaced) BEGIN
    INSERT INTO doorwarden_ending (user_id, former, generation, reason)
    SELECT user_id, generation, generation + 1, 'user_deleted' FROM doorwarden_replaced
    WHERE user_id = NEW.id AND NEW.id <> OLD.id OR NOT EXISTS (SELECT 1 FROM users WHERE id = user_id);
    UPDATE users SET sessions_generation = former.generation + 1
    FROM doorwarden_replaced AS former
    WHERE NEW.id <> OLD.id AND users.id = NEW.id AND former.user_id = NEW.id
        AND users.sessions_generation <= former.generation;
    DELETE FROM doorwarden_user_groups WHERE user_id IN (
        SELECT user_id FROM doorwarden_replaced
        WHERE user_id = NEW.id AND NEW.id <> OLD.id OR user_id NOT IN (SELECT id FROM users)
    );
    DELETE FROM doorwarden_user_permissions WHERE user_id IN (
        SELECT user_id FROM doorwarden_replaced
        WHERE user_id = NEW.id AND NEW.id <> OLD.id OR user_id NOT IN (SELECT id FROM users)
    );
    DELETE FROM doorwarden_replaced
    WHERE user_id = NEW.id AND NEW.id <> OLD.id OR user_id NOT IN (SELECT id FROM users);
END;

-- REPLACE INTO doorwarden_sessions.
CREATE TRIGGER doorwarden_session_replaced BEFORE INSERT ON doorwarden_sessions
WHEN EXISTS (SELECT 1 FROM doorwarden_sessions WHERE id = NEW.id) BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('session', NEW.id);
END;

-- Sessions whose row is gone although access tokens of theirs may still be valid: the revocation feed names them. What
-- ended or expired a day ago is tidied up without a trace.
CREATE TABLE doorwarden_deleted_sessions (
    id BLOB PRIMARY KEY,
    user_id INTEGER NOT NULL,
    ended_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX doorwarden_deleted_sessions_by_end ON doorwarden_deleted_sessions (ended_at);
CREATE TRIGGER doorwarden_session_vanished AFTER DELETE ON doorwarden_sessions
WHEN OLD.refresh_counter IS NOT NULL AND coalesce(OLD.ended_at, OLD.expires_at)
    > CAST((julianday('now') - 2440588.5) * 86400000000 AS INTEGER)
BEGIN
    DELETE FROM doorwarden_deleted_sessions WHERE id = OLD.id;
    INSERT INTO doorwarden_deleted_sessions (id, user_id, ended_at)
    VALUES (OLD.id, OLD.user_id, coalesce(OLD.ended_at, CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)));
END;
