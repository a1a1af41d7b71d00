-- Webhooks: endpoints, and the events that are sent to them.

CREATE TABLE doorwarden_webhooks (
    name TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    -- The kinds of events that it gets, each between commas; NULL: all.
    events TEXT CHECK (events GLOB ',?*,'),
    sealed BLOB NOT NULL,
    -- The secret before it, which also signs until then.
    former_sealed BLOB,
    former_until INTEGER,
    state TEXT NOT NULL CHECK (state IN ('enabled', 'paused', 'disabled')),
    reason TEXT,
    is_declared INTEGER NOT NULL CHECK (is_declared IN (0, 1)),
    created_at INTEGER NOT NULL,
    failing_since INTEGER,
    CHECK ((former_sealed IS NULL) = (former_until IS NULL))
) STRICT, WITHOUT ROWID;

-- One row for each event and endpoint. Rows outlive the users and sessions that they name. `lane` is the account whose
-- events are sent one after the other; NULL: in any order. Instants in microseconds since 1970.
CREATE TABLE doorwarden_deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id BLOB NOT NULL CHECK (length(message_id) = 16),
    webhook TEXT NOT NULL,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    actor_id TEXT,
    user_id INTEGER,
    session_id BLOB CHECK (length(session_id) = 16),
    result TEXT NOT NULL,
    data TEXT NOT NULL,
    lane INTEGER,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'delivered', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL,
    status INTEGER,
    error TEXT
) STRICT;
CREATE INDEX doorwarden_deliveries_due ON doorwarden_deliveries (webhook, due_at, id) WHERE state = 'queued';
CREATE INDEX doorwarden_deliveries_in_order ON doorwarden_deliveries (webhook, lane, id)
    WHERE state = 'queued' AND lane IS NOT NULL;
CREATE INDEX doorwarden_deliveries_by_webhook ON doorwarden_deliveries (webhook, id);
CREATE INDEX doorwarden_deliveries_by_time ON doorwarden_deliveries (at);

-- Whatever writes an event also writes what is to be sent because of it.
CREATE TRIGGER doorwarden_event_recorded AFTER INSERT ON doorwarden_audit
WHEN EXISTS (SELECT 1 FROM doorwarden_webhooks) BEGIN
    INSERT INTO doorwarden_deliveries
        (message_id, webhook, kind, at, actor, actor_id, user_id, session_id, result, data, lane, due_at)
    SELECT message.id, name, NEW.kind, NEW.at, NEW.actor, NEW.actor_id, NEW.user_id, NEW.session_id, NEW.result,
        NEW.data, NEW.user_id, NEW.at
    FROM (SELECT randomblob(16) AS id LIMIT 1) AS message CROSS JOIN doorwarden_webhooks
    WHERE state <> 'disabled' AND (events IS NULL OR instr(events, ',' || NEW.kind || ',') > 0);
END;
