{{ config(indexes=[{'columns': ['metric_date']}]) }}
SELECT occurred_at::date AS metric_date, tenant_id, feature_key, count(*) AS uses, min(occurred_at) AS first_at,
       max(occurred_at) AS last_at
FROM app.events
WHERE feature_key IS NOT NULL AND occurred_at < {{ end_at() }}
{% if is_incremental() %} AND occurred_at >= {{ start_at() }} {% endif %}
GROUP BY 1, 2, 3
