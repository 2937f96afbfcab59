{{ config(indexes=[{'columns': ['metric_date', 'tenant_id'], 'unique': true}]) }}
WITH seats AS (
    SELECT users.tenant_id, count(*) AS total_users, count(logins.user_id) AS active_users,
           count(*) FILTER (WHERE on_day) AS daily_active_users
    FROM app.users
    LEFT JOIN (SELECT tenant_id, user_id, bool_or(metric_date = {{ day() }}) AS on_day FROM {{ ref('daily_logins') }}
               WHERE metric_date BETWEEN {{ day() }} - 29 AND {{ day() }} GROUP BY tenant_id, user_id) AS logins
         USING (tenant_id, user_id)
    WHERE created_at < {{ end_at() }} AND (deactivated_at IS NULL OR deactivated_at >= {{ end_at() }})
    GROUP BY users.tenant_id
), counted AS (
    SELECT tenant_id, count(*) FILTER (WHERE event_type = 'report_generated') AS reports,
           count(*) FILTER (WHERE event_type = 'search_performed') AS searches,
           count(*) FILTER (WHERE event_type = 'api_call') AS api_calls
    FROM app.events
    WHERE event_type IN ('report_generated', 'search_performed', 'api_call') AND occurred_at >= {{ start_at() }}
          AND occurred_at < {{ end_at() }}
    GROUP BY tenant_id
), judged AS (
    SELECT *, closed_at >= {{ start_at() }} AND closed_at < {{ end_at() }} AS closed_on_day,
           closed_at >= {{ start_at() }} - interval '29 days' AND closed_at < {{ end_at() }} AS closed_30d,
           CASE WHEN sla_due_at IS NOT NULL THEN closed_at IS NULL OR closed_at <= sla_due_at
                ELSE sla_status IS NULL OR sla_status NOT IN ('BREACHED', 'CRITICAL') END AS in_time
    FROM app.cases WHERE created_at < {{ end_at() }}
), work AS (
    SELECT tenant_id, count(*) FILTER (WHERE created_at >= {{ start_at() }}) AS created,
           count(*) FILTER (WHERE closed_on_day) AS closed, count(*) FILTER (WHERE closed_on_day AND in_time) AS closed_on_time,
           count(*) FILTER (WHERE (closed_at IS NULL OR closed_at >= {{ end_at() }})
               AND CASE WHEN sla_due_at IS NULL THEN NOT in_time ELSE sla_due_at < {{ end_at() }} END) AS overdue,
           count(*) FILTER (WHERE closed_30d) AS closed_30d, count(*) FILTER (WHERE closed_30d AND in_time) AS closed_on_time_30d
    FROM judged GROUP BY tenant_id
), campaign AS (
    SELECT tenant_id, count(*) FILTER (WHERE ended_at IS NULL OR ended_at >= {{ end_at() }}) AS active,
           count(*) FILTER (WHERE ended_at >= {{ start_at() }} AND ended_at < {{ end_at() }}) AS completed
    FROM app.campaigns WHERE launched_at < {{ end_at() }} GROUP BY tenant_id
), assignment AS (
    SELECT tenant_id, count(*) AS total, count(*) FILTER (WHERE completed_at < {{ end_at() }}) AS completed
    FROM app.campaign_assignments WHERE assigned_at < {{ end_at() }} GROUP BY tenant_id
), ticket AS (
    SELECT tenant_id, count(*) AS opened FROM app.support_tickets
    WHERE opened_at >= {{ start_at() }} - interval '29 days' AND opened_at < {{ end_at() }} GROUP BY tenant_id
)
SELECT {{ day() }} AS metric_date, tenant_id, coalesce(total_users, 0) AS total_users, coalesce(active_users, 0) AS active_users,
       coalesce(daily_active_users, 0) AS daily_active_users, coalesce(work.created, 0) AS cases_created,
       coalesce(work.closed, 0) AS cases_closed, coalesce(closed_on_time, 0) AS cases_closed_on_time,
       coalesce(overdue, 0) AS cases_overdue, coalesce(closed_30d, 0) AS cases_closed_30d,
       coalesce(closed_on_time_30d, 0) AS cases_closed_on_time_30d, coalesce(campaign.active, 0) AS campaigns_active,
       coalesce(campaign.completed, 0) AS campaigns_completed, coalesce(assignment.total, 0) AS assignments_total,
       coalesce(assignment.completed, 0) AS assignments_completed, coalesce(ticket.opened, 0) AS support_tickets,
       coalesce(reports, 0) AS reports_generated, coalesce(searches, 0) AS searches_performed, coalesce(api_calls, 0) AS api_calls
FROM {{ ref('tenants_at') }}
LEFT JOIN seats USING (tenant_id)
LEFT JOIN counted USING (tenant_id)
LEFT JOIN work USING (tenant_id)
LEFT JOIN campaign USING (tenant_id)
LEFT JOIN assignment USING (tenant_id)
LEFT JOIN ticket USING (tenant_id)
