-- What must follow from a change, whoever makes it: this program, another one, or SQL by hand, also over a connection
-- that does not enforce foreign keys (the sqlite3 shell).

-- The keys, for statements that do not name them. lower() folds ASCII only; a program that folds better sets both
-- columns itself, in a statement of its own if an address or a name changes.
CREATE TRIGGER doorwarden_fill_keys AFTER INSERT ON users
WHEN NEW.email_key IS NULL OR NEW.username_key IS NULL BEGIN
    UPDATE users
    SET email_key = coalesce(email_key, lower(email)), username_key = coalesce(username_key, lower(username))
    WHERE id = NEW.id;
END;
CREATE TRIGGER doorwarden_follow_email AFTER UPDATE OF email, email_key ON users
WHEN NEW.email_key IS NULL OR (NEW.email IS NOT OLD.email AND NEW.email_key IS OLD.email_key) BEGIN
    UPDATE users SET email_key = lower(email) WHERE id = NEW.id;
END;
CREATE TRIGGER doorwarden_follow_username AFTER UPDATE OF username, username_key ON users
WHEN NEW.username_key IS NULL OR (NEW.username IS NOT OLD.username AND NEW.username_key IS OLD.username_key) BEGIN
    UPDATE users SET username_key = lower(username) WHERE id = NEW.id;
END;

CREATE TRIGGER doorwarden_user_deleted AFTER DELETE ON users BEGIN
    UPDATE doorwarden_sessions
    SET ended_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER), end_reason = 'user_deleted'
    WHERE user_id = OLD.id AND ended_at IS NULL;
    DELETE FROM doorwarden_user_groups WHERE user_id = OLD.id;
    DELETE FROM doorwarden_user_permissions WHERE user_id = OLD.id;
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', OLD.id);
END;
CREATE TRIGGER doorwarden_user_renumbered AFTER UPDATE OF id ON users WHEN NEW.id <> OLD.id BEGIN
    UPDATE doorwarden_sessions
    SET ended_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER), end_reason = 'user_deleted'
    WHERE user_id = OLD.id AND ended_at IS NULL;
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', OLD.id);
END;
CREATE TRIGGER doorwarden_user_deactivated AFTER UPDATE OF is_active ON users
WHEN OLD.is_active AND NOT NEW.is_active BEGIN
    UPDATE doorwarden_sessions
    SET ended_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER), end_reason = 'deactivated'
    WHERE user_id = NEW.id AND ended_at IS NULL;
END;
CREATE TRIGGER doorwarden_user_updated AFTER UPDATE OF
    username, email, password, is_active, is_staff, is_superuser, date_joined, last_login, metadata, tokens_valid_after,
    password_trimmed
ON users WHEN
    NEW.username IS NOT OLD.username OR NEW.email IS NOT OLD.email OR NEW.password IS NOT OLD.password
    OR NEW.is_active IS NOT OLD.is_active OR NEW.is_staff IS NOT OLD.is_staff
    OR NEW.is_superuser IS NOT OLD.is_superuser OR NEW.date_joined IS NOT OLD.date_joined
    OR NEW.last_login IS NOT OLD.last_login OR NEW.metadata IS NOT OLD.metadata
    OR NEW.tokens_valid_after IS NOT OLD.tokens_valid_after OR NEW.password_trimmed IS NOT OLD.password_trimmed
BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', NEW.id);
END;

-- REPLACE deletes without firing triggers, so an insert that meets others tells of them.
CREATE TRIGGER doorwarden_user_replaced BEFORE INSERT ON users
WHEN EXISTS (
    SELECT 1 FROM users WHERE id = NEW.id OR email_key = coalesce(NEW.email_key, lower(NEW.email))
        OR username_key = coalesce(NEW.username_key, lower(NEW.username))
) BEGIN
    INSERT INTO doorwarden_changes (kind, ref)
    SELECT 'user', id FROM users WHERE id = NEW.id OR email_key = coalesce(NEW.email_key, lower(NEW.email))
        OR username_key = coalesce(NEW.username_key, lower(NEW.username));
END;
CREATE TRIGGER doorwarden_inactive_user_added AFTER INSERT ON users WHEN NOT NEW.is_active BEGIN
    UPDATE doorwarden_sessions
    SET ended_at = CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER), end_reason = 'deactivated'
    WHERE user_id = NEW.id AND ended_at IS NULL;
END;

CREATE TRIGGER doorwarden_user_group_added AFTER INSERT ON doorwarden_user_groups BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', NEW.user_id);
END;
CREATE TRIGGER doorwarden_user_group_removed AFTER DELETE ON doorwarden_user_groups BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', OLD.user_id);
END;
CREATE TRIGGER doorwarden_user_group_changed AFTER UPDATE ON doorwarden_user_groups BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', OLD.user_id), ('user', NEW.user_id);
END;
CREATE TRIGGER doorwarden_user_permission_added AFTER INSERT ON doorwarden_user_permissions BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', NEW.user_id);
END;
CREATE TRIGGER doorwarden_user_permission_removed AFTER DELETE ON doorwarden_user_permissions BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', OLD.user_id);
END;
CREATE TRIGGER doorwarden_user_permission_changed AFTER UPDATE ON doorwarden_user_permissions BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', OLD.user_id), ('user', NEW.user_id);
END;

CREATE TRIGGER doorwarden_group_added AFTER INSERT ON doorwarden_groups BEGIN
    INSERT INTO doorwarden_changes (kind) VALUES ('all_users');
END;
CREATE TRIGGER doorwarden_group_removed AFTER DELETE ON doorwarden_groups BEGIN
    DELETE FROM doorwarden_user_groups WHERE group_name = OLD.name;
    DELETE FROM doorwarden_group_permissions WHERE group_name = OLD.name;
    INSERT INTO doorwarden_changes (kind) VALUES ('all_users');
END;
CREATE TRIGGER doorwarden_group_changed AFTER UPDATE ON doorwarden_groups BEGIN
    UPDATE doorwarden_user_groups SET group_name = NEW.name WHERE group_name = OLD.name AND OLD.name <> NEW.name;
    UPDATE doorwarden_group_permissions SET group_name = NEW.name WHERE group_name = OLD.name AND OLD.name <> NEW.name;
    INSERT INTO doorwarden_changes (kind) VALUES ('all_users');
END;
CREATE TRIGGER doorwarden_group_permission_added AFTER INSERT ON doorwarden_group_permissions BEGIN
    INSERT INTO doorwarden_changes (kind) VALUES ('all_users');
END;
CREATE TRIGGER doorwarden_group_permission_removed AFTER DELETE ON doorwarden_group_permissions BEGIN
    INSERT INTO doorwarden_changes (kind) VALUES ('all_users');
END;
CREATE TRIGGER doorwarden_group_permission_changed AFTER UPDATE ON doorwarden_group_permissions BEGIN
    INSERT INTO doorwarden_changes (kind) VALUES ('all_users');
END;
CREATE TRIGGER doorwarden_permission_added AFTER INSERT ON doorwarden_permissions BEGIN
    INSERT INTO doorwarden_changes (kind) VALUES ('all_users');
END;
CREATE TRIGGER doorwarden_permission_removed AFTER DELETE ON doorwarden_permissions BEGIN
    DELETE FROM doorwarden_user_permissions WHERE permission = OLD.name;
    DELETE FROM doorwarden_group_permissions WHERE permission = OLD.name;
    INSERT INTO doorwarden_changes (kind) VALUES ('all_users');
END;
CREATE TRIGGER doorwarden_permission_changed AFTER UPDATE ON doorwarden_permissions BEGIN
    UPDATE doorwarden_user_permissions SET permission = NEW.name WHERE permission = OLD.name AND OLD.name <> NEW.name;
    UPDATE doorwarden_group_permissions SET permission = NEW.name WHERE permission = OLD.name AND OLD.name <> NEW.name;
    INSERT INTO doorwarden_changes (kind) VALUES ('all_users');
END;

CREATE TRIGGER doorwarden_key_added AFTER INSERT ON doorwarden_keys BEGIN
    INSERT INTO doorwarden_changes (kind) VALUES ('keys');
END;
CREATE TRIGGER doorwarden_key_removed AFTER DELETE ON doorwarden_keys BEGIN
    INSERT INTO doorwarden_changes (kind) VALUES ('keys');
END;
CREATE TRIGGER doorwarden_key_changed AFTER UPDATE ON doorwarden_keys BEGIN
    INSERT INTO doorwarden_changes (kind) VALUES ('keys');
END;

-- Not told: a new session, a rotation, when a session was last seen, and that a dead one was cleared away.
CREATE TRIGGER doorwarden_session_updated AFTER UPDATE OF
    user_id, expires_at, ended_at, auth_time, assurance_level, amr, client_id
ON doorwarden_sessions WHEN
    NEW.user_id IS NOT OLD.user_id OR NEW.expires_at IS NOT OLD.expires_at OR NEW.ended_at IS NOT OLD.ended_at
    OR NEW.auth_time IS NOT OLD.auth_time OR NEW.assurance_level IS NOT OLD.assurance_level
    OR NEW.amr IS NOT OLD.amr OR NEW.client_id IS NOT OLD.client_id
BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('session', OLD.id);
END;
CREATE TRIGGER doorwarden_session_deleted AFTER DELETE ON doorwarden_sessions
WHEN OLD.ended_at IS NULL AND OLD.expires_at > CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER) BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('session', OLD.id);
END;
