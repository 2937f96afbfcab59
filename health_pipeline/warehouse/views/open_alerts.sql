-- What the newest snapshot has is unresolved: there is no later one that could lack it.
WITH newest AS (
    SELECT greatest(
        (SELECT max(metric_date) FROM health.alert_snapshots),
        (SELECT max(metric_date) FROM health.client_momentum_alerts)
    ) AS metric_date
),
unresolved AS (
    SELECT
        alert.metric_date,
        alert.tenant_id,
        alert.severity,
        EXISTS (
            SELECT FROM health.alert_actions AS action
            WHERE
                action.client_id = alert.client_id
                AND action.alert_type = alert.alert_type
                AND action.subject_id = alert.subject_id
                AND action.opened_on = alert.opened_on
        ) AS is_acknowledged
    FROM health.client_momentum_alerts AS alert
    JOIN newest USING (metric_date)
)
SELECT
    metric_date,
    tenant_id,
    count(*) FILTER (WHERE NOT is_acknowledged) AS open_alerts,
    count(*) FILTER (WHERE NOT is_acknowledged AND severity = 'critical') AS critical_alerts,
    count(*) FILTER (WHERE NOT is_acknowledged AND severity = 'warning') AS warning_alerts,
    count(*) FILTER (WHERE is_acknowledged) AS acknowledged_alerts
FROM unresolved
GROUP BY metric_date, tenant_id
