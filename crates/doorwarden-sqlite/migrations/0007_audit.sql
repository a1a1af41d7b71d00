-- What happened that matters to security. Rows outlive the users and sessions that they name, and hold no name, no address of theirs and no
-- secret.
CREATE TABLE doorwarden_audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    actor_id TEXT,
    user_id INTEGER,
    session_id BLOB CHECK (length(session_id) = 16),
    address TEXT,
    user_agent TEXT,
    result TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX doorwarden_audit_by_user ON doorwarden_audit (user_id, id) WHERE user_id IS NOT NULL;
