SELECT
    metric_date,
    tenant_id,
    sales_rep_id,
    customer_id,
    risk_status,
    delivered_orders,
    last_order_date,
    average_order_interval_days,
    next_expected_order_date,
    days_overdue,
    recent_average_revenue AS revenue_at_stake,
    revenue_change,
    probability_alive,
    expected_orders_90d
FROM health.customer_order_health
WHERE metric_date = (SELECT max(metric_date) FROM health.customer_order_health) AND days_overdue > 0
ORDER BY days_overdue DESC, recent_average_revenue DESC NULLS LAST, customer_id
