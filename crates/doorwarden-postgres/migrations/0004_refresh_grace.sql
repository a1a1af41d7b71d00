-- What decides about a refresh token that comes back (the module `refresh` of the core), and whom a session's access tokens
-- are for. No index on any of it: it changes with every rotation.
ALTER TABLE doorwarden_sessions
    ADD COLUMN rotated_at timestamptz,
    ADD COLUMN late_repeats smallint NOT NULL DEFAULT 0 CHECK (late_repeats BETWEEN 0 AND 255),
    ADD COLUMN repeated_at_counter bigint,
    ADD COLUMN late_repeat_at timestamptz,
    ADD COLUMN audience text;
