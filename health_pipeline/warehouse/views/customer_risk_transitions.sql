WITH status AS (
    SELECT
        metric_date,
        tenant_id,
        customer_id,
        sales_rep_id,
        risk_status,
        lag(metric_date) OVER customer_days AS previous_date,
        lag(risk_status) OVER customer_days AS previous_status
    FROM health.customer_order_health
    WINDOW customer_days AS (PARTITION BY tenant_id, customer_id ORDER BY metric_date)
)
SELECT
    metric_date AS transition_date,
    tenant_id,
    customer_id,
    sales_rep_id,
    previous_status AS from_status,
    risk_status AS to_status
FROM status
WHERE previous_date IS NOT NULL AND risk_status IS DISTINCT FROM previous_status
