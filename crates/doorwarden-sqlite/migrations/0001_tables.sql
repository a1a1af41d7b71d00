-- The table `users` is a public contract: applications may read it, join it and write it by hand. Everything else is
-- Doorwarden's own and begins with `doorwarden_`.

CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    username TEXT NOT NULL,
    email TEXT NOT NULL,
    password TEXT NOT NULL,
    is_active INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    is_staff INTEGER NOT NULL DEFAULT 0 CHECK (is_staff IN (0, 1)),
    is_superuser INTEGER NOT NULL DEFAULT 0 CHECK (is_superuser IN (0, 1)),
    -- RFC 3339 with six decimals and Z (2026-11-23T18:56:05.000000Z), so that the text sorts like the instant. A check
    -- refuses anything else: an account that cannot be read could not log in.
    date_joined TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'),
    last_login TEXT,
    metadata TEXT NOT NULL DEFAULT '{}',
    password_trimmed INTEGER NOT NULL DEFAULT 0 CHECK (password_trimmed IN (0, 1)),
    tokens_valid_after TEXT,
    -- The folded forms in which address and name are unique. Filled by a trigger if a statement leaves them out.
    email_key TEXT,
    username_key TEXT,
    CONSTRAINT users_email_unique UNIQUE (email_key),
    CONSTRAINT users_username_unique UNIQUE (username_key),
    CONSTRAINT users_metadata_object CHECK (json_valid(metadata) AND json_type(metadata) = 'object'),
    CONSTRAINT users_metadata_size CHECK (length(CAST(metadata AS BLOB)) <= 16384),
    CONSTRAINT users_sizes CHECK (
        length(CAST(username AS BLOB)) <= 1024 AND length(CAST(email AS BLOB)) <= 1024
        AND length(CAST(password AS BLOB)) <= 2048
    ),
    CONSTRAINT users_date_joined_is_rfc3339_with_six_decimals CHECK (date_joined GLOB
        '[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z'),
    CONSTRAINT users_last_login_is_rfc3339_with_six_decimals CHECK (last_login GLOB
        '[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z'),
    CONSTRAINT users_tokens_valid_after_is_rfc3339_with_six_decimals CHECK (tokens_valid_after GLOB
        '[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z')
) STRICT;

CREATE INDEX users_tokens_valid_after ON users (tokens_valid_after) WHERE tokens_valid_after IS NOT NULL;
CREATE INDEX users_username_prefix ON users (lower(username));
CREATE INDEX users_email_prefix ON users (lower(email));

CREATE TABLE doorwarden_permissions (
    name TEXT PRIMARY KEY CHECK (length(name) <= 201),
    label TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE doorwarden_groups (
    name TEXT PRIMARY KEY CHECK (length(name) <= 150)
) STRICT, WITHOUT ROWID;

CREATE TABLE doorwarden_user_permissions (
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    permission TEXT NOT NULL REFERENCES doorwarden_permissions ON DELETE CASCADE ON UPDATE CASCADE,
    PRIMARY KEY (user_id, permission)
) STRICT, WITHOUT ROWID;
CREATE INDEX doorwarden_user_permissions_by_permission ON doorwarden_user_permissions (permission);

CREATE TABLE doorwarden_group_permissions (
    group_name TEXT NOT NULL REFERENCES doorwarden_groups ON DELETE CASCADE ON UPDATE CASCADE,
    permission TEXT NOT NULL REFERENCES doorwarden_permissions ON DELETE CASCADE ON UPDATE CASCADE,
    PRIMARY KEY (group_name, permission)
) STRICT, WITHOUT ROWID;
CREATE INDEX doorwarden_group_permissions_by_permission ON doorwarden_group_permissions (permission);

CREATE TABLE doorwarden_user_groups (
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    group_name TEXT NOT NULL REFERENCES doorwarden_groups ON DELETE CASCADE ON UPDATE CASCADE,
    PRIMARY KEY (user_id, group_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX doorwarden_user_groups_by_group ON doorwarden_user_groups (group_name);

-- No foreign key to users: a session outlives its user, so that its end can be told. No index on what a rotation
-- changes (refresh_counter, last_seen_at). Instants in microseconds since 1970.
CREATE TABLE doorwarden_sessions (
    id BLOB PRIMARY KEY CHECK (length(id) = 16),
    user_id INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    auth_time INTEGER NOT NULL,
    assurance_level INTEGER NOT NULL CHECK (assurance_level BETWEEN 0 AND 255),
    refresh_counter INTEGER,
    idle_seconds INTEGER,
    amr TEXT NOT NULL,
    client_id TEXT,
    address TEXT,
    user_agent TEXT,
    ended_at INTEGER,
    end_reason TEXT,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX doorwarden_sessions_by_user ON doorwarden_sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX doorwarden_sessions_by_end ON doorwarden_sessions (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX doorwarden_sessions_by_expiry ON doorwarden_sessions (expires_at);

CREATE TABLE doorwarden_keys (
    kid TEXT PRIMARY KEY,
    algorithm TEXT NOT NULL,
    sealed BLOB NOT NULL,
    public_jwk TEXT NOT NULL,
    predecessor TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    signs_from INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;

-- What changed, for live views, which read on from the last number that they know. AUTOINCREMENT: numbers go up by one
-- with each row, also after the log was purged.
CREATE TABLE doorwarden_changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL CHECK (kind IN ('user', 'all_users', 'session', 'keys', 'everything')),
    ref ANY,
    at INTEGER NOT NULL DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER))
) STRICT;
