-- From figures to the other three tables, the same way for a night and for a range.
INSERT INTO peer.usage_metrics
SELECT metric_date, tenant_id, total_users, active_users, daily_active_users, cases_created, cases_closed, cases_closed_on_time,
       cases_overdue, cases_closed_30d, cases_closed_on_time_30d, campaigns_active, campaigns_completed, assignments_total,
       assignments_completed, support_tickets, reports_generated, searches_performed, api_calls
FROM usage JOIN tenant USING (n)
WHERE metric_date >= %(first)s::date;

-- Half up in whole numbers: (2 * a + b) / (2 * b) is a / b rounded.
CREATE TEMP TABLE score ON COMMIT DROP AS
WITH component AS (
    SELECT n, metric_date, active_users, total_users,
           CASE WHEN total_users = 0 THEN 0
                ELSE least(100, (20000 * active_users + 70 * total_users) / (140 * total_users)) END AS login,
           CASE WHEN cases_closed_30d = 0 THEN 100
                ELSE least(100, (20000 * cases_closed_on_time_30d + 90 * cases_closed_30d) / (180 * cases_closed_30d)) END AS cases,
           CASE WHEN assignments_total = 0 THEN 100
                ELSE least(100, (20000 * assignments_completed + 85 * assignments_total) / (170 * assignments_total)) END AS campaigns,
           least(100, (20000 * adopted_features + 60 * cardinality(%(features)s::text[]))
                      / (120 * cardinality(%(features)s::text[]))) AS features,
           greatest(0, 100 - 10 * support_tickets) AS tickets
    FROM usage
), overall AS (
    SELECT *, (2 * (20 * login + 25 * cases + 25 * campaigns + 15 * features + 15 * tickets) + 100) / 200 AS overall FROM component
), changed AS (
    SELECT *, CASE WHEN lag(metric_date) OVER of_tenant = metric_date - 1 THEN lag(overall) OVER of_tenant END AS previous
    FROM overall WINDOW of_tenant AS (PARTITION BY n ORDER BY metric_date)
), trended AS (
    SELECT *, CASE WHEN overall - previous > 5 THEN 'IMPROVING' WHEN overall - previous < -5 THEN 'DECLINING'
                   ELSE 'STABLE' END AS trend
    FROM changed WHERE metric_date >= %(first)s::date
)
SELECT *, CASE WHEN overall < 40 OR (overall < 60 AND trend = 'DECLINING') THEN 'HIGH'
               WHEN overall < 70 OR trend = 'DECLINING' THEN 'MEDIUM' ELSE 'LOW' END AS risk
FROM trended;

INSERT INTO peer.tenant_health_scores
SELECT metric_date, tenant_id, login, cases, campaigns, features, tickets, overall, 1, previous, overall - previous, trend, risk,
       CASE WHEN risk = 'LOW' THEN 'NONE' WHEN risk = 'MEDIUM' AND alert_level = 'PROACTIVE' THEN 'DASHBOARD_ONLY'
            ELSE alert_level END, %(policy_version)s
FROM score JOIN tenant USING (n);

-- A cohort of fewer than 5 peers carries no figure (step 1 of the rule). Steps 2 to 5, which hide further cohorts so that
-- nothing can be worked out by subtraction, are left out: this peer does less than the pipeline.
INSERT INTO peer.peer_benchmarks
WITH metric AS (
    SELECT metric_date, sector, band, metric_name, value
    FROM score JOIN tenant USING (n)
    CROSS JOIN LATERAL (VALUES
        ('overall_score', overall::float8), ('login_score', login::float8), ('case_resolution_score', cases::float8),
        ('campaign_completion_score', campaigns::float8), ('feature_adoption_score', features::float8),
        ('support_ticket_score', tickets::float8), ('active_user_ratio', active_users::float8 / nullif(total_users, 0))
    ) AS metric (metric_name, value)
), cohort AS (
    SELECT metric_date, metric_name, sector, band, grouping(sector) = 1 AS all_sectors, grouping(band) = 1 AS all_bands,
           count(value) AS peers, percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY value) AS quartiles,
           avg(value) AS mean, min(value) AS lowest, max(value) AS highest
    FROM metric
    GROUP BY metric_date, metric_name, GROUPING SETS ((), (sector), (band), (sector, band))
)
SELECT metric_date, metric_name, coalesce(sector, 'ALL'), coalesce(band, 'ALL'), employee_min, employee_max,
       CASE WHEN peers >= 5 THEN peers END, CASE WHEN peers >= 5 THEN quartiles[1] END,
       CASE WHEN peers >= 5 THEN quartiles[2] END, CASE WHEN peers >= 5 THEN quartiles[3] END,
       CASE WHEN peers >= 5 THEN mean END, CASE WHEN peers >= 10 THEN lowest END,
       CASE WHEN peers >= 10 THEN highest END, peers < 5
FROM cohort
LEFT JOIN (VALUES ('1-49', 1, 49), ('50-249', 50, 249), ('250-999', 250, 999), ('1000-4999', 1000, 4999), ('5000+', 5000, NULL))
          AS bands (band, employee_min, employee_max) USING (band)
WHERE (all_sectors OR sector IS NOT NULL) AND (all_bands OR band IS NOT NULL);
