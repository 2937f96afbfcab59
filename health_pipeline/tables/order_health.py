"""The tables of the order-health system. Rule: order-health.md."""

from __future__ import annotations

from health_pipeline.tables.declare import METRIC_DATE, TENANT_ID, Column, Table, Type, count, day, figure, text

GROUP = "order_health"

ORDER_LIFECYCLES = ("PROSPECT", "NEW", "ESTABLISHED")
RISK_STATUSES = ("HEALTHY", "AT_RISK_REVENUE", "AT_RISK_CADENCE", "DORMANT")

CUSTOMER_ORDER_HEALTH = Table(
    "customer_order_health",
    "A customer active at the end of the day, also without orders. Deliveries on one date count as one order.",
    ("metric_date", "customer_id"),
    (
        METRIC_DATE,
        text("customer_id", "The customer, a buyer of the tenant."),
        TENANT_ID,
        text("sales_rep_id", "The customer's sales rep, as the source has it now.", nullable=True),
        count("delivered_orders", "Distinct delivery dates up to D.", unit="orders"),
        day("last_order_date", "The newest of them.", nullable=True),
        figure(
            "average_order_interval_days",
            "Mean of the gaps between the last orders (policy: 5 of them). Null with fewer than two.",
            unit="days",
            minimum=1,
        ),
        day("next_expected_order_date", "last_order_date + that mean, rounded half up.", nullable=True),
        Column(
            "days_overdue",
            Type.INTEGER,
            "D - next_expected_order_date; negative: not due yet. Null without one.",
            unit="days",
            nullable=True,
        ),
        figure(
            "recent_average_revenue",
            "Mean known amount of the last orders (policy: 3). Null: none is known.",
            unit="currency of the source",
            minimum=0,
        ),
        figure(
            "baseline_average_revenue",
            "Mean known amount of the orders before those (policy: up to 10). Null: fewer are known than the policy asks.",
            unit="currency of the source",
            minimum=0,
        ),
        figure(
            "revenue_change",
            "recent_average_revenue / baseline_average_revenue - 1. Null: one is null, or the baseline is 0.",
            unit="ratio",
            minimum=-1,
        ),
        text("order_lifecycle", "PROSPECT (no order), NEW (one) or ESTABLISHED (more).", one_of=ORDER_LIFECYCLES),
        text(
            "risk_status",
            "The first that holds: DORMANT, AT_RISK_CADENCE, AT_RISK_REVENUE, HEALTHY. Null: a PROSPECT.",
            nullable=True,
            one_of=RISK_STATUSES,
        ),
        day("dormancy_since", "The day from which the customer is DORMANT. Null: it is not.", nullable=True),
        day("reactivated_date", "Date of the newest order that ended a dormancy. Null: none did.", nullable=True),
        figure(
            "probability_alive",
            "Probability that the customer still buys, by the purchase model. Null: no order, or no fitted model.",
            minimum=0,
            maximum=1,
        ),
        figure(
            "expected_orders_90d",
            "Orders that the purchase model expects in the 90 days after D. Null: as before.",
            unit="orders",
            minimum=0,
        ),
    ),
    GROUP,
    "daily",
)

PURCHASE_MODEL_PARAMETERS = Table(
    "purchase_model_parameters",
    "A tenant's purchase model (MBG/NBD), fitted to its orders up to the end of a Sunday; it serves from that day on for a week.",
    ("model_date", "tenant_id"),
    (
        day("model_date", "The Sunday at whose end the model was fitted."),
        TENANT_ID,
        figure("r", "Shape of the distribution of order rates. Null: not fitted.", minimum=0),
        figure("alpha", "Scale of the distribution of order rates. Null: not fitted.", unit="days", minimum=0),
        figure("a", "First shape of the distribution of drop-out chances. Null: not fitted.", minimum=0),
        figure("b", "Second shape of the distribution of drop-out chances. Null: not fitted.", minimum=0),
        count("buyers", "Customers with at least one order.", unit="customers"),
        count("repeat_buyers", "Customers with at least two orders.", unit="customers"),
        figure("log_likelihood", "The logarithm of the orders' likelihood at these parameters. Null: not fitted."),
        Column(
            "is_fitted",
            Type.BOOLEAN,
            "Whether there are parameters: enough repeat buyers (policy), and the fit came to its end.",
        ),
    ),
    GROUP,
)

ORDER_HEALTH_TABLES = (CUSTOMER_ORDER_HEALTH, PURCHASE_MODEL_PARAMETERS)
