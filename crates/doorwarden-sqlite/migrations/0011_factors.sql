-- Second factors and passkeys. Instants in microseconds since 1970.

-- Whether the user has a confirmed factor: every session needs it. Kept by the triggers below.
ALTER TABLE users ADD COLUMN has_factor INTEGER NOT NULL DEFAULT 0 CHECK (has_factor IN (0, 1));

CREATE TABLE doorwarden_factors (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('totp', 'webauthn', 'recovery_codes')),
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    confirmed_at INTEGER,
    last_used_at INTEGER,
    -- The secret of a TOTP, or the key of the hashes of recovery codes.
    sealed BLOB,
    -- The newest step of which a code was accepted, and the wrong codes since the last right one.
    last_step INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    disabled_at INTEGER,
    credential_id BLOB UNIQUE CHECK (length(credential_id) BETWEEN 1 AND 1023),
    -- What is known of a passkey, as JSON.
    credential TEXT,
    CHECK ((kind = 'webauthn') = (credential_id IS NOT NULL)),
    CHECK ((kind = 'webauthn') = (credential IS NOT NULL)),
    CHECK ((kind = 'webauthn') = (sealed IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX doorwarden_factors_by_user ON doorwarden_factors (user_id);
CREATE UNIQUE INDEX doorwarden_factors_one_set_of_codes ON doorwarden_factors (user_id) WHERE kind = 'recovery_codes';

CREATE TABLE doorwarden_recovery_codes (
    factor_id BLOB NOT NULL REFERENCES doorwarden_factors ON DELETE CASCADE,
    code_hash BLOB NOT NULL CHECK (length(code_hash) = 32),
    used_at INTEGER,
    PRIMARY KEY (factor_id, code_hash)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER doorwarden_factor_added AFTER INSERT ON doorwarden_factors
WHEN NEW.confirmed_at IS NOT NULL AND NEW.kind <> 'recovery_codes' BEGIN
    UPDATE users SET has_factor = 1 WHERE id = NEW.user_id AND NOT has_factor;
END;
CREATE TRIGGER doorwarden_factor_changed AFTER UPDATE OF confirmed_at, user_id ON doorwarden_factors
WHEN NEW.confirmed_at IS NOT OLD.confirmed_at OR NEW.user_id <> OLD.user_id BEGIN
    UPDATE users SET has_factor = EXISTS (
        SELECT 1 FROM doorwarden_factors f
        WHERE f.user_id = users.id AND f.confirmed_at IS NOT NULL AND f.kind <> 'recovery_codes'
    ) WHERE id IN (OLD.user_id, NEW.user_id);
END;
CREATE TRIGGER doorwarden_factor_removed AFTER DELETE ON doorwarden_factors BEGIN
    DELETE FROM doorwarden_recovery_codes WHERE factor_id = OLD.id;
    UPDATE users SET has_factor = EXISTS (
        SELECT 1 FROM doorwarden_factors f
        WHERE f.user_id = users.id AND f.confirmed_at IS NOT NULL AND f.kind <> 'recovery_codes'
    ) WHERE id = OLD.user_id AND has_factor AND OLD.kind <> 'recovery_codes';
END;
CREATE TRIGGER doorwarden_user_factor_updated AFTER UPDATE OF has_factor ON users
WHEN NEW.has_factor <> OLD.has_factor BEGIN
    -- The trigger of a deleted factor may have led here, and is not run within itself.
    DELETE FROM doorwarden_recovery_codes WHERE NOT NEW.has_factor AND factor_id IN (
        SELECT id FROM doorwarden_factors WHERE user_id = NEW.id AND kind = 'recovery_codes'
    );
    DELETE FROM doorwarden_factors WHERE user_id = NEW.id AND kind = 'recovery_codes' AND NOT NEW.has_factor;
    INSERT INTO doorwarden_changes (kind, ref) VALUES ('user', NEW.id);
END;
-- Also for connections that do not enforce foreign keys.
CREATE TRIGGER doorwarden_user_factors_deleted AFTER DELETE ON users BEGIN
    DELETE FROM doorwarden_factors WHERE user_id = OLD.id;
END;
