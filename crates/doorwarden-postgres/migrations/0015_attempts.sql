-- Attempts at passwords, and proofs of work that counted.

-- One row for each that may guess: a device or a session of an account, or all strangers, whose device is empty. Of an
-- address without an account there is a row, too, so that both are answered alike.
CREATE TABLE doorwarden_attempts (
    account bytea NOT NULL CHECK (length(account) = 16),
    device bytea NOT NULL CHECK (length(device) IN (0, 16)),
    user_id bigint REFERENCES users ON DELETE CASCADE,
    -- Wrong passwords since the last right one.
    failures bigint NOT NULL,
    at timestamptz NOT NULL,
    -- When the user was last told of them.
    noticed_at timestamptz,
    PRIMARY KEY (account, device)
);
CREATE INDEX doorwarden_attempts_by_user ON doorwarden_attempts (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX doorwarden_attempts_at_nobody ON doorwarden_attempts (at) WHERE user_id IS NULL;

CREATE TABLE doorwarden_work (
    id bytea PRIMARY KEY CHECK (length(id) = 32),
    expires_at timestamptz NOT NULL
);
CREATE INDEX doorwarden_work_by_expiry ON doorwarden_work (expires_at);

CREATE FUNCTION doorwarden_settle_attempts() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM doorwarden_attempts WHERE user_id = NEW.id AND device <> '';
    UPDATE doorwarden_attempts SET failures = 0 WHERE user_id = NEW.id AND failures > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER doorwarden_user_attempts_settled AFTER UPDATE OF last_login, password ON users FOR EACH ROW
    EXECUTE FUNCTION doorwarden_settle_attempts();
ALTER TABLE users ENABLE ALWAYS TRIGGER doorwarden_user_attempts_settled;

-- Buckets that instances count in together. What is lost when the server crashes is a minute of counting.
CREATE UNLOGGED TABLE doorwarden_buckets (
    key bytea PRIMARY KEY CHECK (length(key) = 16),
    empty_at timestamptz NOT NULL
);
CREATE INDEX doorwarden_buckets_by_end ON doorwarden_buckets (empty_at);
