-- The audit log can only grow, and is sealed: a chain of hashes, made under a key that the database does not know, shows
-- whether an event was changed, removed, inserted or moved. Where a request came from is kept apart, so that it can be
-- forgotten: the event holds a hash of it, with a salt that is forgotten, too.
CREATE TABLE doorwarden_audit_clients (
    id bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    salt bytea NOT NULL CHECK (octet_length(salt) = 16),
    address text,
    user_agent text
);
CREATE INDEX doorwarden_audit_clients_by_age ON doorwarden_audit_clients (at);
INSERT INTO doorwarden_audit_clients (id, at, salt, address, user_agent)
SELECT id, at, uuid_send(gen_random_uuid()), address, user_agent FROM doorwarden_audit
WHERE address IS NOT NULL OR user_agent IS NOT NULL;
DROP INDEX doorwarden_audit_with_client;
ALTER TABLE doorwarden_audit
    DROP COLUMN address,
    DROP COLUMN user_agent,
    ADD COLUMN request_id text,
    ADD COLUMN client bytea CHECK (octet_length(client) = 32);

-- What is not sealed yet. Events become visible in another order than that of their numbers, and numbers of transactions
-- that were rolled back are missing, so no number says which events are sealed.
CREATE TABLE doorwarden_audit_unsealed (
    id bigint PRIMARY KEY
);
INSERT INTO doorwarden_audit_unsealed (id) SELECT id FROM doorwarden_audit;

-- Events are read here, and written here: the trigger keeps the client apart.
CREATE VIEW doorwarden_events AS
SELECT a.id, a.at, a.kind, a.actor, a.actor_id, a.user_id, a.session_id, c.address, c.user_agent, a.request_id, a.result,
    a.data, a.client, c.salt
FROM doorwarden_audit a LEFT JOIN doorwarden_audit_clients c ON c.id = a.id;
CREATE FUNCTION doorwarden_write_event() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.client := NULL;
    IF NEW.address IS NOT NULL OR NEW.user_agent IS NOT NULL THEN
        NEW.salt := uuid_send(gen_random_uuid());
        NEW.client := sha256(
            NEW.salt || convert_to(coalesce(NEW.address, ''), 'UTF8') || '\x00'::bytea
            || convert_to(coalesce(NEW.user_agent, ''), 'UTF8')
        );
    END IF;
    INSERT INTO doorwarden_audit
        (at, kind, actor, actor_id, user_id, session_id, request_id, client, result, data)
        VALUES (
            NEW.at, NEW.kind, NEW.actor, NEW.actor_id, NEW.user_id, NEW.session_id, NEW.request_id, NEW.client,
            NEW.result, NEW.data
        )
        RETURNING id INTO NEW.id;
    INSERT INTO doorwarden_audit_unsealed (id) VALUES (NEW.id);
    IF NEW.client IS NOT NULL THEN
        INSERT INTO doorwarden_audit_clients (id, at, salt, address, user_agent)
            VALUES (NEW.id, NEW.at, NEW.salt, NEW.address, NEW.user_agent);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER doorwarden_write_event INSTEAD OF INSERT ON doorwarden_events
    FOR EACH ROW EXECUTE FUNCTION doorwarden_write_event();

-- Each names the events that it seals, with a hash of each, and the seal before.
CREATE TABLE doorwarden_audit_seals (
    number bigint PRIMARY KEY,
    sealed_at timestamptz NOT NULL,
    last_id bigint NOT NULL,
    total bigint NOT NULL,
    records bytea NOT NULL,
    previous bytea NOT NULL,
    hash bytea NOT NULL,
    key_id text NOT NULL,
    mac bytea NOT NULL
);
-- Hashes cannot be compressed.
ALTER TABLE doorwarden_audit_seals ALTER COLUMN records SET STORAGE EXTERNAL;

-- Two places in the chain: its head, the newest seal; and the cut, up to which it was deleted because of its age.
CREATE TABLE doorwarden_audit_marks (
    kind text PRIMARY KEY CHECK (kind IN ('head', 'cut')),
    number bigint NOT NULL,
    at timestamptz NOT NULL,
    last_id bigint NOT NULL,
    total bigint NOT NULL,
    hash bytea NOT NULL,
    key_id text NOT NULL,
    mac bytea NOT NULL
);
INSERT INTO doorwarden_audit_marks (kind, number, at, last_id, total, hash, key_id, mac)
SELECT kind, 0, 'epoch', 0, 0, decode(repeat('00', 32), 'hex'), '', '' FROM unnest(ARRAY['head', 'cut']) AS kind;

-- The instance that seals for now.
CREATE TABLE doorwarden_audit_lease (
    only_one boolean PRIMARY KEY CHECK (only_one),
    holder uuid NOT NULL,
    until timestamptz NOT NULL
);

-- The keys of the chain, encrypted under the secret key.
CREATE TABLE doorwarden_audit_keys (
    id text PRIMARY KEY,
    sealed bytea NOT NULL,
    public_jwk text NOT NULL,
    created_at timestamptz NOT NULL,
    retired_at timestamptz
);

CREATE FUNCTION doorwarden_audit_keeps() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    -- The cut says what may go. Whether it is genuine shows when the log is verified.
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'doorwarden_audit' THEN
        IF OLD.id <= (SELECT last_id FROM doorwarden_audit_marks WHERE kind = 'cut') THEN
            RETURN OLD;
        END IF;
    ELSIF TG_OP = 'DELETE' AND TG_TABLE_NAME = 'doorwarden_audit_seals' THEN
        IF OLD.number <= (SELECT number FROM doorwarden_audit_marks WHERE kind = 'cut') THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit log can only grow: % of % is refused', TG_OP, TG_TABLE_NAME;
END $$;
REVOKE ALL ON FUNCTION doorwarden_audit_keeps() FROM PUBLIC;
CREATE TRIGGER doorwarden_audit_keeps BEFORE UPDATE OR DELETE ON doorwarden_audit
    FOR EACH ROW EXECUTE FUNCTION doorwarden_audit_keeps();
CREATE TRIGGER doorwarden_audit_keeps_all BEFORE TRUNCATE ON doorwarden_audit
    EXECUTE FUNCTION doorwarden_audit_keeps();
CREATE TRIGGER doorwarden_audit_keeps BEFORE UPDATE ON doorwarden_audit_clients
    FOR EACH ROW EXECUTE FUNCTION doorwarden_audit_keeps();
CREATE TRIGGER doorwarden_audit_keeps_all BEFORE TRUNCATE ON doorwarden_audit_clients
    EXECUTE FUNCTION doorwarden_audit_keeps();
CREATE TRIGGER doorwarden_audit_keeps BEFORE UPDATE OR DELETE ON doorwarden_audit_seals
    FOR EACH ROW EXECUTE FUNCTION doorwarden_audit_keeps();
CREATE TRIGGER doorwarden_audit_keeps_all BEFORE TRUNCATE ON doorwarden_audit_seals
    EXECUTE FUNCTION doorwarden_audit_keeps();
ALTER TABLE doorwarden_audit ENABLE ALWAYS TRIGGER doorwarden_event_recorded;
ALTER TABLE doorwarden_audit ENABLE ALWAYS TRIGGER doorwarden_audit_keeps;
ALTER TABLE doorwarden_audit ENABLE ALWAYS TRIGGER doorwarden_audit_keeps_all;
ALTER TABLE doorwarden_audit_clients ENABLE ALWAYS TRIGGER doorwarden_audit_keeps;
ALTER TABLE doorwarden_audit_clients ENABLE ALWAYS TRIGGER doorwarden_audit_keeps_all;
ALTER TABLE doorwarden_audit_seals ENABLE ALWAYS TRIGGER doorwarden_audit_keeps;
ALTER TABLE doorwarden_audit_seals ENABLE ALWAYS TRIGGER doorwarden_audit_keeps_all;

-- Deletes the events in these seals and the seals, after the cut was moved there from `former`; whether it was.
CREATE FUNCTION doorwarden_audit_cut(
    former bigint, new_number bigint, new_at timestamptz, new_last_id bigint, new_total bigint, new_hash bytea,
    new_key_id text, new_mac bytea, ids bigint[]
) RETURNS boolean LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE doorwarden_audit_marks SET number = new_number, at = new_at, last_id = new_last_id,
        total = new_total, hash = new_hash, key_id = new_key_id, mac = new_mac
        WHERE kind = 'cut' AND number = former;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM doorwarden_audit_clients WHERE id = ANY (ids);
    DELETE FROM doorwarden_audit WHERE id = ANY (ids);
    DELETE FROM doorwarden_audit_seals WHERE number <= new_number;
    RETURN true;
END $$;
