"""The tables of order health and client success"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_actions",
        sa.Column("alert_key", sa.Text(), nullable=False, comment="The episode, as momentum_alerts shows it."),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column("client_id", sa.Text(), nullable=False, comment="The client: a user of the tenant."),
        sa.Column("alert_type", sa.Text(), nullable=False, comment="What was wrong."),
        sa.Column(
            "subject_id", sa.Text(), nullable=False, comment="What it is about: the task of task_stalled, else empty."
        ),
        sa.Column(
            "opened_on",
            sa.Date(),
            nullable=False,
            comment="The day of the instant at which it opened; the same in all snapshots of an episode.",
        ),
        sa.Column("acknowledged_by", sa.Text(), nullable=False, comment="Who acknowledged it."),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=False, comment="When. [UTC]"),
        sa.Column("note", sa.Text(), nullable=True, comment="What they had to say."),
        sa.PrimaryKeyConstraint("alert_key", name="alert_actions_pkey"),
        schema="health",
        comment="An alert episode that somebody acknowledged. People write it; no run ever does.",
    )
    op.create_table(
        "alert_snapshots",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The day D that the row describes, as it was at the end of D.",
        ),
        sa.Column(
            "computed_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="The clock of the run that computed it last. [UTC]",
        ),
        sa.PrimaryKeyConstraint("metric_date", name="alert_snapshots_pkey"),
        schema="health",
        comment="A day whose client_momentum_alerts were computed, also when nothing was open.",
    )
    op.create_table(
        "client_engagement",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The day D that the row describes, as it was at the end of D.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column("client_id", sa.Text(), nullable=False, comment="The client: a user of the tenant."),
        sa.Column("events", sa.BigInteger(), nullable=False, comment="Events of every type on D. [events]"),
        sa.Column(
            "high_value_events", sa.BigInteger(), nullable=False, comment="Of those, of a high-value type. [events]"
        ),
        sa.Column(
            "sessions",
            sa.BigInteger(),
            nullable=True,
            comment="Distinct sessions on D. Null: the column is not mapped. [sessions]",
        ),
        sa.Column(
            "duration_seconds",
            sa.BigInteger(),
            nullable=True,
            comment="Sum of the known durations, 0 with none. Null: the column is not mapped. [seconds]",
        ),
        sa.Column(
            "event_counts",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="Events on D by event type.",
        ),
        sa.PrimaryKeyConstraint("metric_date", "client_id", name="client_engagement_pkey"),
        schema="health",
        comment="A client, created before the end of the day, and what it did on the day. Only days with activity have a row.",
    )
    op.create_index(
        "client_engagement_client_id_metric_date",
        "client_engagement",
        ["client_id", "metric_date"],
        unique=False,
        schema="health",
    )
    op.create_index(
        "client_engagement_tenant_id_metric_date",
        "client_engagement",
        ["tenant_id", "metric_date"],
        unique=False,
        schema="health",
    )
    op.create_table(
        "client_insights",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The Sunday; the row holds at its 00:00, and its week is the 7 days before.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column("client_id", sa.Text(), nullable=False, comment="The client: a user of the tenant."),
        sa.Column("rule_id", sa.Text(), nullable=False, comment="The rule that fired."),
        sa.Column("insight_type", sa.Text(), nullable=False, comment="The kind of insight."),
        sa.Column("title", sa.Text(), nullable=False, comment="What it says, in a few words."),
        sa.Column("body", sa.Text(), nullable=False, comment="What it says."),
        sa.Column("priority", sa.Text(), nullable=False, comment="How much it matters."),
        sa.Column("valid_until", sa.Date(), nullable=False, comment="The day from which it is out of date."),
        sa.Column(
            "numbers", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="The figures behind the text."
        ),
        sa.PrimaryKeyConstraint("metric_date", "client_id", "rule_id", name="client_insights_pkey"),
        schema="health",
        comment="A client of client_success_scores and a rule that fired for it.",
    )
    op.create_index(
        "client_insights_client_id_metric_date",
        "client_insights",
        ["client_id", "metric_date"],
        unique=False,
        schema="health",
    )
    op.create_index(
        "client_insights_tenant_id_metric_date",
        "client_insights",
        ["tenant_id", "metric_date"],
        unique=False,
        schema="health",
    )
    op.create_table(
        "client_momentum_alerts",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The day D that the row describes, as it was at the end of D.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column("client_id", sa.Text(), nullable=False, comment="The client: a user of the tenant."),
        sa.Column("alert_type", sa.Text(), nullable=False, comment="What is wrong."),
        sa.Column(
            "subject_id", sa.Text(), nullable=False, comment="What it is about: the task of task_stalled, else empty."
        ),
        sa.Column("severity", sa.Text(), nullable=False, comment="How bad it is."),
        sa.Column(
            "opened_on",
            sa.Date(),
            nullable=False,
            comment="The day of the instant at which it opened; the same in all snapshots of an episode.",
        ),
        sa.PrimaryKeyConstraint(
            "metric_date", "client_id", "alert_type", "subject_id", name="client_momentum_alerts_pkey"
        ),
        schema="health",
        comment="An alert that is open at the end of the day, of a client active then.",
    )
    op.create_index(
        "client_momentum_alerts_client_id_opened_on",
        "client_momentum_alerts",
        ["client_id", "opened_on"],
        unique=False,
        schema="health",
    )
    op.create_index(
        "client_momentum_alerts_opened_on", "client_momentum_alerts", ["opened_on"], unique=False, schema="health"
    )
    op.create_index(
        "client_momentum_alerts_tenant_id_metric_date",
        "client_momentum_alerts",
        ["tenant_id", "metric_date"],
        unique=False,
        schema="health",
    )
    op.create_table(
        "client_success_emails",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The Sunday; the row holds at its 00:00, and its week is the 7 days before.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column("client_id", sa.Text(), nullable=False, comment="The client: a user of the tenant."),
        sa.Column("email", sa.Text(), nullable=False, comment="The address, as it stands in the source."),
        sa.Column("subject", sa.Text(), nullable=False, comment="The mail's subject."),
        sa.Column("html", sa.Text(), nullable=False, comment="The mail as HTML."),
        sa.Column("plain_text", sa.Text(), nullable=False, comment="The mail as plain text."),
        sa.PrimaryKeyConstraint("metric_date", "client_id", name="client_success_emails_pkey"),
        schema="health",
        comment="The weekly mail to a client of client_success_scores that wants it and has an address: an outbox.",
    )
    op.create_index(
        "client_success_emails_tenant_id_metric_date",
        "client_success_emails",
        ["tenant_id", "metric_date"],
        unique=False,
        schema="health",
    )
    op.create_table(
        "client_success_scores",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The Sunday; the row holds at its 00:00, and its week is the 7 days before.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column("client_id", sa.Text(), nullable=False, comment="The client: a user of the tenant."),
        sa.Column(
            "engagement_score",
            sa.Integer(),
            nullable=False,
            comment="Active days, events and high-value events of the week. [points]",
        ),
        sa.Column(
            "activation_score",
            sa.Integer(),
            nullable=True,
            comment="Onboarding tasks completed and launch kit viewed. Null: no task counts. [points]",
        ),
        sa.Column(
            "progress_score",
            sa.Integer(),
            nullable=False,
            comment="Content and visuals made in the last weeks. [points]",
        ),
        sa.Column(
            "satisfaction_score",
            sa.Integer(),
            nullable=True,
            comment="Mean feedback of the last months. Null: none. [points]",
        ),
        sa.Column(
            "momentum_score",
            sa.Integer(),
            nullable=True,
            comment="Events of the week against the week before. Null: too few in both. [points]",
        ),
        sa.Column(
            "overall_score",
            sa.Integer(),
            nullable=False,
            comment="Weighted mean of the measured components, rounded half up. [points]",
        ),
        sa.Column("coverage", sa.Double(), nullable=False, comment="Weight that was measured / all weights. [share]"),
        sa.Column("band", sa.Text(), nullable=False, comment="What overall_score means."),
        sa.Column(
            "previous_score",
            sa.Integer(),
            nullable=True,
            comment="overall_score of the Sunday before. Null: not active then. [points]",
        ),
        sa.Column(
            "trend",
            sa.Text(),
            nullable=False,
            comment="RISING or DECLINING when the change reaches the policy's threshold.",
        ),
        sa.PrimaryKeyConstraint("metric_date", "client_id", name="client_success_scores_pkey"),
        schema="health",
        comment="A client active at 00:00 of the Sunday, with its scores.",
    )
    op.create_index(
        "client_success_scores_client_id_metric_date",
        "client_success_scores",
        ["client_id", "metric_date"],
        unique=False,
        schema="health",
    )
    op.create_index(
        "client_success_scores_tenant_id_metric_date",
        "client_success_scores",
        ["tenant_id", "metric_date"],
        unique=False,
        schema="health",
    )
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
        "email_deliveries",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The Sunday; the row holds at its 00:00, and its week is the 7 days before.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column("client_id", sa.Text(), nullable=False, comment="The client: a user of the tenant."),
        sa.Column("email", sa.Text(), nullable=False, comment="The address that it went to."),
        sa.Column(
            "message_id",
            sa.Text(),
            nullable=False,
            comment="The mail's Message-ID header, by which mail servers report on it.",
        ),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="reserved: begun and not confirmed, so the outcome is unknown and it is never sent again; sent; failed: refused for good; deferred: refused for now, the next delivery of the week tries again.",
        ),
        sa.Column(
            "reserved_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When the delivery was begun, before anything was sent. [UTC]",
        ),
        sa.Column(
            "sent_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the mail server, or the folder, had taken it. [UTC]",
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it was refused."),
        sa.Column(
            "opened_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the client first opened it, as far as known. [UTC]",
        ),
        sa.Column(
            "clicked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="When the client first followed its link, as far as known. [UTC]",
        ),
        sa.PrimaryKeyConstraint("metric_date", "client_id", name="email_deliveries_pkey"),
        schema="health",
        comment="A weekly mail whose delivery was begun, at most once per client and week. Only the delivery writes it, no run does.",
    )
    op.create_index("email_deliveries_message_id", "email_deliveries", ["message_id"], unique=False, schema="health")
    op.create_index(
        "email_deliveries_status_metric_date",
        "email_deliveries",
        ["status", "metric_date"],
        unique=False,
        schema="health",
    )
    op.create_table(
        "insight_actions",
        sa.Column("insight_key", sa.Text(), nullable=False, comment="The insight, as insight_status shows it."),
        sa.Column("action", sa.Text(), nullable=False, comment="What was done."),
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The Sunday; the row holds at its 00:00, and its week is the 7 days before.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column("client_id", sa.Text(), nullable=False, comment="The client: a user of the tenant."),
        sa.Column("rule_id", sa.Text(), nullable=False, comment="The insight's rule."),
        sa.Column("acted_by", sa.Text(), nullable=False, comment="Who did it."),
        sa.Column("acted_at", sa.DateTime(timezone=True), nullable=False, comment="When. [UTC]"),
        sa.PrimaryKeyConstraint("insight_key", "action", name="insight_actions_pkey"),
        schema="health",
        comment="Something that was done with an insight, once per kind of action. People write it; no run ever does.",
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
    op.drop_table("insight_actions", schema="health")
    op.drop_index("email_deliveries_status_metric_date", table_name="email_deliveries", schema="health")
    op.drop_index("email_deliveries_message_id", table_name="email_deliveries", schema="health")
    op.drop_table("email_deliveries", schema="health")
    op.drop_table("customer_order_health", schema="health")
    op.drop_index("client_success_scores_tenant_id_metric_date", table_name="client_success_scores", schema="health")
    op.drop_index("client_success_scores_client_id_metric_date", table_name="client_success_scores", schema="health")
    op.drop_table("client_success_scores", schema="health")
    op.drop_index("client_success_emails_tenant_id_metric_date", table_name="client_success_emails", schema="health")
    op.drop_table("client_success_emails", schema="health")
    op.drop_index("client_momentum_alerts_tenant_id_metric_date", table_name="client_momentum_alerts", schema="health")
    op.drop_index("client_momentum_alerts_opened_on", table_name="client_momentum_alerts", schema="health")
    op.drop_index("client_momentum_alerts_client_id_opened_on", table_name="client_momentum_alerts", schema="health")
    op.drop_table("client_momentum_alerts", schema="health")
    op.drop_index("client_insights_tenant_id_metric_date", table_name="client_insights", schema="health")
    op.drop_index("client_insights_client_id_metric_date", table_name="client_insights", schema="health")
    op.drop_table("client_insights", schema="health")
    op.drop_index("client_engagement_tenant_id_metric_date", table_name="client_engagement", schema="health")
    op.drop_index("client_engagement_client_id_metric_date", table_name="client_engagement", schema="health")
    op.drop_table("client_engagement", schema="health")
    op.drop_table("alert_snapshots", schema="health")
    op.drop_table("alert_actions", schema="health")
