-- A component that was not measured contributes 0. The totals are the sums of the contributions. Not materialised: that would
-- compute every tenant and day for one of them.
WITH contribution AS NOT MATERIALIZED (
    SELECT
        score.metric_date,
        score.tenant_id,
        score.overall_score,
        coalesce(score.login_score * policy.login_score_weight / measured.weight, 0) AS login_score,
        coalesce(score.case_resolution_score * policy.case_resolution_score_weight / measured.weight, 0)
            AS case_resolution_score,
        coalesce(score.campaign_completion_score * policy.campaign_completion_score_weight / measured.weight, 0)
            AS campaign_completion_score,
        coalesce(score.feature_adoption_score * policy.feature_adoption_score_weight / measured.weight, 0)
            AS feature_adoption_score,
        coalesce(score.support_ticket_score * policy.support_ticket_score_weight / measured.weight, 0)
            AS support_ticket_score
    FROM health.tenant_health_scores AS score
    JOIN health.policies AS policy USING (policy_version)
    CROSS JOIN LATERAL (
        SELECT nullif(
            CASE WHEN score.login_score IS NULL THEN 0 ELSE policy.login_score_weight END
            + CASE WHEN score.case_resolution_score IS NULL THEN 0 ELSE policy.case_resolution_score_weight END
            + CASE WHEN score.campaign_completion_score IS NULL THEN 0 ELSE policy.campaign_completion_score_weight END
            + CASE WHEN score.feature_adoption_score IS NULL THEN 0 ELSE policy.feature_adoption_score_weight END
            + CASE WHEN score.support_ticket_score IS NULL THEN 0 ELSE policy.support_ticket_score_weight END,
            0
        ) AS weight
    ) AS measured
    WHERE score.overall_score IS NOT NULL
)
SELECT
    today.metric_date,
    today.tenant_id,
    today.overall_score,
    today.login_score AS login_score_contribution,
    today.case_resolution_score AS case_resolution_score_contribution,
    today.campaign_completion_score AS campaign_completion_score_contribution,
    today.feature_adoption_score AS feature_adoption_score_contribution,
    today.support_ticket_score AS support_ticket_score_contribution,
    today.login_score + today.case_resolution_score + today.campaign_completion_score
        + today.feature_adoption_score + today.support_ticket_score AS unrounded_score,
    today.login_score - before.login_score AS login_score_change,
    today.case_resolution_score - before.case_resolution_score AS case_resolution_score_change,
    today.campaign_completion_score - before.campaign_completion_score AS campaign_completion_score_change,
    today.feature_adoption_score - before.feature_adoption_score AS feature_adoption_score_change,
    today.support_ticket_score - before.support_ticket_score AS support_ticket_score_change,
    (today.login_score + today.case_resolution_score + today.campaign_completion_score
        + today.feature_adoption_score + today.support_ticket_score)
    - (before.login_score + before.case_resolution_score + before.campaign_completion_score
        + before.feature_adoption_score + before.support_ticket_score) AS unrounded_change
FROM contribution AS today
LEFT JOIN contribution AS before
    ON before.tenant_id = today.tenant_id AND before.metric_date = today.metric_date - 1
