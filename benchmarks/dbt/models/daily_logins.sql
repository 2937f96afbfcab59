{{ config(indexes=[{'columns': ['metric_date']}]) }}
SELECT DISTINCT occurred_at::date AS metric_date, tenant_id, user_id
FROM app.events
WHERE event_type = 'login' AND occurred_at < {{ end_at() }}
{% if is_incremental() %} AND occurred_at >= {{ start_at() }} {% endif %}
