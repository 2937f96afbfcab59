{{ config(indexes=[{'columns': ['metric_date', 'tenant_id'], 'unique': true}]) }}
WITH component AS (
    SELECT tenant_id,
           CASE WHEN total_users = 0 THEN 0
                ELSE least(100, (20000 * active_users + 70 * total_users) / (140 * total_users)) END AS login,
           CASE WHEN cases_closed_30d = 0 THEN 100
                ELSE least(100, (20000 * cases_closed_on_time_30d + 90 * cases_closed_30d) / (180 * cases_closed_30d)) END AS cases,
           CASE WHEN assignments_total = 0 THEN 100
                ELSE least(100, (20000 * assignments_completed + 85 * assignments_total) / (170 * assignments_total)) END AS campaigns,
           least(100, (20000 * adopted + 60 * tracked) / (120 * tracked)) AS features,
           greatest(0, 100 - 10 * support_tickets) AS tickets
    FROM {{ ref('usage_metrics') }}
    JOIN (SELECT tenant_id, count(*) FILTER (WHERE is_adopted) AS adopted, count(*) AS tracked FROM {{ ref('feature_adoption') }}
          WHERE metric_date = {{ day() }} GROUP BY tenant_id) AS adoption USING (tenant_id)
    WHERE metric_date = {{ day() }}
), overall AS (
    SELECT *, ((2 * (20 * login + 25 * cases + 25 * campaigns + 15 * features + 15 * tickets) + 100) / 200)::int AS overall
    FROM component
), changed AS (
    SELECT overall.*, {% if is_incremental() %}before.overall_score{% else %}NULL::int{% endif %} AS previous
    FROM overall
    {% if is_incremental() %}
    LEFT JOIN {{ this }} AS before ON before.tenant_id = overall.tenant_id AND before.metric_date = {{ day() }} - 1
    {% endif %}
), trended AS (
    SELECT *, CASE WHEN overall - previous > 5 THEN 'IMPROVING' WHEN overall - previous < -5 THEN 'DECLINING'
                   ELSE 'STABLE' END AS trend
    FROM changed
), judged AS (
    SELECT *, CASE WHEN overall < 40 OR (overall < 60 AND trend = 'DECLINING') THEN 'HIGH'
                   WHEN overall < 70 OR trend = 'DECLINING' THEN 'MEDIUM' ELSE 'LOW' END AS risk
    FROM trended
)
SELECT {{ day() }} AS metric_date, tenant_id, login::int AS login_score, cases::int AS case_resolution_score,
       campaigns::int AS campaign_completion_score, features::int AS feature_adoption_score, tickets::int AS support_ticket_score,
       overall AS overall_score, 1::float8 AS coverage, previous AS previous_score, overall - previous AS score_change, trend,
       risk AS risk_level,
       CASE WHEN risk = 'LOW' THEN 'NONE' WHEN risk = 'MEDIUM' AND alert_level = 'PROACTIVE' THEN 'DASHBOARD_ONLY'
            ELSE alert_level END AS alert_level, '{{ var("policy_version") }}'::text AS policy_version
FROM judged JOIN {{ ref('tenants_at') }} USING (tenant_id)
