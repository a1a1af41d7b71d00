-- Mail, and what is asked of people by mail.

ALTER TABLE users
    ADD COLUMN email_verified_at timestamptz,
    -- The language of mails, as a tag of BCP 47.
    ADD COLUMN locale text CONSTRAINT users_locale_size CHECK (char_length(locale) <= 35),
    -- A new password must be chosen at the next login.
    ADD COLUMN must_change_password boolean NOT NULL DEFAULT false,
    -- When the account will be deleted, if its user wants that.
    ADD COLUMN deletion_at timestamptz;
CREATE INDEX users_deletion_at ON users (deletion_at) WHERE deletion_at IS NOT NULL;

DROP TRIGGER doorwarden_user_updated ON users;
CREATE TRIGGER doorwarden_user_updated AFTER UPDATE ON users
    FOR EACH ROW WHEN (
        (OLD.id, OLD.username, OLD.email, OLD.password, OLD.is_active, OLD.is_staff, OLD.is_superuser, OLD.date_joined,
            OLD.last_login, OLD.metadata::text, OLD.tokens_valid_after, OLD.password_trimmed, OLD.sessions_generation,
            OLD.email_verified_at, OLD.locale, OLD.must_change_password, OLD.deletion_at)
        IS DISTINCT FROM
        (NEW.id, NEW.username, NEW.email, NEW.password, NEW.is_active, NEW.is_staff, NEW.is_superuser, NEW.date_joined,
            NEW.last_login, NEW.metadata::text, NEW.tokens_valid_after, NEW.password_trimmed, NEW.sessions_generation,
            NEW.email_verified_at, NEW.locale, NEW.must_change_password, NEW.deletion_at)
    ) EXECUTE FUNCTION doorwarden_user_changed();

-- Another address is not verified, unless the same statement says so.
CREATE FUNCTION doorwarden_email_unverified() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.email_verified_at := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER doorwarden_email_unverified BEFORE UPDATE OF email ON users
    FOR EACH ROW WHEN (
        lower(NEW.email) <> lower(OLD.email) AND NEW.email_verified_at IS NOT DISTINCT FROM OLD.email_verified_at
    ) EXECUTE FUNCTION doorwarden_email_unverified();

ALTER TABLE users ENABLE ALWAYS TRIGGER doorwarden_user_updated;
ALTER TABLE users ENABLE ALWAYS TRIGGER doorwarden_email_unverified;

-- What somebody is asked to prove. `user_id` is NULL while there is no account. A challenge counts only under the
-- generation of its user's sessions and, if `of_current_email`, while the account has this address.
CREATE TABLE doorwarden_challenges (
    id uuid PRIMARY KEY,
    purpose text NOT NULL,
    user_id bigint,
    email text NOT NULL,
    email_key text COLLATE "C" NOT NULL,
    of_current_email boolean NOT NULL,
    generation bigint,
    token_hash bytea UNIQUE CHECK (octet_length(token_hash) = 32),
    key_hash bytea UNIQUE CHECK (octet_length(key_hash) = 32),
    code_hash bytea CHECK (octet_length(code_hash) = 32),
    username_key text COLLATE "C",
    data text NOT NULL,
    -- How many codes were tried, and how many of these for others of the same purpose and address.
    attempts integer NOT NULL,
    carried_attempts integer NOT NULL,
    created_at timestamptz NOT NULL,
    sent_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    spent_at timestamptz,
    CONSTRAINT doorwarden_challenge_user FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE
);
CREATE INDEX doorwarden_challenges_by_email ON doorwarden_challenges (email_key, purpose, created_at);
CREATE INDEX doorwarden_challenges_by_user ON doorwarden_challenges (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX doorwarden_challenges_by_expiry ON doorwarden_challenges (expires_at);
CREATE UNIQUE INDEX doorwarden_challenges_reserve ON doorwarden_challenges (username_key)
    WHERE username_key IS NOT NULL AND spent_at IS NULL;

-- Mails that wait, and for a while those that were sent or given up, without what they said.
CREATE TABLE doorwarden_outbox (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    recipient text NOT NULL,
    user_id bigint,
    locale text NOT NULL,
    sealed bytea NOT NULL,
    state text NOT NULL CHECK (state IN ('queued', 'sent', 'failed', 'decoy')),
    attempts integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    error text,
    CONSTRAINT doorwarden_mail_user FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE
);
CREATE INDEX doorwarden_outbox_due ON doorwarden_outbox (due_at) WHERE state = 'queued';
CREATE INDEX doorwarden_outbox_done ON doorwarden_outbox (due_at) WHERE state <> 'queued';
CREATE INDEX doorwarden_outbox_by_user ON doorwarden_outbox (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX doorwarden_outbox_by_recipient ON doorwarden_outbox (lower(recipient));

-- Nothing that has the address of an account outlives it.
CREATE FUNCTION doorwarden_user_forgotten() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM doorwarden_challenges WHERE email_key = OLD.email_key;
    DELETE FROM doorwarden_outbox WHERE lower(recipient) = lower(OLD.email);
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION doorwarden_user_forgotten() FROM PUBLIC;
CREATE TRIGGER doorwarden_user_forgotten AFTER DELETE ON users
    FOR EACH ROW EXECUTE FUNCTION doorwarden_user_forgotten();
ALTER TABLE users ENABLE ALWAYS TRIGGER doorwarden_user_forgotten;
