-- The audit log can only grow, and is sealed: a chain of hashes, made under a key that the database does not know, shows
-- whether an event was changed, removed, inserted or moved. Where a request came from is kept apart, so that it can be
-- forgotten: the event holds a hash of it, with a salt that is forgotten, too.
CREATE TABLE doorwarden_audit_clients (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    salt BLOB NOT NULL CHECK (length(salt) = 16),
    address TEXT,
    user_agent TEXT
) STRICT;
CREATE INDEX doorwarden_audit_clients_by_age ON doorwarden_audit_clients (at);
INSERT INTO doorwarden_audit_clients (id, at, salt, address, user_agent)
SELECT id, at, randomblob(16), address, user_agent FROM doorwarden_audit
WHERE address IS NOT NULL OR user_agent IS NOT NULL;

-- AUTOINCREMENT: the number of the last event is not given again if that is deleted.
ALTER TABLE doorwarden_audit RENAME TO doorwarden_audit_former;
CREATE TABLE doorwarden_audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    actor_id TEXT,
    user_id INTEGER,
    session_id BLOB CHECK (length(session_id) = 16),
    request_id TEXT,
    client BLOB CHECK (length(client) = 32),
    result TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;
INSERT INTO doorwarden_audit (id, at, kind, actor, actor_id, user_id, session_id, result, data)
SELECT id, at, kind, actor, actor_id, user_id, session_id, result, data FROM doorwarden_audit_former
ORDER BY id;
DROP TABLE doorwarden_audit_former;
CREATE INDEX doorwarden_audit_by_user ON doorwarden_audit (user_id, id) WHERE user_id IS NOT NULL;
-- It went with the former table.
CREATE TRIGGER doorwarden_event_recorded AFTER INSERT ON doorwarden_audit
WHEN EXISTS (SELECT 1 FROM doorwarden_webhooks) BEGIN
    INSERT INTO doorwarden_deliveries
        (message_id, webhook, kind, at, actor, actor_id, user_id, session_id, result, data, lane, due_at)
    SELECT message.id, name, NEW.kind, NEW.at, NEW.actor, NEW.actor_id, NEW.user_id, NEW.session_id, NEW.result,
        NEW.data, NEW.user_id, NEW.at
    FROM (SELECT randomblob(16) AS id LIMIT 1) AS message CROSS JOIN doorwarden_webhooks
    WHERE state <> 'disabled' AND (events IS NULL OR instr(events, ',' || NEW.kind || ',') > 0);
END;

CREATE VIEW doorwarden_events AS
SELECT a.id, a.at, a.kind, a.actor, a.actor_id, a.user_id, a.session_id, c.address, c.user_agent, a.request_id, a.result,
    a.data, a.client, c.salt
FROM doorwarden_audit a LEFT JOIN doorwarden_audit_clients c ON c.id = a.id;

-- Each names the events that it seals, with a hash of each, and the seal before.
CREATE TABLE doorwarden_audit_seals (
    number INTEGER PRIMARY KEY,
    sealed_at INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    total INTEGER NOT NULL,
    records BLOB NOT NULL,
    previous BLOB NOT NULL,
    hash BLOB NOT NULL,
    key_id TEXT NOT NULL,
    mac BLOB NOT NULL
) STRICT;

-- Two places in the chain: its head, the newest seal; and the cut, up to which it was deleted because of its age.
CREATE TABLE doorwarden_audit_marks (
    kind TEXT PRIMARY KEY CHECK (kind IN ('head', 'cut')),
    number INTEGER NOT NULL,
    at INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    total INTEGER NOT NULL,
    hash BLOB NOT NULL,
    key_id TEXT NOT NULL,
    mac BLOB NOT NULL
) STRICT;
INSERT INTO doorwarden_audit_marks (kind, number, at, last_id, total, hash, key_id, mac)
VALUES ('head', 0, 0, 0, 0, zeroblob(32), '', x''), ('cut', 0, 0, 0, 0, zeroblob(32), '', x'');

-- The instance that seals for now.
CREATE TABLE doorwarden_audit_lease (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    holder BLOB NOT NULL,
    until INTEGER NOT NULL
) STRICT;

-- The keys of the chain, encrypted under the secret key.
CREATE TABLE doorwarden_audit_keys (
    id TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    public_jwk TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TRIGGER doorwarden_audit_not_updated BEFORE UPDATE ON doorwarden_audit BEGIN
    SELECT RAISE(ABORT, 'events of the audit log cannot be changed');
END;
CREATE TRIGGER doorwarden_audit_not_deleted BEFORE DELETE ON doorwarden_audit
WHEN OLD.id > (SELECT last_id FROM doorwarden_audit_marks WHERE kind = 'cut') BEGIN
    SELECT RAISE(ABORT, 'events of the audit log cannot be deleted');
END;
-- REPLACE deletes without firing triggers.
CREATE TRIGGER doorwarden_audit_not_replaced BEFORE INSERT ON doorwarden_audit
WHEN EXISTS (SELECT 1 FROM doorwarden_audit WHERE id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'events of the audit log cannot be changed');
END;
CREATE TRIGGER doorwarden_audit_clients_not_updated BEFORE UPDATE ON doorwarden_audit_clients BEGIN
    SELECT RAISE(ABORT, 'events of the audit log cannot be changed');
END;
CREATE TRIGGER doorwarden_audit_clients_not_replaced BEFORE INSERT ON doorwarden_audit_clients
WHEN EXISTS (SELECT 1 FROM doorwarden_audit_clients WHERE id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'events of the audit log cannot be changed');
END;
CREATE TRIGGER doorwarden_audit_seals_not_updated BEFORE UPDATE ON doorwarden_audit_seals BEGIN
    SELECT RAISE(ABORT, 'seals of the audit log cannot be changed');
END;
CREATE TRIGGER doorwarden_audit_seals_not_deleted BEFORE DELETE ON doorwarden_audit_seals
WHEN OLD.number > (SELECT number FROM doorwarden_audit_marks WHERE kind = 'cut') BEGIN
    SELECT RAISE(ABORT, 'seals of the audit log cannot be deleted');
END;
CREATE TRIGGER doorwarden_audit_seals_not_replaced BEFORE INSERT ON doorwarden_audit_seals
WHEN EXISTS (SELECT 1 FROM doorwarden_audit_seals WHERE number = NEW.number) BEGIN
    SELECT RAISE(ABORT, 'seals of the audit log cannot be changed');
END;
