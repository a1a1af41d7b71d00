-- What decides about a refresh token that comes back (the module `refresh` of the core), and whom a session's access tokens
-- are for. No index on any of it: it changes with every rotation.
ALTER TABLE doorwarden_sessions ADD COLUMN rotated_at INTEGER;
ALTER TABLE doorwarden_sessions ADD COLUMN late_repeats INTEGER NOT NULL DEFAULT 0 CHECK (late_repeats BETWEEN 0 AND 255);
ALTER TABLE doorwarden_sessions ADD COLUMN repeated_at_counter INTEGER;
ALTER TABLE doorwarden_sessions ADD COLUMN late_repeat_at INTEGER;
ALTER TABLE doorwarden_sessions ADD COLUMN audience TEXT;
