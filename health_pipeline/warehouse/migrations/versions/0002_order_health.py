"""The table of order health"""

import sqlalchemy as sa
from alembic import op


revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "customer_order_health",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The day D that the row describes, as it was at the end of D.",
        ),
        sa.Column("customer_id", sa.Text(), nullable=False, comment="The customer, a buyer of the tenant."),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column(
            "sales_rep_id", sa.Text(), nullable=True, comment="The customer's sales rep, as the source has it now."
        ),
        sa.Column(
            "delivered_orders", sa.BigInteger(), nullable=False, comment="Distinct delivery dates up to D. [orders]"
        ),
        sa.Column("last_order_date", sa.Date(), nullable=True, comment="The newest of them."),
        sa.Column(
            "average_order_interval_days",
            sa.Double(),
            nullable=True,
            comment="Mean of the gaps between the last orders (policy: 5 of them). Null with fewer than two. [days]",
        ),
        sa.Column(
            "next_expected_order_date",
            sa.Date(),
            nullable=True,
            comment="last_order_date + that mean, rounded half up.",
        ),
        sa.Column(
            "days_overdue",
            sa.Integer(),
            nullable=True,
            comment="D - next_expected_order_date; negative: not due yet. Null without one. [days]",
        ),
        sa.Column(
            "recent_average_revenue",
            sa.Double(),
            nullable=True,
            comment="Mean known amount of the last orders (policy: 3). Null: none is known. [currency of the source]",
        ),
        sa.Column(
            "baseline_average_revenue",
            sa.Double(),
            nullable=True,
            comment="Mean known amount of the orders before those (policy: up to 10). Null: fewer are known than the policy asks. [currency of the source]",
        ),
        sa.Column(
            "revenue_change",
            sa.Double(),
            nullable=True,
            comment="recent_average_revenue / baseline_average_revenue - 1. Null: one is null, or the baseline is 0. [ratio]",
        ),
        sa.Column(
            "order_lifecycle",
            sa.Text(),
            nullable=False,
            comment="PROSPECT (no order), NEW (one) or ESTABLISHED (more).",
        ),
        sa.Column(
            "risk_status",
            sa.Text(),
            nullable=True,
            comment="The first that holds: DORMANT, AT_RISK_CADENCE, AT_RISK_REVENUE, HEALTHY. Null: a PROSPECT.",
        ),
        sa.Column(
            "dormancy_since",
            sa.Date(),
            nullable=True,
            comment="The day from which the customer is DORMANT. Null: it is not.",
        ),
        sa.Column(
            "reactivated_date",
            sa.Date(),
            nullable=True,
            comment="Date of the newest order that ended a dormancy. Null: none did.",
        ),
        sa.Column(
            "probability_alive",
            sa.Double(),
            nullable=True,
            comment="Probability that the customer still buys, by the purchase model. Null: no order, or no fitted model.",
        ),
        sa.Column(
            "expected_orders_90d",
            sa.Double(),
            nullable=True,
            comment="Orders that the purchase model expects in the 90 days after D. Null: as before. [orders]",
        ),
        sa.PrimaryKeyConstraint("metric_date", "customer_id", name="customer_order_health_pkey"),
        schema="health",
        comment="A customer active at the end of the day, also without orders. Deliveries on one date count as one order.",
    )
    op.create_table(
        "purchase_model_parameters",
        sa.Column("model_date", sa.Date(), nullable=False, comment="The Sunday at whose end the model was fitted."),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column(
            "r", sa.Double(), nullable=True, comment="Shape of the distribution of order rates. Null: not fitted."
        ),
        sa.Column(
            "alpha",
            sa.Double(),
            nullable=True,
            comment="Scale of the distribution of order rates. Null: not fitted. [days]",
        ),
        sa.Column(
            "a",
            sa.Double(),
            nullable=True,
            comment="First shape of the distribution of drop-out chances. Null: not fitted.",
        ),
        sa.Column(
            "b",
            sa.Double(),
            nullable=True,
            comment="Second shape of the distribution of drop-out chances. Null: not fitted.",
        ),
        sa.Column("buyers", sa.BigInteger(), nullable=False, comment="Customers with at least one order. [customers]"),
        sa.Column(
            "repeat_buyers", sa.BigInteger(), nullable=False, comment="Customers with at least two orders. [customers]"
        ),
        sa.Column(
            "log_likelihood",
            sa.Double(),
            nullable=True,
            comment="The logarithm of the orders' likelihood at these parameters. Null: not fitted.",
        ),
        sa.Column(
            "is_fitted",
            sa.Boolean(),
            nullable=False,
            comment="Whether there are parameters: enough repeat buyers (policy), and the fit came to its end.",
        ),
        sa.PrimaryKeyConstraint("model_date", "tenant_id", name="purchase_model_parameters_pkey"),
        schema="health",
        comment="A tenant's purchase model (MBG/NBD), fitted to its orders up to the end of a Sunday; it serves from that day on for a week.",
    )


def downgrade() -> None:
    op.drop_table("purchase_model_parameters", schema="health")
    op.drop_table("customer_order_health", schema="health")
