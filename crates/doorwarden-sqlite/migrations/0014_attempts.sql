-- Attempts at passwords, and proofs of work that counted. Instants in microseconds since 1970.

-- One row for each that may guess: a device or a session of an account, or all strangers, whose device is empty. Of an
-- address without an account there is a row, too, so that both are answered alike.
CREATE TABLE doorwarden_attempts (
    account BLOB NOT NULL CHECK (length(account) = 16),
    device BLOB NOT NULL CHECK (length(device) IN (0, 16)),
    user_id INTEGER REFERENCES users ON DELETE CASCADE,
    -- Wrong passwords since the last right one.
    failures INTEGER NOT NULL,
    at INTEGER NOT NULL,
    -- When the user was last told of them.
    noticed_at INTEGER,
    PRIMARY KEY (account, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX doorwarden_attempts_by_user ON doorwarden_attempts (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX doorwarden_attempts_at_nobody ON doorwarden_attempts (at) WHERE user_id IS NULL;

CREATE TABLE doorwarden_work (
    id BLOB PRIMARY KEY CHECK (length(id) = 32),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX doorwarden_work_by_expiry ON doorwarden_work (expires_at);

CREATE TRIGGER doorwarden_user_attempts_settled AFTER UPDATE OF last_login, password ON users BEGIN
    DELETE FROM doorwarden_attempts WHERE user_id = NEW.id AND device <> x'';
    UPDATE doorwarden_attempts SET failures = 0 WHERE user_id = NEW.id AND failures > 0;
END;
-- Also for connections that do not enforce foreign keys.
CREATE TRIGGER doorwarden_user_attempts_deleted AFTER DELETE ON users BEGIN
    DELETE FROM doorwarden_attempts WHERE user_id = OLD.id;
END;
