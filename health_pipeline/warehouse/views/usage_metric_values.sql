-- A value is numerator / denominator, so that the change of a rate is compared exactly.
SELECT
    today.metric_date,
    today.tenant_id,
    metric.metric_type,
    metric.part::double precision / metric.whole AS value,
    metric.previous_part::double precision / metric.previous_whole AS previous_value,
    (100 * change.difference / nullif(change.base, 0))::double precision AS change_percent,
    CASE
        WHEN nullif(change.base, 0) IS NULL OR change.difference IS NULL THEN NULL
        WHEN 100 * abs(change.difference) <= 5 * change.base THEN 'stable'
        WHEN change.difference > 0 THEN 'up'
        ELSE 'down'
    END AS direction
FROM health.usage_metrics AS today
LEFT JOIN health.usage_metrics AS before
    ON before.tenant_id = today.tenant_id AND before.metric_date = today.metric_date - 1
CROSS JOIN LATERAL (
    VALUES
        ('DAILY_ACTIVE_USERS', today.daily_active_users, 1, before.daily_active_users, 1),
        ('MONTHLY_ACTIVE_USERS', today.active_users, 1, before.active_users, 1),
        ('CASES_CREATED', today.cases_created, 1, before.cases_created, 1),
        ('CASES_CLOSED', today.cases_closed, 1, before.cases_closed, 1),
        ('CASES_CLOSED_ON_TIME', today.cases_closed_on_time, 1, before.cases_closed_on_time, 1),
        ('CAMPAIGNS_COMPLETED', today.campaigns_completed, 1, before.campaigns_completed, 1),
        (
            'CAMPAIGN_RESPONSE_RATE',
            100 * today.assignments_completed,
            nullif(today.assignments_total, 0),
            100 * before.assignments_completed,
            nullif(before.assignments_total, 0)
        ),
        ('REPORTS_GENERATED', today.reports_generated, 1, before.reports_generated, 1),
        ('SEARCHES_PERFORMED', today.searches_performed, 1, before.searches_performed, 1),
        ('API_CALLS', today.api_calls, 1, before.api_calls, 1),
        ('SUPPORT_TICKETS', today.support_tickets, 1, before.support_tickets, 1)
) AS metric (metric_type, part, whole, previous_part, previous_whole)
CROSS JOIN LATERAL (
    SELECT
        metric.part::numeric * metric.previous_whole - metric.previous_part::numeric * metric.whole AS difference,
        metric.previous_part::numeric * metric.whole AS base
) AS change
