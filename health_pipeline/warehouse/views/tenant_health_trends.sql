SELECT
    today.metric_date,
    today.tenant_id,
    today.overall_score,
    today.overall_score - day_1.overall_score AS change_1d,
    today.overall_score - day_7.overall_score AS change_7d,
    today.overall_score - day_30.overall_score AS change_30d,
    today.overall_score - day_90.overall_score AS change_90d
FROM health.tenant_health_scores AS today
LEFT JOIN health.tenant_health_scores AS day_1
    ON day_1.tenant_id = today.tenant_id AND day_1.metric_date = today.metric_date - 1
LEFT JOIN health.tenant_health_scores AS day_7
    ON day_7.tenant_id = today.tenant_id AND day_7.metric_date = today.metric_date - 7
LEFT JOIN health.tenant_health_scores AS day_30
    ON day_30.tenant_id = today.tenant_id AND day_30.metric_date = today.metric_date - 30
LEFT JOIN health.tenant_health_scores AS day_90
    ON day_90.tenant_id = today.tenant_id AND day_90.metric_date = today.metric_date - 90
