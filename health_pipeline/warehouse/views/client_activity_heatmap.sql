WITH newest AS (
    SELECT max(metric_date) AS metric_date FROM health.client_engagement
),
client AS (
    SELECT DISTINCT tenant_id, client_id FROM health.client_engagement
)
SELECT
    day.activity_date::date AS activity_date,
    client.tenant_id,
    client.client_id,
    coalesce(engagement.events, 0) AS events,
    coalesce(engagement.high_value_events, 0) AS high_value_events
FROM client
CROSS JOIN newest
CROSS JOIN LATERAL generate_series(
    newest.metric_date - 29, newest.metric_date, interval '1 day'
) AS day (activity_date)
LEFT JOIN health.client_engagement AS engagement
    ON
        engagement.metric_date = day.activity_date::date
        AND engagement.client_id = client.client_id
        AND engagement.tenant_id = client.tenant_id
