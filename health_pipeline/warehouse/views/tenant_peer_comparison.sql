-- The narrowest published cohort and the rank in it are in tenant_peer_ranks; its figures are in peer_benchmarks.
SELECT
    place.metric_date,
    place.tenant_id,
    metric.metric_name,
    benchmark.industry_sector,
    benchmark.employee_band,
    benchmark.peer_count,
    metric.value,
    benchmark.median,
    CASE
        WHEN metric.value <= benchmark.p25 THEN 1
        WHEN metric.value <= benchmark.median THEN 2
        WHEN metric.value <= benchmark.p75 THEN 3
        ELSE 4
    END AS quartile,
    metric.percentile_rank
FROM health.tenant_peer_ranks AS place
JOIN health.tenant_profiles AS profile USING (metric_date, tenant_id)
JOIN health.tenant_health_scores AS score USING (metric_date, tenant_id)
JOIN health.usage_metrics AS usage USING (metric_date, tenant_id)
CROSS JOIN LATERAL (
    VALUES
        ('overall_score', score.overall_score::double precision, place.overall_score_cohort, place.overall_score_rank),
        ('login_score', score.login_score, place.login_score_cohort, place.login_score_rank),
        (
            'case_resolution_score',
            score.case_resolution_score,
            place.case_resolution_score_cohort,
            place.case_resolution_score_rank
        ),
        (
            'campaign_completion_score',
            score.campaign_completion_score,
            place.campaign_completion_score_cohort,
            place.campaign_completion_score_rank
        ),
        (
            'feature_adoption_score',
            score.feature_adoption_score,
            place.feature_adoption_score_cohort,
            place.feature_adoption_score_rank
        ),
        (
            'support_ticket_score',
            score.support_ticket_score,
            place.support_ticket_score_cohort,
            place.support_ticket_score_rank
        ),
        (
            'active_user_ratio',
            usage.active_users::double precision / nullif(usage.total_users, 0),
            place.active_user_ratio_cohort,
            place.active_user_ratio_rank
        )
) AS metric (metric_name, value, cohort, percentile_rank)
JOIN health.peer_benchmarks AS benchmark
    ON
        benchmark.metric_date = place.metric_date
        AND benchmark.metric_name = metric.metric_name
        AND benchmark.industry_sector = CASE WHEN metric.cohort IN (2, 3) THEN profile.industry_sector ELSE 'ALL' END
        AND benchmark.employee_band = CASE WHEN metric.cohort IN (1, 3) THEN profile.employee_band ELSE 'ALL' END
WHERE metric.cohort IS NOT NULL AND metric.value IS NOT NULL AND NOT benchmark.is_suppressed
