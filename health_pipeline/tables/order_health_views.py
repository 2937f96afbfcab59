"""The views of the order-health system. Rule: order-health.md. Their SQL stands in warehouse/views/NAME.sql."""

from __future__ import annotations

from health_pipeline.tables.declare import View
from health_pipeline.tables.order_health import CUSTOMER_ORDER_HEALTH, GROUP

_TENANT_ID = ("tenant_id", "The tenant.")
_CUSTOMER_ID = ("customer_id", "The customer, a buyer of the tenant.")
_SALES_REP_ID = ("sales_rep_id", "The customer's sales rep. Null: it has none.")


def _as_in_table(*names: str) -> tuple[tuple[str, str], ...]:
    described = {column.name: column.description for column in CUSTOMER_ORDER_HEALTH.columns}
    return tuple((name, described[name]) for name in names)


ORDER_HEALTH_VIEWS = (
    View(
        "customer_health_summary",
        "A day's customers of a tenant and sales rep, counted by their status.",
        (
            ("metric_date", "The day D."),
            _TENANT_ID,
            ("sales_rep_id", "The sales rep. Null: the customers without one."),
            ("customers", "Customers active at the end of the day."),
            ("prospects", "Of those, without an order yet, so without a status."),
            ("healthy", "Of those, HEALTHY."),
            ("at_risk_revenue", "Of those, AT_RISK_REVENUE."),
            ("at_risk_cadence", "Of those, AT_RISK_CADENCE."),
            ("dormant", "Of those, DORMANT."),
            ("newly_dormant", "Of those, DORMANT from this day on."),
            ("reactivated", "Customers whose order on this day ended a dormancy."),
        ),
        GROUP,
        for_tenants=True,
    ),
    View(
        "customers_due_to_order",
        "A customer past its expected order date in the newest partition, the most overdue first.",
        (
            ("metric_date", "The day of the newest partition."),
            _TENANT_ID,
            _SALES_REP_ID,
            _CUSTOMER_ID,
            *_as_in_table("risk_status", "delivered_orders", "last_order_date", "average_order_interval_days"),
            ("next_expected_order_date", "When the next order was expected."),
            ("days_overdue", "Days since then."),
            ("revenue_at_stake", "What the order that stays away is worth: recent_average_revenue. Null: not known."),
            *_as_in_table("revenue_change", "probability_alive", "expected_orders_90d"),
        ),
        GROUP,
    ),
    View(
        "customer_risk_transitions",
        "A change of a customer's risk status from one of its days to its next.",
        (
            ("transition_date", "The first day with the new status."),
            _TENANT_ID,
            _CUSTOMER_ID,
            _SALES_REP_ID,
            ("from_status", "The status before. Null: a prospect until then."),
            ("to_status", "The status from then on. Null: a prospect, after a change of the source."),
        ),
        GROUP,
        for_tenants=True,
    ),
    View(
        "dormancy_episodes",
        "A dormancy of a customer, over or not, of which at least one day is materialised.",
        (
            _TENANT_ID,
            _CUSTOMER_ID,
            _SALES_REP_ID,
            ("start_date", "The first dormant day: dormancy_since."),
            ("end_date", "Date of the order that ended it. Null: it is not over, as far as is materialised."),
            ("days", "Dormant days: from start_date to end_date, or to the customer's newest day."),
            ("revenue_before", "recent_average_revenue of the orders before it. Null: not known."),
            (
                "revenue_after",
                "recent_average_revenue on the newest day after it that is not in a later dormancy. Null: not over, or not"
                " known.",
            ),
        ),
        GROUP,
        for_tenants=True,
    ),
)
