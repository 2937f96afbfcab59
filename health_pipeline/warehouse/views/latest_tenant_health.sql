WITH newest AS (
    SELECT max(metric_date) AS metric_date FROM health.tenant_health_scores
),
-- How fresh the source was when a run computed that day last.
freshness AS (
    SELECT
        max(newest_fact_at) FILTER (WHERE source_table = 'events') AS newest_event_at,
        jsonb_object_agg(source_table, newest_fact_at) AS newest_facts,
        string_agg(source_table, ', ' ORDER BY source_table) FILTER (WHERE is_stopped) AS stopped_sources
    FROM health.source_freshness
    WHERE
        system = 'tenant_health'
        AND run_id = (
            SELECT run_id
            FROM health.source_freshness
            JOIN newest ON metric_date BETWEEN first_day AND last_day
            WHERE system = 'tenant_health'
            ORDER BY recorded_at DESC
            LIMIT 1
        )
)
SELECT
    score.metric_date,
    score.tenant_id,
    profile.name,
    profile.slug,
    profile.industry_sector,
    profile.employee_count,
    score.login_score,
    score.case_resolution_score,
    score.campaign_completion_score,
    score.feature_adoption_score,
    score.support_ticket_score,
    score.overall_score,
    score.coverage,
    score.previous_score,
    score.score_change,
    score.trend,
    score.risk_level,
    score.alert_level,
    score.policy_version,
    profile.renewal_date,
    profile.renewal_date - score.metric_date AS days_until_renewal,
    freshness.newest_event_at,
    freshness.newest_facts,
    freshness.stopped_sources
FROM health.tenant_health_scores AS score
-- The day is named on both sides, so that only its month is opened.
LEFT JOIN health.tenant_profiles AS profile
    ON
        profile.tenant_id = score.tenant_id
        AND profile.metric_date = (SELECT metric_date FROM newest)
CROSS JOIN freshness
WHERE score.metric_date = (SELECT metric_date FROM newest)
