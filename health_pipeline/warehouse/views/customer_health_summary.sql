SELECT
    metric_date,
    tenant_id,
    sales_rep_id,
    count(*) AS customers,
    count(*) FILTER (WHERE risk_status IS NULL) AS prospects,
    count(*) FILTER (WHERE risk_status = 'HEALTHY') AS healthy,
    count(*) FILTER (WHERE risk_status = 'AT_RISK_REVENUE') AS at_risk_revenue,
    count(*) FILTER (WHERE risk_status = 'AT_RISK_CADENCE') AS at_risk_cadence,
    count(*) FILTER (WHERE risk_status = 'DORMANT') AS dormant,
    count(*) FILTER (WHERE dormancy_since = metric_date) AS newly_dormant,
    count(*) FILTER (WHERE reactivated_date = metric_date) AS reactivated
FROM health.customer_order_health
GROUP BY metric_date, tenant_id, sales_rep_id
