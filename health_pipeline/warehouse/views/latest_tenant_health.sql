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
    profile.renewal_date - score.metric_date AS days_until_renewal
FROM health.tenant_health_scores AS score
LEFT JOIN health.tenant_profiles AS profile USING (metric_date, tenant_id)
WHERE score.metric_date = (SELECT max(metric_date) FROM health.tenant_health_scores)
