{{ config(indexes=[{'columns': ['metric_date', 'metric_name', 'industry_sector', 'employee_band'], 'unique': true}]) }}
WITH metric AS (
    SELECT sector, band, metric_name, value
    FROM {{ ref('tenant_health_scores') }} AS score
    JOIN {{ ref('usage_metrics') }} AS usage USING (metric_date, tenant_id)
    JOIN {{ ref('tenants_at') }} USING (tenant_id)
    CROSS JOIN LATERAL (VALUES
        ('overall_score', overall_score::float8), ('login_score', login_score::float8),
        ('case_resolution_score', case_resolution_score::float8), ('campaign_completion_score', campaign_completion_score::float8),
        ('feature_adoption_score', feature_adoption_score::float8), ('support_ticket_score', support_ticket_score::float8),
        ('active_user_ratio', active_users::float8 / nullif(total_users, 0))
    ) AS metric (metric_name, value)
    WHERE metric_date = {{ day() }}
), cohort AS (
    SELECT metric_name, sector, band, grouping(sector) = 1 AS all_sectors, grouping(band) = 1 AS all_bands,
           count(value) AS peers, percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY value) AS quartiles,
           avg(value) AS mean, min(value) AS lowest, max(value) AS highest
    FROM metric GROUP BY metric_name, GROUPING SETS ((), (sector), (band), (sector, band))
)
SELECT {{ day() }} AS metric_date, metric_name, coalesce(sector, 'ALL') AS industry_sector, coalesce(band, 'ALL') AS employee_band,
       employee_min::bigint AS employee_min, employee_max::bigint AS employee_max, CASE WHEN peers >= 5 THEN peers END AS peer_count,
       CASE WHEN peers >= 5 THEN quartiles[1] END AS p25, CASE WHEN peers >= 5 THEN quartiles[2] END AS median,
       CASE WHEN peers >= 5 THEN quartiles[3] END AS p75, CASE WHEN peers >= 5 THEN mean END AS mean,
       CASE WHEN peers >= 10 THEN lowest END AS min_value, CASE WHEN peers >= 10 THEN highest END AS max_value,
       peers < 5 AS is_suppressed
FROM cohort
LEFT JOIN (VALUES ('1-49', 1, 49), ('50-249', 50, 249), ('250-999', 250, 999), ('1000-4999', 1000, 4999), ('5000+', 5000, NULL))
          AS bands (band, employee_min, employee_max) USING (band)
WHERE (all_sectors OR sector IS NOT NULL) AND (all_bands OR band IS NOT NULL)
