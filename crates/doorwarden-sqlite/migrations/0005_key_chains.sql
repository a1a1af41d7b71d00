-- Each algorithm has a chain of keys of its own: a key follows at most one other of its algorithm, and the first of a chain
-- none. `signs_until` ends a chain whose algorithm is no longer offered.
CREATE TABLE doorwarden_keys_in_chains (
    kid TEXT PRIMARY KEY,
    algorithm TEXT NOT NULL,
    sealed BLOB NOT NULL,
    public_jwk TEXT NOT NULL,
    predecessor TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    signs_from INTEGER NOT NULL,
    signs_until INTEGER,
    revoked_at INTEGER,
    UNIQUE (algorithm, predecessor)
) STRICT, WITHOUT ROWID;

-- Until now a key could follow one of another algorithm, which it then ended.
INSERT INTO doorwarden_keys_in_chains
SELECT kid, algorithm, sealed, public_jwk, predecessor, created_at, signs_from, (
    SELECT next.signs_from FROM doorwarden_keys next
    WHERE next.predecessor = key.kid AND next.algorithm <> key.algorithm AND next.revoked_at IS NULL
), revoked_at
FROM doorwarden_keys key;

DROP TABLE doorwarden_keys;
ALTER TABLE doorwarden_keys_in_chains RENAME TO doorwarden_keys;

CREATE TRIGGER doorwarden_key_added AFTER INSERT ON doorwarden_keys BEGIN
    INSERT INTO doorwarden_changes (kind) VALUES ('keys');
END;
CREATE TRIGGER doorwarden_key_removed AFTER DELETE ON doorwarden_keys BEGIN
    INSERT INTO doorwarden_changes (kind) VALUES ('keys');
END;
CREATE TRIGGER doorwarden_key_changed AFTER UPDATE ON doorwarden_keys BEGIN
    INSERT INTO doorwarden_changes (kind) VALUES ('keys');
END;
