-- A range of days in one pass over each table. What counts on a run of days is +1 on its first day and -1 on the day after
-- its last; running sums give every day. The grid begins 31 days early, so that windows of 30 days are complete on every day.
CREATE TEMP TABLE grid ON COMMIT DROP AS
SELECT n, day::date AS day FROM tenant
CROSS JOIN generate_series(%(first)s::date - 31, %(last)s::date, interval '1 day') AS day;

CREATE TEMP TABLE seat ON COMMIT DROP AS
SELECT row_number() OVER ()::int AS s, n, tenant_id, user_id, created_at::date AS created_day,
       coalesce(deactivated_at::date, 'infinity') AS gone_day
FROM app.users JOIN tenant USING (tenant_id);

-- A login counts from its day on for 30 days, but only until the user's next login, and while the user is there.
CREATE TEMP TABLE login ON COMMIT DROP AS
WITH days AS (
    SELECT DISTINCT s, occurred_at::date AS day FROM app.events JOIN seat USING (tenant_id, user_id)
    WHERE event_type = 'login' AND occurred_at >= %(first)s::timestamptz - interval '30 days'
          AND occurred_at < %(last)s::timestamptz + interval '1 day'
), used AS (
    SELECT n, greatest(day, seat.created_day) AS from_day, least(seat.gone_day, day + 1) AS day_end,
           least(seat.gone_day, day + 30, lead(day) OVER (PARTITION BY s ORDER BY day)) AS window_end
    FROM days JOIN seat USING (s)
), step AS (
    SELECT n, from_day AS day, 1 AS active, (from_day < day_end)::int AS on_day FROM used WHERE from_day < window_end
    UNION ALL
    SELECT n, window_end, -1, 0 FROM used WHERE from_day < window_end
)
SELECT n, day, sum(active) AS active, sum(on_day) AS on_day FROM step GROUP BY n, day;

CREATE TEMP TABLE seats ON COMMIT DROP AS
SELECT n, day, sum(step) AS users FROM (
    SELECT n, greatest(created_day, %(first)s::date - 31) AS day, 1 AS step FROM seat WHERE created_day < gone_day
    UNION ALL
    SELECT n, greatest(gone_day, %(first)s::date - 31), -1 FROM seat WHERE created_day < gone_day
) AS steps GROUP BY n, day;

CREATE TEMP TABLE counted ON COMMIT DROP AS
SELECT n, occurred_at::date AS day, count(*) FILTER (WHERE event_type = 'report_generated') AS reports,
       count(*) FILTER (WHERE event_type = 'search_performed') AS searches,
       count(*) FILTER (WHERE event_type = 'api_call') AS api_calls
FROM app.events JOIN tenant USING (tenant_id)
WHERE event_type IN ('report_generated', 'search_performed', 'api_call')
      AND occurred_at >= %(first)s::timestamptz AND occurred_at < %(last)s::timestamptz + interval '1 day'
GROUP BY 1, 2;

CREATE TEMP TABLE work ON COMMIT DROP AS
WITH judged AS (
    SELECT n, created_at::date AS created_day, closed_at::date AS closed_day,
           CASE WHEN sla_due_at IS NOT NULL THEN closed_at IS NULL OR closed_at <= sla_due_at
                ELSE sla_status IS NULL OR sla_status NOT IN ('BREACHED', 'CRITICAL') END AS in_time,
           CASE WHEN sla_due_at IS NOT NULL THEN greatest(created_at, sla_due_at)::date
                WHEN sla_status IN ('BREACHED', 'CRITICAL') THEN created_at::date END AS late_day
    FROM app.cases JOIN tenant USING (tenant_id)
), step AS (
    SELECT n, created_day AS day, 1 AS created, 0 AS closed, 0 AS on_time, 0 AS overdue FROM judged
    UNION ALL
    SELECT n, closed_day, 0, 1, in_time::int, 0 FROM judged WHERE closed_day IS NOT NULL
    UNION ALL
    SELECT n, greatest(late_day, %(first)s::date - 31), 0, 0, 0, 1 FROM judged WHERE late_day < coalesce(closed_day, 'infinity')
    UNION ALL
    SELECT n, greatest(closed_day, %(first)s::date - 31), 0, 0, 0, -1 FROM judged WHERE late_day < closed_day
)
SELECT n, day, sum(created) AS created, sum(closed) AS closed, sum(on_time) AS on_time, sum(overdue) AS overdue
FROM step GROUP BY n, day;

CREATE TEMP TABLE campaign ON COMMIT DROP AS
SELECT n, day, sum(active) AS active, sum(completed) AS completed FROM (
    SELECT n, greatest(launched_at::date, %(first)s::date - 31) AS day, 1 AS active, 0 AS completed
    FROM app.campaigns JOIN tenant USING (tenant_id) WHERE launched_at::date < coalesce(ended_at::date, 'infinity')
    UNION ALL
    SELECT n, greatest(ended_at::date, %(first)s::date - 31), CASE WHEN launched_at::date < ended_at::date THEN -1 ELSE 0 END,
           (ended_at::date >= %(first)s::date - 31)::int
    FROM app.campaigns JOIN tenant USING (tenant_id) WHERE ended_at IS NOT NULL
) AS steps GROUP BY n, day;

CREATE TEMP TABLE assignment ON COMMIT DROP AS
SELECT n, day, sum(total) AS total, sum(completed) AS completed FROM (
    SELECT n, greatest(assigned_at::date, %(first)s::date - 31) AS day, 1 AS total, 0 AS completed
    FROM app.campaign_assignments JOIN tenant USING (tenant_id)
    UNION ALL
    SELECT n, greatest(completed_at::date, %(first)s::date - 31), 0, 1
    FROM app.campaign_assignments JOIN tenant USING (tenant_id) WHERE completed_at IS NOT NULL
) AS steps GROUP BY n, day;

CREATE TEMP TABLE ticket ON COMMIT DROP AS
SELECT n, opened_at::date AS day, count(*) AS opened FROM app.support_tickets JOIN tenant USING (tenant_id)
WHERE opened_at >= %(first)s::timestamptz - interval '31 days' GROUP BY n, opened_at::date;

-- Uses by day; those before the range are one row, on the day before its first.
CREATE TEMP TABLE use ON COMMIT DROP AS
WITH daily AS (
    SELECT tenant_id, feature_key, greatest(occurred_at::date, %(first)s::date - 31) AS day, count(*) AS uses,
           min(occurred_at) AS first_at, max(occurred_at) AS last_at
    FROM app.events
    WHERE feature_key = ANY (%(features)s) AND occurred_at < %(last)s::timestamptz + interval '1 day'
    GROUP BY 1, 2, 3
), step AS (
    SELECT tenant_id, feature_key, greatest(day, %(first)s::date - 1) AS day, uses,
           CASE WHEN day > %(first)s::date - 31 THEN uses ELSE 0 END AS in_window, first_at, last_at
    FROM daily
    UNION ALL
    SELECT tenant_id, feature_key, day + 30, 0, -uses, NULL, NULL
    FROM daily WHERE day > %(first)s::date - 31 AND day + 30 <= %(last)s::date
)
SELECT n, f, day, sum(uses)::bigint AS uses, sum(in_window)::bigint AS in_window, min(first_at) AS first_at, max(last_at) AS last_at
FROM step JOIN tenant USING (tenant_id) JOIN feature USING (feature_key) GROUP BY n, f, day;

CREATE TEMP TABLE entitlement ON COMMIT DROP AS
SELECT n, f, range_agg(daterange(enabled_at::date, disabled_at::date)) AS days
FROM app.feature_entitlements JOIN tenant USING (tenant_id) JOIN feature USING (feature_key) GROUP BY n, f;

ANALYZE use;
ANALYZE entitlement;

CREATE TEMP TABLE adoption ON COMMIT DROP AS
SELECT n, f, day, sum(uses) OVER so_far AS uses, sum(in_window) OVER so_far AS in_window,
       min(first_at) OVER so_far AS first_at, max(last_at) OVER so_far AS last_at,
       coalesce(lead(day) OVER of_pair, %(last)s::date + 1) - 1 AS until_day
FROM use
WINDOW of_pair AS (PARTITION BY n, f ORDER BY day), so_far AS (of_pair ROWS UNBOUNDED PRECEDING);

ANALYZE adoption;

INSERT INTO peer.feature_adoption
SELECT metric_date, tenant_id, feature_key, category, coalesce(entitlement.days @> metric_date, false), uses IS NOT NULL, first_at,
       last_at, coalesce(uses, 0), coalesce(in_window, 0)
FROM tenant_day JOIN tenant USING (n) CROSS JOIN feature
LEFT JOIN (SELECT n, f, generate_series(greatest(day, %(first)s::date), until_day, interval '1 day')::date AS metric_date,
                  uses, in_window, first_at, last_at FROM adoption) AS daily USING (n, f, metric_date)
LEFT JOIN entitlement ON entitlement.n = tenant_day.n AND entitlement.f = feature.f
WHERE metric_date >= %(first)s::date
-- In the order of the key, its index grows at its end.
ORDER BY metric_date, tenant_id, feature_key;

CREATE TEMP TABLE usage ON COMMIT DROP AS
WITH adopted AS (
    SELECT n, first_day AS day, count(*) AS features
    FROM (SELECT n, f, min(day) AS first_day FROM use WHERE uses > 0 GROUP BY n, f) AS first_use GROUP BY n, first_day
), filled AS (
    SELECT n, day, sum(coalesce(users, 0)) OVER so_far AS total_users, sum(coalesce(login.active, 0)) OVER so_far AS active_users,
           coalesce(on_day, 0) AS daily_active_users, coalesce(created, 0) AS cases_created, coalesce(work.closed, 0) AS cases_closed,
           coalesce(on_time, 0) AS cases_closed_on_time, sum(coalesce(overdue, 0)) OVER so_far AS cases_overdue,
           sum(coalesce(work.closed, 0)) OVER last_30 AS cases_closed_30d,
           sum(coalesce(on_time, 0)) OVER last_30 AS cases_closed_on_time_30d,
           sum(coalesce(campaign.active, 0)) OVER so_far AS campaigns_active, coalesce(campaign.completed, 0) AS campaigns_completed,
           sum(coalesce(assignment.total, 0)) OVER so_far AS assignments_total,
           sum(coalesce(assignment.completed, 0)) OVER so_far AS assignments_completed,
           sum(coalesce(opened, 0)) OVER last_30 AS support_tickets, coalesce(reports, 0) AS reports_generated,
           coalesce(searches, 0) AS searches_performed, coalesce(api_calls, 0) AS api_calls,
           sum(coalesce(features, 0)) OVER so_far AS adopted_features
    FROM grid
    LEFT JOIN seats USING (n, day) LEFT JOIN login USING (n, day) LEFT JOIN counted USING (n, day) LEFT JOIN work USING (n, day)
    LEFT JOIN campaign USING (n, day) LEFT JOIN assignment USING (n, day) LEFT JOIN ticket USING (n, day)
    LEFT JOIN adopted USING (n, day)
    WINDOW so_far AS (PARTITION BY n ORDER BY day ROWS UNBOUNDED PRECEDING),
           last_30 AS (PARTITION BY n ORDER BY day ROWS 29 PRECEDING)
)
SELECT tenant_day.n, metric_date, total_users::bigint, active_users::bigint, daily_active_users, cases_created,
       cases_closed, cases_closed_on_time,
       cases_overdue, cases_closed_30d::bigint, cases_closed_on_time_30d::bigint, campaigns_active, campaigns_completed,
       assignments_total::bigint, assignments_completed::bigint, support_tickets::bigint, reports_generated, searches_performed,
       api_calls, adopted_features::bigint
FROM tenant_day JOIN filled ON filled.n = tenant_day.n AND filled.day = metric_date;
