-- All sessions of a user end by one number: a session counts only while its generation is that of its user. So the end
-- of all costs the same whatever number of them there is; their rows are tidied up later, in portions.

ALTER TABLE users ADD COLUMN sessions_generation bigint NOT NULL DEFAULT 0
    CONSTRAINT users_sessions_generation CHECK (sessions_generation >= 0);
ALTER TABLE doorwarden_sessions ADD COLUMN generation bigint NOT NULL DEFAULT 0;

DROP INDEX doorwarden_sessions_by_user;
CREATE INDEX doorwarden_sessions_by_user ON doorwarden_sessions (user_id, generation) WHERE ended_at IS NULL;

-- When and why all sessions of a user ended that had the generation `former`; the next ones have `generation`. Not written
-- if there was none. It outlives its user, and stays until the last of the sessions would have expired: an id that comes
-- back goes on from here, because a live view may still remember the sessions.
CREATE TABLE doorwarden_session_ends (
    user_id bigint NOT NULL,
    former bigint NOT NULL,
    generation bigint NOT NULL,
    ended_at timestamptz NOT NULL,
    reason text NOT NULL,
    -- The session that went on, with this generation.
    kept uuid,
    -- Whether these were more sessions than the revocation feed lists one by one.
    many boolean NOT NULL,
    -- Whether every row of these sessions says that it has ended.
    settled boolean NOT NULL DEFAULT false,
    -- The latest expiry of those whose rows say so.
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, generation)
);
CREATE INDEX doorwarden_session_ends_by_time ON doorwarden_session_ends (ended_at);
CREATE INDEX doorwarden_session_ends_to_settle ON doorwarden_session_ends (ended_at) WHERE NOT settled;
CREATE INDEX doorwarden_session_ends_by_expiry ON doorwarden_session_ends (expires_at) WHERE settled;

-- Writes the end of the sessions of one generation, unless there are none or it is written. How many there were, of more
-- than 1,000 only that. Volatile, so it sees what was committed until now, also when the statement that calls it has
-- waited for the user's row.
CREATE FUNCTION doorwarden_note_end(owner bigint, last bigint, next bigint, but uuid, why text, moment timestamptz)
    RETURNS bigint LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    ended bigint;
BEGIN
    SELECT count(*) INTO ended FROM (
        SELECT FROM doorwarden_sessions
        WHERE user_id = owner AND generation = last AND ended_at IS NULL AND id IS DISTINCT FROM but LIMIT 1001
    ) AS those;
    IF ended > 0 AND NOT EXISTS (
        SELECT FROM doorwarden_session_ends WHERE user_id = owner AND generation > last
    ) THEN
        INSERT INTO doorwarden_session_ends (user_id, former, generation, ended_at, reason, kept, many, expires_at)
            VALUES (owner, last, next, moment, why, but, ended > 1000, moment);
    END IF;
    RETURN ended;
END $$;

-- Ends at most `highest` of the living sessions that a user has beyond `most`, but not `new`, those first that were not used
-- for the longest time; which. Looks at a bounded number of rows, whatever their number.
CREATE FUNCTION doorwarden_end_surplus(
    owner bigint, current bigint, most bigint, new uuid, moment timestamptz, highest bigint
) RETURNS uuid[] LANGUAGE sql SET search_path FROM CURRENT AS $$
    WITH those AS (
        SELECT id, last_seen_at, expires_at FROM doorwarden_sessions
        WHERE user_id = owner AND generation = current AND ended_at IS NULL LIMIT 10000
    ), living AS (
        SELECT id, last_seen_at FROM those WHERE expires_at > moment
    ), surplus AS (
        SELECT id FROM living WHERE id IS DISTINCT FROM new ORDER BY last_seen_at, id
        LIMIT least(greatest((SELECT count(*) FROM living) - most, 0), highest)
    ), ended AS (
        UPDATE doorwarden_sessions SET ended_at = moment, end_reason = 'limit'
        FROM surplus WHERE doorwarden_sessions.id = surplus.id AND ended_at IS NULL RETURNING surplus.id
    )
    SELECT coalesce(array_agg(id), '{}') FROM ended
$$;

-- What remains to be done when the generation of a user has risen by one to `next`: one session may go on.
DROP FUNCTION doorwarden_end_sessions(bigint, uuid, text, timestamptz);
CREATE FUNCTION doorwarden_end_sessions(owner bigint, next bigint, but uuid, why text, moment timestamptz)
    RETURNS bigint LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    ended bigint := doorwarden_note_end(owner, next - 1, next, but, why, moment);
BEGIN
    IF but IS NOT NULL THEN
        UPDATE doorwarden_sessions SET generation = next
            WHERE id = but AND user_id = owner AND generation = next - 1 AND ended_at IS NULL;
    END IF;
    RETURN ended;
END $$;

-- Ends the sessions of a user but one. NULL, and nothing happens, if that one does not live or the user is gone.
CREATE FUNCTION doorwarden_end_others(owner bigint, but uuid, why text, moment timestamptz)
    RETURNS bigint LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    current bigint;
BEGIN
    SELECT sessions_generation INTO current FROM users WHERE id = owner FOR NO KEY UPDATE;
    IF current IS NULL OR (but IS NOT NULL AND NOT EXISTS (
        SELECT FROM doorwarden_sessions
        WHERE id = but AND user_id = owner AND generation = current AND ended_at IS NULL AND expires_at > moment
    )) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (
        SELECT FROM doorwarden_sessions
        WHERE user_id = owner AND generation = current AND ended_at IS NULL AND id IS DISTINCT FROM but
    ) THEN
        RETURN 0;
    END IF;
    -- Before the generation rises, or the trigger for SQL by hand says why.
    DECLARE
        ended bigint := doorwarden_end_sessions(owner, current + 1, but, why, moment);
    BEGIN
        UPDATE users SET sessions_generation = current + 1 WHERE id = owner;
        RETURN ended;
    END;
END $$;

-- A generation only rises, also if a program writes back what it has read before, or an id comes back.
CREATE FUNCTION doorwarden_raise_generation() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    NEW.sessions_generation := greatest(NEW.sessions_generation, OLD.sessions_generation);
    IF OLD.is_active AND NOT NEW.is_active THEN
        NEW.sessions_generation := greatest(NEW.sessions_generation, OLD.sessions_generation + 1);
    END IF;
    IF NEW.id <> OLD.id THEN
        NEW.sessions_generation := greatest(NEW.sessions_generation, (
            SELECT max(generation) FROM doorwarden_session_ends WHERE user_id = NEW.id
        ));
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER doorwarden_raise_generation BEFORE UPDATE ON users FOR EACH ROW WHEN (
    NEW.sessions_generation < OLD.sessions_generation OR (OLD.is_active AND NOT NEW.is_active) OR NEW.id <> OLD.id
) EXECUTE FUNCTION doorwarden_raise_generation();

CREATE FUNCTION doorwarden_follow_generations() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE users SET sessions_generation = former.generation
        FROM (
            SELECT id, (SELECT max(generation) FROM doorwarden_session_ends WHERE user_id = added.id) AS generation
            FROM added
        ) AS former
        WHERE former.generation IS NOT NULL AND users.id = former.id AND users.sessions_generation < former.generation;
    RETURN NULL;
END $$;
CREATE TRIGGER doorwarden_follow_generations AFTER INSERT ON users REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION doorwarden_follow_generations();

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
            CASE WHEN OLD.is_active AND NOT NEW.is_active THEN 'deactivated' ELSE 'signed_out' END, clock_timestamp()
        );
    END IF;
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', OLD.id::text);
    RETURN NULL;
END $$;
DROP TRIGGER doorwarden_user_updated ON users;
CREATE TRIGGER doorwarden_user_updated AFTER UPDATE ON users
    FOR EACH ROW WHEN (
        (OLD.id, OLD.username, OLD.email, OLD.password, OLD.is_active, OLD.is_staff, OLD.is_superuser, OLD.date_joined,
            OLD.last_login, OLD.metadata::text, OLD.tokens_valid_after, OLD.password_trimmed, OLD.sessions_generation)
        IS DISTINCT FROM
        (NEW.id, NEW.username, NEW.email, NEW.password, NEW.is_active, NEW.is_staff, NEW.is_superuser, NEW.date_joined,
            NEW.last_login, NEW.metadata::text, NEW.tokens_valid_after, NEW.password_trimmed, NEW.sessions_generation)
    ) EXECUTE FUNCTION doorwarden_user_changed();

-- Not told: a new session, a rotation, when a session was last seen, that a dead one was cleared away, and that the row of
-- one that has ended with all others says so.
CREATE OR REPLACE FUNCTION doorwarden_session_changed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.generation = OLD.generation AND EXISTS (
        SELECT FROM doorwarden_session_ends WHERE user_id = OLD.user_id AND generation > OLD.generation
    ) THEN
        RETURN NULL;
    END IF;
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('session', OLD.id::text);
    RETURN NULL;
END $$;
DROP TRIGGER doorwarden_session_updated ON doorwarden_sessions;
CREATE TRIGGER doorwarden_session_updated AFTER UPDATE ON doorwarden_sessions
    FOR EACH ROW WHEN (
        (OLD.id, OLD.user_id, OLD.generation, OLD.expires_at, OLD.ended_at, OLD.auth_time, OLD.assurance_level, OLD.amr,
            OLD.client_id)
        IS DISTINCT FROM
        (NEW.id, NEW.user_id, NEW.generation, NEW.expires_at, NEW.ended_at, NEW.auth_time, NEW.assurance_level, NEW.amr,
            NEW.client_id)
    ) EXECUTE FUNCTION doorwarden_session_changed();
