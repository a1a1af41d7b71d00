-- Of sessions beyond the limit those end first that were not used for the longest time. A use is noted once a minute and
-- written behind, so a session that was used since it was opened may be in use for 90 seconds longer than is written.
CREATE OR REPLACE FUNCTION doorwarden_end_surplus(
    owner bigint, current bigint, most bigint, new uuid, moment timestamptz, highest bigint
) RETURNS uuid[] LANGUAGE sql SET search_path FROM CURRENT AS $$
    WITH those AS (
        SELECT id, expires_at, last_seen_at
            + CASE WHEN last_seen_at > created_at THEN interval '90 seconds' ELSE interval '0' END AS used_at
        FROM doorwarden_sessions
        WHERE user_id = owner AND generation = current AND ended_at IS NULL LIMIT 10000
    ), living AS (
        SELECT id, used_at FROM those WHERE expires_at > moment
    ), surplus AS (
        SELECT id FROM living WHERE id IS DISTINCT FROM new ORDER BY used_at, id
        LIMIT least(greatest((SELECT count(*) FROM living) - most, 0), highest)
    ), ended AS (
        UPDATE doorwarden_sessions SET ended_at = moment, end_reason = 'limit'
        FROM surplus WHERE doorwarden_sessions.id = surplus.id AND ended_at IS NULL RETURNING surplus.id
    )
    SELECT coalesce(array_agg(id), '{}') FROM ended
$$;
