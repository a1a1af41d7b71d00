-- Second factors and passkeys.

-- Whether the user has a confirmed factor: every session needs it. Kept by the triggers below.
ALTER TABLE users ADD COLUMN has_factor boolean NOT NULL DEFAULT false;

DROP TRIGGER doorwarden_user_updated ON users;
CREATE TRIGGER doorwarden_user_updated AFTER UPDATE ON users
    FOR EACH ROW WHEN (
        (OLD.id, OLD.username, OLD.email, OLD.password, OLD.is_active, OLD.is_staff, OLD.is_superuser, OLD.date_joined,
            OLD.last_login, OLD.metadata::text, OLD.tokens_valid_after, OLD.password_trimmed, OLD.sessions_generation,
            OLD.email_verified_at, OLD.locale, OLD.must_change_password, OLD.deletion_at, OLD.has_factor)
        IS DISTINCT FROM
        (NEW.id, NEW.username, NEW.email, NEW.password, NEW.is_active, NEW.is_staff, NEW.is_superuser, NEW.date_joined,
            NEW.last_login, NEW.metadata::text, NEW.tokens_valid_after, NEW.password_trimmed, NEW.sessions_generation,
            NEW.email_verified_at, NEW.locale, NEW.must_change_password, NEW.deletion_at, NEW.has_factor)
    ) EXECUTE FUNCTION doorwarden_user_changed();
ALTER TABLE users ENABLE ALWAYS TRIGGER doorwarden_user_updated;

CREATE TABLE doorwarden_factors (
    id uuid PRIMARY KEY,
    user_id bigint NOT NULL,
    kind text NOT NULL CHECK (kind IN ('totp', 'webauthn', 'recovery_codes')),
    name text NOT NULL,
    created_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    last_used_at timestamptz,
    -- The secret of a TOTP, or the key of the hashes of recovery codes.
    sealed bytea,
    -- The newest step of which a code was accepted, and the wrong codes since the last right one.
    last_step bigint,
    failures integer NOT NULL DEFAULT 0,
    disabled_at timestamptz,
    credential_id bytea UNIQUE CHECK (octet_length(credential_id) BETWEEN 1 AND 1023),
    -- What is known of a passkey, as JSON.
    credential text,
    CHECK ((kind = 'webauthn') = (credential_id IS NOT NULL)),
    CHECK ((kind = 'webauthn') = (credential IS NOT NULL)),
    CHECK ((kind = 'webauthn') = (sealed IS NULL)),
    CONSTRAINT doorwarden_factor_user FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE
);
CREATE INDEX doorwarden_factors_by_user ON doorwarden_factors (user_id);
CREATE UNIQUE INDEX doorwarden_factors_one_set_of_codes ON doorwarden_factors (user_id) WHERE kind = 'recovery_codes';

CREATE TABLE doorwarden_recovery_codes (
    factor_id uuid NOT NULL REFERENCES doorwarden_factors ON DELETE CASCADE,
    code_hash bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    used_at timestamptz,
    PRIMARY KEY (factor_id, code_hash)
);

CREATE FUNCTION doorwarden_factor_changed() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    owners bigint[] := CASE TG_OP
        WHEN 'INSERT' THEN ARRAY[NEW.user_id] WHEN 'DELETE' THEN ARRAY[OLD.user_id] ELSE ARRAY[OLD.user_id, NEW.user_id]
    END;
BEGIN
    UPDATE users u SET has_factor = NOT u.has_factor WHERE u.id = ANY (owners) AND u.has_factor <> EXISTS (
        SELECT FROM doorwarden_factors f
        WHERE f.user_id = u.id AND f.confirmed_at IS NOT NULL AND f.kind <> 'recovery_codes'
    );
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM doorwarden_factors f USING users u
        WHERE f.user_id = ANY (owners) AND f.kind = 'recovery_codes' AND u.id = f.user_id AND NOT u.has_factor;
    END IF;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION doorwarden_factor_changed() FROM PUBLIC;
CREATE TRIGGER doorwarden_factor_added AFTER INSERT ON doorwarden_factors
    FOR EACH ROW WHEN (NEW.confirmed_at IS NOT NULL AND NEW.kind <> 'recovery_codes')
    EXECUTE FUNCTION doorwarden_factor_changed();
CREATE TRIGGER doorwarden_factor_changed AFTER UPDATE ON doorwarden_factors
    FOR EACH ROW WHEN (OLD.confirmed_at IS DISTINCT FROM NEW.confirmed_at OR OLD.user_id <> NEW.user_id)
    EXECUTE FUNCTION doorwarden_factor_changed();
CREATE TRIGGER doorwarden_factor_removed AFTER DELETE ON doorwarden_factors
    FOR EACH ROW WHEN (OLD.kind <> 'recovery_codes') EXECUTE FUNCTION doorwarden_factor_changed();
ALTER TABLE doorwarden_factors ENABLE ALWAYS TRIGGER doorwarden_factor_added;
ALTER TABLE doorwarden_factors ENABLE ALWAYS TRIGGER doorwarden_factor_changed;
ALTER TABLE doorwarden_factors ENABLE ALWAYS TRIGGER doorwarden_factor_removed;

-- Ends the sessions of a user whose row is locked, but one; which is authenticated otherwise from now on.
CREATE FUNCTION doorwarden_end_but(owner bigint, but uuid, why text, moment timestamptz) RETURNS bigint
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    next bigint := (SELECT sessions_generation + 1 FROM users WHERE id = owner);
    ended bigint := doorwarden_end_sessions(owner, next, but, why, moment);
BEGIN
    UPDATE users SET sessions_generation = next WHERE id = owner;
    RETURN ended;
END $$;

-- Recovery codes in the place of the old ones.
CREATE FUNCTION doorwarden_replace_codes(owner bigint, codes uuid, codes_sealed bytea, hashes bytea[], moment timestamptz)
    RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM doorwarden_factors WHERE user_id = owner AND kind = 'recovery_codes';
    INSERT INTO doorwarden_factors (id, user_id, kind, name, created_at, confirmed_at, sealed)
        VALUES (codes, owner, 'recovery_codes', '', moment, moment, codes_sealed);
    INSERT INTO doorwarden_recovery_codes (factor_id, code_hash) SELECT codes, unnest(hashes);
END $$;

-- Confirms a factor that was made since `since`, or stores a new one if that is NULL. The first one brings recovery
-- codes, and ends every session that has not proved it. NULL, and nothing happens, if there is none to be confirmed.
CREATE FUNCTION doorwarden_confirm_factor(
    owner bigint, factor uuid, since timestamptz, moment timestamptz, most bigint,
    new_kind text, new_name text, new_sealed bytea, new_step bigint, new_credential_id bytea, new_credential text,
    codes uuid, codes_sealed bytea, hashes bytea[], kept uuid, new_amr text, new_level smallint
) RETURNS text LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    had boolean;
BEGIN
    SELECT has_factor INTO had FROM users WHERE id = owner AND is_active FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF most <= (
        SELECT count(*) FROM doorwarden_factors
        WHERE user_id = owner AND confirmed_at IS NOT NULL AND kind <> 'recovery_codes'
    ) THEN
        RAISE check_violation USING CONSTRAINT = 'doorwarden_factors_most', MESSAGE = 'there are too many factors';
    END IF;
    IF since IS NULL THEN
        INSERT INTO doorwarden_factors
            (id, user_id, kind, name, created_at, confirmed_at, sealed, last_step, credential_id, credential)
            VALUES (factor, owner, new_kind, new_name, moment, moment, new_sealed, new_step, new_credential_id, new_credential);
    ELSE
        UPDATE doorwarden_factors SET confirmed_at = moment, last_used_at = moment, last_step = new_step
            WHERE id = factor AND user_id = owner AND confirmed_at IS NULL AND created_at >= since;
        IF NOT FOUND THEN
            RETURN NULL;
        END IF;
    END IF;
    IF NOT had THEN
        PERFORM doorwarden_replace_codes(owner, codes, codes_sealed, hashes, moment);
        PERFORM doorwarden_end_but(owner, kept, 'factor_added', moment);
    END IF;
    UPDATE doorwarden_sessions SET amr = new_amr, auth_time = moment, assurance_level = new_level
        WHERE id = kept AND user_id = owner AND ended_at IS NULL;
    RETURN CASE WHEN had THEN 'added' ELSE 'first' END;
END $$;

-- Deletes a factor and ends the sessions of its user but one; NULL, and nothing happens, if there is none, or it is the
-- last one and stays.
CREATE FUNCTION doorwarden_remove_factor(owner bigint, factor uuid, kept uuid, keeps_last boolean, moment timestamptz)
    RETURNS boolean LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM users WHERE id = owner FOR NO KEY UPDATE;
    DELETE FROM doorwarden_factors f
        WHERE f.id = factor AND f.user_id = owner AND f.confirmed_at IS NOT NULL AND f.kind <> 'recovery_codes'
        AND (NOT keeps_last OR EXISTS (
            SELECT FROM doorwarden_factors other WHERE other.user_id = owner AND other.id <> factor
                AND other.confirmed_at IS NOT NULL AND other.kind <> 'recovery_codes'
        ));
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM doorwarden_end_but(owner, kept, 'factor_removed', moment);
    RETURN true;
END $$;
