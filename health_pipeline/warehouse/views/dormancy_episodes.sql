-- The first later reactivation ends an episode; what follows counts until the next dormancy.
WITH episode AS (
    SELECT
        tenant_id,
        customer_id,
        dormancy_since AS start_date,
        max(metric_date) AS newest_date,
        max(recent_average_revenue) AS revenue_before,
        (array_agg(sales_rep_id ORDER BY metric_date DESC))[1] AS sales_rep_id
    FROM health.customer_order_health
    WHERE risk_status = 'DORMANT'
    GROUP BY tenant_id, customer_id, dormancy_since
),
stretch AS (
    SELECT
        tenant_id,
        customer_id,
        reactivated_date,
        (array_agg(recent_average_revenue ORDER BY metric_date DESC) FILTER (WHERE risk_status <> 'DORMANT'))[1]
            AS revenue
    FROM health.customer_order_health
    WHERE reactivated_date IS NOT NULL
    GROUP BY tenant_id, customer_id, reactivated_date
)
SELECT
    episode.tenant_id,
    episode.customer_id,
    episode.sales_rep_id,
    episode.start_date,
    min(stretch.reactivated_date) AS end_date,
    coalesce(min(stretch.reactivated_date), episode.newest_date + 1) - episode.start_date AS days,
    episode.revenue_before,
    (array_agg(stretch.revenue ORDER BY stretch.reactivated_date))[1] AS revenue_after
FROM episode
LEFT JOIN stretch
    ON
        stretch.tenant_id = episode.tenant_id
        AND stretch.customer_id = episode.customer_id
        AND stretch.reactivated_date > episode.start_date
GROUP BY
    episode.tenant_id,
    episode.customer_id,
    episode.sales_rep_id,
    episode.start_date,
    episode.newest_date,
    episode.revenue_before
