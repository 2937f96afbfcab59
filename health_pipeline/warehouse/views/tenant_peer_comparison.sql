-- Ranks are taken in each of a tenant's four cohorts before the narrowest published one is picked.
WITH figure AS (
    SELECT
        profile.metric_date,
        profile.tenant_id,
        profile.industry_sector,
        profile.employee_band,
        metric.metric_name,
        metric.value
    FROM health.tenant_profiles AS profile
    JOIN health.tenant_health_scores AS score USING (metric_date, tenant_id)
    JOIN health.usage_metrics AS usage USING (metric_date, tenant_id)
    CROSS JOIN LATERAL (
        VALUES
            ('overall_score', score.overall_score::double precision),
            ('login_score', score.login_score),
            ('case_resolution_score', score.case_resolution_score),
            ('campaign_completion_score', score.campaign_completion_score),
            ('feature_adoption_score', score.feature_adoption_score),
            ('support_ticket_score', score.support_ticket_score),
            ('active_user_ratio', usage.active_users::double precision / nullif(usage.total_users, 0))
    ) AS metric (metric_name, value)
    WHERE metric.value IS NOT NULL
),
member AS (
    SELECT
        figure.metric_date,
        figure.tenant_id,
        figure.metric_name,
        figure.value,
        cohort.industry_sector,
        cohort.employee_band,
        cohort.splits
    FROM figure
    CROSS JOIN LATERAL (
        VALUES
            (figure.industry_sector, figure.employee_band, 3),
            (figure.industry_sector, 'ALL', 2),
            ('ALL', figure.employee_band, 1),
            ('ALL', 'ALL', 0)
    ) AS cohort (industry_sector, employee_band, splits)
    WHERE cohort.industry_sector IS NOT NULL AND cohort.employee_band IS NOT NULL
),
ranked AS (
    SELECT
        member.*,
        rank() OVER (
            PARTITION BY metric_date, metric_name, industry_sector, employee_band ORDER BY value
        ) - 1 AS below,
        count(*) OVER (PARTITION BY metric_date, metric_name, industry_sector, employee_band, value) - 1 AS level
    FROM member
)
SELECT DISTINCT ON (ranked.metric_date, ranked.tenant_id, ranked.metric_name)
    ranked.metric_date,
    ranked.tenant_id,
    ranked.metric_name,
    ranked.industry_sector,
    ranked.employee_band,
    benchmark.peer_count,
    ranked.value,
    benchmark.median,
    CASE
        WHEN ranked.value <= benchmark.p25 THEN 1
        WHEN ranked.value <= benchmark.median THEN 2
        WHEN ranked.value <= benchmark.p75 THEN 3
        ELSE 4
    END AS quartile,
    100 * (ranked.below + ranked.level / 2.0::double precision) / nullif(benchmark.peer_count - 1, 0) AS percentile_rank
FROM ranked
JOIN health.peer_benchmarks AS benchmark
    USING (metric_date, metric_name, industry_sector, employee_band)
WHERE NOT benchmark.is_suppressed
ORDER BY
    ranked.metric_date, ranked.tenant_id, ranked.metric_name, benchmark.peer_count, ranked.splits DESC
