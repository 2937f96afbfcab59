-- One night: the figures of the day and of the day before it, by one pass over each table.
CREATE TEMP TABLE day ON COMMIT DROP AS
SELECT day::date AS metric_date, day AS start_at, day + interval '1 day' AS end_at, day - interval '29 days' AS window_at
FROM unnest(ARRAY[%(first)s::timestamptz - interval '1 day', %(first)s::timestamptz]) AS day;

CREATE TEMP TABLE use ON COMMIT DROP AS
SELECT tenant_id, feature_key, count(*) AS uses,
       count(*) FILTER (WHERE occurred_at >= %(first)s::timestamptz - interval '29 days') AS uses_30d,
       min(occurred_at) AS first_at, max(occurred_at) AS last_at
FROM app.events
WHERE feature_key = ANY (%(features)s) AND occurred_at < %(last)s::timestamptz + interval '1 day'
GROUP BY tenant_id, feature_key;

CREATE TEMP TABLE usage ON COMMIT DROP AS
WITH logins AS (
    SELECT tenant_id, user_id,
           bool_or(occurred_at < %(first)s::timestamptz) AS active_before,
           bool_or(occurred_at >= %(first)s::timestamptz - interval '1 day' AND occurred_at < %(first)s::timestamptz) AS day_before,
           bool_or(occurred_at >= %(first)s::timestamptz - interval '29 days') AS active,
           bool_or(occurred_at >= %(first)s::timestamptz) AS on_day
    FROM app.events
    WHERE event_type = 'login' AND occurred_at >= %(first)s::timestamptz - interval '30 days'
          AND occurred_at < %(first)s::timestamptz + interval '1 day'
    GROUP BY tenant_id, user_id
), seats AS (
    SELECT tenant_id, metric_date, count(*) AS total_users,
           count(*) FILTER (WHERE CASE WHEN is_last THEN active ELSE active_before END) AS active_users,
           count(*) FILTER (WHERE CASE WHEN is_last THEN on_day ELSE day_before END) AS daily_active_users
    FROM (SELECT users.tenant_id, active_before, day_before, active, on_day, created_at, deactivated_at
          FROM app.users LEFT JOIN logins USING (tenant_id, user_id)) AS seat
    JOIN (SELECT *, metric_date = %(first)s::date AS is_last FROM day) AS day
         ON created_at < end_at AND (deactivated_at IS NULL OR deactivated_at >= end_at)
    GROUP BY tenant_id, metric_date
), counted AS (
    SELECT tenant_id, occurred_at::date AS metric_date, count(*) FILTER (WHERE event_type = 'report_generated') AS reports,
           count(*) FILTER (WHERE event_type = 'search_performed') AS searches,
           count(*) FILTER (WHERE event_type = 'api_call') AS api_calls
    FROM app.events
    WHERE event_type IN ('report_generated', 'search_performed', 'api_call')
          AND occurred_at >= %(first)s::timestamptz - interval '1 day' AND occurred_at < %(first)s::timestamptz + interval '1 day'
    GROUP BY 1, 2
), work AS (
    SELECT tenant_id, metric_date, count(*) FILTER (WHERE created_at >= start_at) AS created,
           count(*) FILTER (WHERE closed_at >= start_at AND closed_at < end_at) AS closed,
           count(*) FILTER (WHERE closed_at >= start_at AND closed_at < end_at AND in_time) AS closed_on_time,
           count(*) FILTER (WHERE is_open AND CASE WHEN sla_due_at IS NULL THEN NOT in_time ELSE sla_due_at < end_at END) AS overdue,
           count(*) FILTER (WHERE closed_at >= window_at AND closed_at < end_at) AS closed_30d,
           count(*) FILTER (WHERE closed_at >= window_at AND closed_at < end_at AND in_time) AS closed_on_time_30d
    FROM (SELECT *, CASE WHEN sla_due_at IS NOT NULL THEN closed_at IS NULL OR closed_at <= sla_due_at
                         ELSE sla_status IS NULL OR sla_status NOT IN ('BREACHED', 'CRITICAL') END AS in_time
          FROM app.cases
          WHERE closed_at IS NULL OR closed_at >= %(first)s::timestamptz - interval '30 days') AS cases
    CROSS JOIN day
    CROSS JOIN LATERAL (SELECT closed_at IS NULL OR closed_at >= end_at AS is_open) AS state
    WHERE created_at < end_at
    GROUP BY tenant_id, metric_date
), campaign AS (
    SELECT tenant_id, metric_date, count(*) FILTER (WHERE ended_at IS NULL OR ended_at >= end_at) AS active,
           count(*) FILTER (WHERE ended_at >= start_at AND ended_at < end_at) AS completed
    FROM app.campaigns JOIN day ON launched_at < end_at
    GROUP BY tenant_id, metric_date
), assignment AS (
    SELECT tenant_id, metric_date, count(*) AS total, count(*) FILTER (WHERE completed_at < end_at) AS completed
    FROM app.campaign_assignments JOIN day ON assigned_at < end_at
    GROUP BY tenant_id, metric_date
), ticket AS (
    SELECT tenant_id, metric_date, count(*) AS opened
    FROM app.support_tickets JOIN day ON opened_at >= window_at AND opened_at < end_at
    GROUP BY tenant_id, metric_date
), adopted AS (
    SELECT tenant_id, metric_date, count(*) AS features FROM use JOIN day ON first_at < end_at GROUP BY tenant_id, metric_date
)
SELECT n, metric_date, coalesce(total_users, 0) AS total_users, coalesce(active_users, 0) AS active_users,
       coalesce(daily_active_users, 0) AS daily_active_users, coalesce(work.created, 0) AS cases_created,
       coalesce(work.closed, 0) AS cases_closed, coalesce(closed_on_time, 0) AS cases_closed_on_time,
       coalesce(overdue, 0) AS cases_overdue, coalesce(closed_30d, 0) AS cases_closed_30d,
       coalesce(closed_on_time_30d, 0) AS cases_closed_on_time_30d, coalesce(campaign.active, 0) AS campaigns_active,
       coalesce(campaign.completed, 0) AS campaigns_completed, coalesce(assignment.total, 0) AS assignments_total,
       coalesce(assignment.completed, 0) AS assignments_completed, coalesce(ticket.opened, 0) AS support_tickets,
       coalesce(reports, 0) AS reports_generated, coalesce(searches, 0) AS searches_performed,
       coalesce(api_calls, 0) AS api_calls, coalesce(features, 0) AS adopted_features
FROM tenant_day JOIN tenant USING (n)
LEFT JOIN seats USING (tenant_id, metric_date)
LEFT JOIN counted USING (tenant_id, metric_date)
LEFT JOIN work USING (tenant_id, metric_date)
LEFT JOIN campaign USING (tenant_id, metric_date)
LEFT JOIN assignment USING (tenant_id, metric_date)
LEFT JOIN ticket USING (tenant_id, metric_date)
LEFT JOIN adopted USING (tenant_id, metric_date);

INSERT INTO peer.feature_adoption
SELECT metric_date, tenant_id, feature_key, category, enabled.tenant_id IS NOT NULL, use.uses IS NOT NULL, first_at, last_at,
       coalesce(uses, 0), coalesce(uses_30d, 0)
FROM tenant_day JOIN tenant USING (n) CROSS JOIN feature
LEFT JOIN use USING (tenant_id, feature_key)
LEFT JOIN (SELECT DISTINCT tenant_id, feature_key FROM app.feature_entitlements
           WHERE enabled_at < %(first)s::timestamptz + interval '1 day'
                 AND (disabled_at IS NULL OR disabled_at >= %(first)s::timestamptz + interval '1 day')) AS enabled
     USING (tenant_id, feature_key)
WHERE metric_date = %(first)s::date;
