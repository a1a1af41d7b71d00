-- Mail, and what is asked of people by mail.

ALTER TABLE users ADD COLUMN email_verified_at TEXT
    CONSTRAINT users_email_verified_at_is_rfc3339_with_six_decimals CHECK (email_verified_at GLOB
        '[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z');
-- The language of mails, as a tag of BCP 47.
ALTER TABLE users ADD COLUMN locale TEXT CHECK (length(locale) <= 35);
-- A new password must be chosen at the next login.
ALTER TABLE users ADD COLUMN must_change_password INTEGER NOT NULL DEFAULT 0 CHECK (must_change_password IN (0, 1));
-- When the account will be deleted, if its user wants that.
ALTER TABLE users ADD COLUMN deletion_at TEXT
    CONSTRAINT users_deletion_at_is_rfc3339_with_six_decimals CHECK (deletion_at GLOB
        '[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z');
CREATE INDEX users_deletion_at ON users (deletion_at) WHERE deletion_at IS NOT NULL;

CREATE TRIGGER doorwarden_user_life_updated AFTER UPDATE OF
    email_verified_at, locale, must_change_password, deletion_at
ON users WHEN
    NEW.email_verified_at IS NOT OLD.email_verified_at OR NEW.locale IS NOT OLD.locale
    OR NEW.must_change_password IS NOT OLD.must_change_password OR NEW.deletion_at IS NOT OLD.deletion_at
BEGIN
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', NEW.id);
END;

-- Another address is not verified, unless the same statement says so.
CREATE TRIGGER doorwarden_email_unverified AFTER UPDATE OF email ON users
WHEN lower(NEW.email) IS NOT lower(OLD.email) AND NEW.email_verified_at IS OLD.email_verified_at
    AND NEW.email_verified_at IS NOT NULL
BEGIN
    UPDATE users SET email_verified_at = NULL WHERE id = NEW.id;
END;

-- What somebody is asked to prove. `user_id` is NULL while there is no account. A challenge counts only under the
-- generation of its user's sessions and, if `of_current_email`, while the account has this address. Instants in
-- microseconds since 1970.
CREATE TABLE doorwarden_challenges (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    purpose TEXT NOT NULL,
    user_id INTEGER REFERENCES users ON DELETE CASCADE,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL,
    of_current_email INTEGER NOT NULL CHECK (of_current_email IN (0, 1)),
    generation INTEGER,
    token_hash BLOB UNIQUE CHECK (length(token_hash) = 32),
    key_hash BLOB UNIQUE CHECK (length(key_hash) = 32),
    code_hash BLOB CHECK (length(code_hash) = 32),
    username_key TEXT,
    data TEXT NOT NULL,
    -- How many codes were tried, and how many of these for others of the same purpose and address.
    attempts INTEGER NOT NULL,
    carried_attempts INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    sent_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    spent_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX doorwarden_challenges_by_email ON doorwarden_challenges (email_key, purpose, created_at);
CREATE INDEX doorwarden_challenges_by_user ON doorwarden_challenges (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX doorwarden_challenges_by_expiry ON doorwarden_challenges (expires_at);
CREATE UNIQUE INDEX doorwarden_challenges_reserve ON doorwarden_challenges (username_key)
    WHERE username_key IS NOT NULL AND spent_at IS NULL;

-- Mails that wait, and for a while those that were sent or given up, without what they said.
CREATE TABLE doorwarden_outbox (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    kind TEXT NOT NULL,
    recipient TEXT NOT NULL,
    user_id INTEGER REFERENCES users ON DELETE CASCADE,
    locale TEXT NOT NULL,
    sealed BLOB NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'failed', 'decoy')),
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    error TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX doorwarden_outbox_due ON doorwarden_outbox (due_at) WHERE state = 'queued';
CREATE INDEX doorwarden_outbox_done ON doorwarden_outbox (due_at) WHERE state <> 'queued';
CREATE INDEX doorwarden_outbox_by_user ON doorwarden_outbox (user_id) WHERE user_id IS NOT NULL;

CREATE INDEX doorwarden_outbox_by_recipient ON doorwarden_outbox (lower(recipient));

-- Nothing that has the address of an account outlives it. Also for connections that do not enforce foreign keys.
CREATE TRIGGER doorwarden_user_life_deleted AFTER DELETE ON users BEGIN
    DELETE FROM doorwarden_challenges WHERE user_id = OLD.id OR email_key = OLD.email_key;
    DELETE FROM doorwarden_outbox WHERE user_id = OLD.id OR lower(recipient) = lower(OLD.email);
END;
