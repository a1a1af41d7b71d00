-- The rows of which the client is still to be forgotten.
CREATE INDEX doorwarden_audit_with_client ON doorwarden_audit (at)
    WHERE address IS NOT NULL OR user_agent IS NOT NULL;
