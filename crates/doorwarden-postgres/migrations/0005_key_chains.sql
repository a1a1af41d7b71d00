-- Each algorithm has a chain of keys of its own: a key follows at most one other of its algorithm, and the first of a chain
-- none. `signs_until` ends a chain whose algorithm is no longer offered.
ALTER TABLE doorwarden_keys
    DROP CONSTRAINT doorwarden_keys_predecessor_key,
    ADD CONSTRAINT doorwarden_keys_chain UNIQUE (algorithm, predecessor),
    ADD COLUMN signs_until timestamptz;

-- Until now a key could follow one of another algorithm, which it then ended.
UPDATE doorwarden_keys SET signs_until = next.signs_from
FROM doorwarden_keys next
WHERE next.predecessor = doorwarden_keys.kid AND next.algorithm <> doorwarden_keys.algorithm AND next.revoked_at IS NULL;
