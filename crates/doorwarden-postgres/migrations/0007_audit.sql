-- What happened that matters to security. Rows outlive the users and sessions that they name, and hold no name, no address of theirs and no
-- secret.
CREATE TABLE doorwarden_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    actor text NOT NULL,
    actor_id text,
    user_id bigint,
    session_id uuid,
    address text,
    user_agent text,
    result text NOT NULL,
    data text NOT NULL
);
CREATE INDEX doorwarden_audit_by_user ON doorwarden_audit (user_id, id) WHERE user_id IS NOT NULL;
