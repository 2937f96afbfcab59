-- An episode ends with the first partition after those that have it; later snapshots of the same opening are one episode.
WITH episode AS (
    SELECT
        tenant_id,
        client_id,
        alert_type,
        subject_id,
        opened_on,
        max(metric_date) AS last_seen_on,
        CASE WHEN bool_or(severity = 'critical') THEN 'critical' ELSE 'warning' END AS severity
    FROM health.client_momentum_alerts
    GROUP BY tenant_id, client_id, alert_type, subject_id, opened_on
),
-- Days with alerts count as computed even where nothing recorded it.
snapshot AS (
    SELECT metric_date FROM health.alert_snapshots
    UNION
    SELECT DISTINCT metric_date FROM health.client_momentum_alerts
),
next_snapshot AS (
    SELECT metric_date, lead(metric_date) OVER (ORDER BY metric_date) AS next_date FROM snapshot
),
keyed AS (
    -- The length before the client makes the text of each episode its own.
    SELECT
        to_char(episode.opened_on, 'YYYY-MM-DD') || '-' || left(encode(sha256(convert_to(concat_ws(
            ':', length(episode.client_id), episode.client_id, episode.alert_type, episode.subject_id
        ), 'UTF8')), 'hex'), 16) AS alert_key,
        episode.*,
        next_snapshot.next_date AS resolved_on
    FROM episode
    JOIN next_snapshot ON next_snapshot.metric_date = episode.last_seen_on
)
SELECT
    keyed.alert_key,
    keyed.tenant_id,
    keyed.client_id,
    keyed.alert_type,
    keyed.subject_id,
    keyed.severity,
    keyed.opened_on,
    keyed.last_seen_on,
    keyed.resolved_on,
    CASE
        WHEN keyed.resolved_on IS NOT NULL THEN 'resolved'
        WHEN action.alert_key IS NOT NULL THEN 'acknowledged'
        ELSE 'open'
    END AS status,
    action.acknowledged_by,
    action.acknowledged_at,
    action.note
FROM keyed
LEFT JOIN health.alert_actions AS action ON action.alert_key = keyed.alert_key
