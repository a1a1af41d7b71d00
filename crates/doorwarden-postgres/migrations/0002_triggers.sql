-- What must follow from a change, whoever makes it: this program, another one, or SQL by hand. The functions run with
-- the rights of their owner and look only into this schema, so that a role that may write `users` needs no other right.

-- The keys, for statements that do not name them. A program that folds better than lower() sets both columns and says
-- so, since a new address may well have the old key.
CREATE FUNCTION doorwarden_fill_keys() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    given boolean := coalesce(current_setting('doorwarden.keys', true), '') = 'given';
BEGIN
    IF NEW.email_key IS NULL THEN
        NEW.email_key := lower(NEW.email);
    END IF;
    IF NEW.username_key IS NULL THEN
        NEW.username_key := lower(NEW.username);
    END IF;
    IF TG_OP = 'UPDATE' AND NOT given THEN
        IF NEW.email IS DISTINCT FROM OLD.email AND NEW.email_key = OLD.email_key THEN
            NEW.email_key := lower(NEW.email);
        END IF;
        IF NEW.username IS DISTINCT FROM OLD.username AND NEW.username_key = OLD.username_key THEN
            NEW.username_key := lower(NEW.username);
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER doorwarden_fill_keys BEFORE INSERT OR UPDATE OF username, email, username_key, email_key ON users
    FOR EACH ROW EXECUTE FUNCTION doorwarden_fill_keys();

-- An id is never used again: the sequence follows ids that were given by hand.
CREATE FUNCTION doorwarden_follow_ids() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    highest bigint;
BEGIN
    SELECT max(id) INTO highest FROM added;
    IF highest > coalesce(pg_sequence_last_value('users_id_seq'), 0) THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('doorwarden_follow_ids', TG_RELID::bigint));
        IF highest > coalesce(pg_sequence_last_value('users_id_seq'), 0) THEN
            PERFORM setval('users_id_seq', highest);
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER doorwarden_follow_ids AFTER INSERT ON users REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION doorwarden_follow_ids();

-- Ends the sessions of a user. Volatile, so it sees what was committed until now, also when the statement that calls it
-- has waited for the user's row.
CREATE FUNCTION doorwarden_end_sessions(owner bigint, kept uuid, why text, moment timestamptz) RETURNS bigint
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    ended bigint;
BEGIN
    UPDATE doorwarden_sessions SET ended_at = moment, end_reason = why
        WHERE user_id = owner AND ended_at IS NULL AND id IS DISTINCT FROM kept;
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
END $$;

CREATE FUNCTION doorwarden_user_changed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.id IS DISTINCT FROM NEW.id THEN
        PERFORM doorwarden_end_sessions(OLD.id, NULL, 'user_deleted', clock_timestamp());
    ELSIF OLD.is_active AND NOT NEW.is_active THEN
        PERFORM doorwarden_end_sessions(OLD.id, NULL, 'deactivated', clock_timestamp());
    END IF;
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', OLD.id::text);
    RETURN NULL;
END $$;
CREATE TRIGGER doorwarden_user_deleted AFTER DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION doorwarden_user_changed();
CREATE TRIGGER doorwarden_user_updated AFTER UPDATE ON users
    FOR EACH ROW WHEN (
        (OLD.id, OLD.username, OLD.email, OLD.password, OLD.is_active, OLD.is_staff, OLD.is_superuser, OLD.date_joined,
            OLD.last_login, OLD.metadata::text, OLD.tokens_valid_after, OLD.password_trimmed)
        IS DISTINCT FROM
        (NEW.id, NEW.username, NEW.email, NEW.password, NEW.is_active, NEW.is_staff, NEW.is_superuser, NEW.date_joined,
            NEW.last_login, NEW.metadata::text, NEW.tokens_valid_after, NEW.password_trimmed)
    ) EXECUTE FUNCTION doorwarden_user_changed();

CREATE FUNCTION doorwarden_user_rights_changed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO doorwarden_changes (kind, ref)
        SELECT 'user', who::text FROM (SELECT OLD.user_id AS who UNION SELECT NEW.user_id) AS concerned
        WHERE who IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER doorwarden_changed AFTER INSERT OR UPDATE OR DELETE ON doorwarden_user_groups
    FOR EACH ROW EXECUTE FUNCTION doorwarden_user_rights_changed();
CREATE TRIGGER doorwarden_changed AFTER INSERT OR UPDATE OR DELETE ON doorwarden_user_permissions
    FOR EACH ROW EXECUTE FUNCTION doorwarden_user_rights_changed();

-- One change of the kind that is named as the trigger's argument, however many rows a transaction writes.
CREATE FUNCTION doorwarden_note_once() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO doorwarden_changes (kind) SELECT TG_ARGV[0] WHERE NOT EXISTS (
        SELECT FROM doorwarden_changes WHERE xid = pg_current_xact_id() AND kind = TG_ARGV[0]
    );
    RETURN NULL;
END $$;
CREATE TRIGGER doorwarden_changed AFTER INSERT OR UPDATE OR DELETE ON doorwarden_groups
    FOR EACH ROW EXECUTE FUNCTION doorwarden_note_once('all_users');
CREATE TRIGGER doorwarden_changed AFTER INSERT OR UPDATE OR DELETE ON doorwarden_group_permissions
    FOR EACH ROW EXECUTE FUNCTION doorwarden_note_once('all_users');
CREATE TRIGGER doorwarden_changed AFTER INSERT OR UPDATE OR DELETE ON doorwarden_permissions
    FOR EACH ROW EXECUTE FUNCTION doorwarden_note_once('all_users');
CREATE TRIGGER doorwarden_changed AFTER INSERT OR UPDATE OR DELETE ON doorwarden_keys
    FOR EACH ROW EXECUTE FUNCTION doorwarden_note_once('keys');

-- Not told: a new session, a rotation, when a session was last seen, and that a dead one was cleared away.
CREATE FUNCTION doorwarden_session_changed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('session', OLD.id::text);
    RETURN NULL;
END $$;
CREATE TRIGGER doorwarden_session_updated AFTER UPDATE ON doorwarden_sessions
    FOR EACH ROW WHEN (
        (OLD.id, OLD.user_id, OLD.expires_at, OLD.ended_at, OLD.auth_time, OLD.assurance_level, OLD.amr, OLD.client_id)
        IS DISTINCT FROM
        (NEW.id, NEW.user_id, NEW.expires_at, NEW.ended_at, NEW.auth_time, NEW.assurance_level, NEW.amr, NEW.client_id)
    ) EXECUTE FUNCTION doorwarden_session_changed();
CREATE TRIGGER doorwarden_session_deleted AFTER DELETE ON doorwarden_sessions
    FOR EACH ROW WHEN (OLD.ended_at IS NULL AND OLD.expires_at > now())
    EXECUTE FUNCTION doorwarden_session_changed();

CREATE FUNCTION doorwarden_truncated() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_TABLE_NAME = 'users' THEN
        UPDATE doorwarden_sessions SET ended_at = clock_timestamp(), end_reason = 'user_deleted' WHERE ended_at IS NULL;
    END IF;
    INSERT INTO doorwarden_changes (kind) VALUES ('everything');
    RETURN NULL;
END $$;
CREATE TRIGGER doorwarden_truncated AFTER TRUNCATE ON users EXECUTE FUNCTION doorwarden_truncated();
CREATE TRIGGER doorwarden_truncated AFTER TRUNCATE ON doorwarden_permissions EXECUTE FUNCTION doorwarden_truncated();
CREATE TRIGGER doorwarden_truncated AFTER TRUNCATE ON doorwarden_groups EXECUTE FUNCTION doorwarden_truncated();
CREATE TRIGGER doorwarden_truncated AFTER TRUNCATE ON doorwarden_user_permissions
    EXECUTE FUNCTION doorwarden_truncated();
CREATE TRIGGER doorwarden_truncated AFTER TRUNCATE ON doorwarden_group_permissions
    EXECUTE FUNCTION doorwarden_truncated();
CREATE TRIGGER doorwarden_truncated AFTER TRUNCATE ON doorwarden_user_groups EXECUTE FUNCTION doorwarden_truncated();
CREATE TRIGGER doorwarden_truncated AFTER TRUNCATE ON doorwarden_sessions EXECUTE FUNCTION doorwarden_truncated();
CREATE TRIGGER doorwarden_truncated AFTER TRUNCATE ON doorwarden_keys EXECUTE FUNCTION doorwarden_truncated();
CREATE TRIGGER doorwarden_truncated AFTER TRUNCATE ON doorwarden_changes EXECUTE FUNCTION doorwarden_truncated();

-- A wake-up call without content: what happened stands in the table. The channel belongs to this table alone, since
-- channels are shared by all schemas of a database.
CREATE FUNCTION doorwarden_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('doorwarden_changes_' || TG_RELID, '');
    RETURN NULL;
END $$;
CREATE TRIGGER doorwarden_notify AFTER INSERT ON doorwarden_changes
    FOR EACH STATEMENT EXECUTE FUNCTION doorwarden_notify();
