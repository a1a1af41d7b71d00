-- Webhooks: endpoints, and the events that are sent to them.

CREATE TABLE doorwarden_webhooks (
    name text COLLATE "C" PRIMARY KEY,
    url text NOT NULL,
    -- The kinds of events that it gets; NULL: all.
    events text[],
    sealed bytea NOT NULL,
    -- The secret before it, which also signs until then.
    former_sealed bytea,
    former_until timestamptz,
    state text NOT NULL CHECK (state IN ('enabled', 'paused', 'disabled')),
    reason text,
    is_declared boolean NOT NULL,
    created_at timestamptz NOT NULL,
    failing_since timestamptz,
    CHECK ((former_sealed IS NULL) = (former_until IS NULL))
);

-- One row for each event and endpoint. Rows outlive the users and sessions that they name. `lane` is the account whose
-- events are sent one after the other; NULL: in any order. No foreign key: an endpoint that is removed at the same time
-- must not make the write of an event fail.
CREATE TABLE doorwarden_deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id uuid NOT NULL,
    webhook text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    actor_id text,
    user_id bigint,
    session_id uuid,
    result text NOT NULL,
    data text NOT NULL,
    lane bigint,
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'delivered', 'failed')),
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    status integer,
    error text
);
CREATE INDEX doorwarden_deliveries_due ON doorwarden_deliveries (webhook, due_at, id) WHERE state = 'queued';
CREATE INDEX doorwarden_deliveries_in_order ON doorwarden_deliveries (webhook, lane, id)
    WHERE state = 'queued' AND lane IS NOT NULL;
CREATE INDEX doorwarden_deliveries_by_webhook ON doorwarden_deliveries (webhook, id);
CREATE INDEX doorwarden_deliveries_by_time ON doorwarden_deliveries (at);

-- Whatever writes an event also writes what is to be sent because of it.
CREATE FUNCTION doorwarden_event_recorded() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Usually there is none, which costs less to find out than to insert nothing.
    IF EXISTS (SELECT FROM doorwarden_webhooks) THEN
        INSERT INTO doorwarden_deliveries
            (message_id, webhook, kind, at, actor, actor_id, user_id, session_id, result, data, lane, due_at)
        SELECT message.id, w.name, NEW.kind, NEW.at, NEW.actor, NEW.actor_id, NEW.user_id, NEW.session_id, NEW.result,
            NEW.data, NEW.user_id, NEW.at
        FROM doorwarden_webhooks w CROSS JOIN (SELECT gen_random_uuid() AS id) AS message
        WHERE w.state <> 'disabled' AND (w.events IS NULL OR NEW.kind = ANY (w.events));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER doorwarden_event_recorded AFTER INSERT ON doorwarden_audit
    FOR EACH ROW EXECUTE FUNCTION doorwarden_event_recorded();
