-- What follows from SQL by hand: a new password ends the sessions, keys beyond ASCII are made by the program, a session
-- that is deleted stays in the revocation feed, and nobody but a trigger runs the functions of the triggers.

-- Users whose keys the program must still make: lower() does not fold as it does.
CREATE TABLE doorwarden_pending_keys (
    user_id bigint PRIMARY KEY
);
INSERT INTO doorwarden_pending_keys (user_id)
    SELECT id FROM users
    WHERE octet_length(email) <> char_length(email) OR octet_length(username) <> char_length(username);

CREATE OR REPLACE FUNCTION doorwarden_fill_keys() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    given boolean := coalesce(current_setting('doorwarden.keys', true), '') = 'given';
    guessed_email boolean := NEW.email_key IS NULL;
    guessed_username boolean := NEW.username_key IS NULL;
BEGIN
    IF TG_OP = 'UPDATE' AND NOT given THEN
        guessed_email := guessed_email OR (NEW.email IS DISTINCT FROM OLD.email AND NEW.email_key = OLD.email_key);
        guessed_username :=
            guessed_username OR (NEW.username IS DISTINCT FROM OLD.username AND NEW.username_key = OLD.username_key);
    END IF;
    IF guessed_email THEN
        NEW.email_key := lower(NEW.email);
    END IF;
    IF guessed_username THEN
        NEW.username_key := lower(NEW.username);
    END IF;
    IF (guessed_email AND octet_length(NEW.email) <> char_length(NEW.email))
        OR (guessed_username AND octet_length(NEW.username) <> char_length(NEW.username))
    THEN
        INSERT INTO doorwarden_pending_keys (user_id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
    END IF;
    IF TG_OP = 'INSERT' AND (guessed_email OR guessed_username) THEN
        INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', NEW.id::text);
    END IF;
    RETURN NEW;
END $$;

-- Gives users the keys that the program has made of what it read; how many are no longer pending. Of two with one key the
-- older keeps it, and the younger gets one that nothing folds to.
CREATE FUNCTION doorwarden_set_keys(
    ids bigint[], emails text[], email_keys text[], usernames text[], username_keys text[]
) RETURNS bigint LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    person record;
    done bigint := 0;
    email_taken boolean;
    username_taken boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('doorwarden_set_keys', 'users'::regclass::bigint));
    FOR n IN 1 .. cardinality(ids) LOOP
        BEGIN
            SELECT id, email, username INTO person FROM users WHERE id = ids[n] FOR UPDATE;
            IF NOT FOUND THEN
                DELETE FROM doorwarden_pending_keys WHERE user_id = ids[n];
            ELSIF person.email = emails[n] AND person.username = usernames[n] THEN
                UPDATE users SET email_key = 'COLLIDES-' || id WHERE email_key = email_keys[n] AND id > person.id;
                UPDATE users SET username_key = 'COLLIDES-' || id
                    WHERE username_key = username_keys[n] AND id > person.id;
                email_taken := EXISTS (SELECT FROM users WHERE email_key = email_keys[n] AND id < person.id);
                username_taken := EXISTS (SELECT FROM users WHERE username_key = username_keys[n] AND id < person.id);
                UPDATE users SET
                    email_key = CASE WHEN email_taken THEN 'COLLIDES-' || id ELSE email_keys[n] END,
                    username_key = CASE WHEN username_taken THEN 'COLLIDES-' || id ELSE username_keys[n] END
                    WHERE id = person.id;
                DELETE FROM doorwarden_pending_keys WHERE user_id = person.id;
            END IF;
            done := done + 1;
        EXCEPTION WHEN unique_violation THEN
            -- Somebody takes the key at this moment: the next round sees who.
            NULL;
        END;
    END LOOP;
    RETURN done;
END $$;

-- A password that SQL changes ends the sessions, unless the statement says that it is the same one hashed anew, or raises
-- the generation itself.
CREATE OR REPLACE FUNCTION doorwarden_raise_generation() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    raised bigint := OLD.sessions_generation + 1;
BEGIN
    NEW.sessions_generation := greatest(NEW.sessions_generation, OLD.sessions_generation);
    IF OLD.is_active AND NOT NEW.is_active THEN
        NEW.sessions_generation := greatest(NEW.sessions_generation, raised);
    END IF;
    IF NEW.password <> OLD.password AND coalesce(current_setting('doorwarden.password', true), '') <> 'rehashed' THEN
        NEW.sessions_generation := greatest(NEW.sessions_generation, raised);
        IF NEW.tokens_valid_after IS NOT DISTINCT FROM OLD.tokens_valid_after THEN
            NEW.tokens_valid_after := greatest(NEW.tokens_valid_after, clock_timestamp());
        END IF;
    END IF;
    IF NEW.id <> OLD.id THEN
        NEW.sessions_generation := greatest(NEW.sessions_generation, (
            SELECT max(generation) FROM doorwarden_session_ends WHERE user_id = NEW.id
        ));
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER doorwarden_raise_generation ON users;
CREATE TRIGGER doorwarden_raise_generation BEFORE UPDATE ON users FOR EACH ROW WHEN (
    NEW.sessions_generation < OLD.sessions_generation OR (OLD.is_active AND NOT NEW.is_active) OR NEW.id <> OLD.id
    OR NEW.password <> OLD.password
) EXECUTE FUNCTION doorwarden_raise_generation();

CREATE OR REPLACE FUNCTION doorwarden_user_changed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.id IS DISTINCT FROM NEW.id THEN
        PERFORM doorwarden_note_end(
            OLD.id, OLD.sessions_generation, OLD.sessions_generation + 1, NULL, 'user_deleted', clock_timestamp()
        );
    ELSIF NEW.sessions_generation > OLD.sessions_generation THEN
        PERFORM doorwarden_note_end(
            OLD.id, OLD.sessions_generation, NEW.sessions_generation, NULL,
            CASE WHEN OLD.is_active AND NOT NEW.is_active THEN 'deactivated'
                WHEN OLD.password <> NEW.password THEN 'password_changed' ELSE 'signed_out' END,
            clock_timestamp()
        );
    END IF;
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', OLD.id::text);
    RETURN NULL;
END $$;

-- Sessions whose row is gone although access tokens of theirs may still be valid: the revocation feed names them. What
-- ended or expired a day ago is tidied up without a trace.
CREATE TABLE doorwarden_deleted_sessions (
    id uuid PRIMARY KEY,
    user_id bigint NOT NULL,
    ended_at timestamptz NOT NULL
);
CREATE INDEX doorwarden_deleted_sessions_by_end ON doorwarden_deleted_sessions (ended_at);
CREATE FUNCTION doorwarden_session_vanished() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO doorwarden_deleted_sessions (id, user_id, ended_at)
        VALUES (OLD.id, OLD.user_id, coalesce(OLD.ended_at, clock_timestamp()))
        ON CONFLICT (id) DO UPDATE SET ended_at = excluded.ended_at;
    RETURN NULL;
END $$;
CREATE TRIGGER doorwarden_session_vanished AFTER DELETE ON doorwarden_sessions
    FOR EACH ROW WHEN (
        OLD.refresh_counter IS NOT NULL AND coalesce(OLD.ended_at, OLD.expires_at) > now() - interval '1 day'
    ) EXECUTE FUNCTION doorwarden_session_vanished();

-- After a TRUNCATE nobody knows which sessions there were: no token that was issued until then counts.
CREATE TABLE doorwarden_truncations (
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE OR REPLACE FUNCTION doorwarden_truncated() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_RELID = 'users'::regclass THEN
        UPDATE doorwarden_sessions SET ended_at = clock_timestamp(), end_reason = 'user_deleted' WHERE ended_at IS NULL;
    END IF;
    IF TG_RELID IN (
        'users'::regclass, 'doorwarden_sessions'::regclass, 'doorwarden_session_ends'::regclass,
        'doorwarden_deleted_sessions'::regclass
    ) THEN
        INSERT INTO doorwarden_truncations DEFAULT VALUES;
    END IF;
    INSERT INTO doorwarden_changes (kind) VALUES ('everything');
    RETURN NULL;
END $$;
CREATE TRIGGER doorwarden_truncated AFTER TRUNCATE ON doorwarden_session_ends
    EXECUTE FUNCTION doorwarden_truncated();
CREATE TRIGGER doorwarden_truncated AFTER TRUNCATE ON doorwarden_deleted_sessions
    EXECUTE FUNCTION doorwarden_truncated();

-- Whoever may create a table could run a trigger's function, with the rights of its owner, on a table of their own. And the
-- triggers fire for changes that come by logical replication, too.
DO $$
DECLARE
    it record;
BEGIN
    FOR it IN SELECT oid::regprocedure::text AS name FROM pg_proc
        WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND proname LIKE 'doorwarden\_%' AND prosecdef
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', it.name);
    END LOOP;
    FOR it IN SELECT tgrelid::regclass::text AS relation, tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND NOT tgisinternal AND tgname LIKE 'doorwarden\_%'
    LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', it.relation, it.tgname);
    END LOOP;
END $$;
