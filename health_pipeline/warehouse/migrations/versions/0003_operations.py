"""Records of operations"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("event_key", sa.Text(), nullable=False, comment="The event: its kind and what it is of."),
        sa.Column("channel", sa.Text(), nullable=False, comment="How people are told."),
        sa.Column("kind", sa.Text(), nullable=False, comment="What happened."),
        sa.Column("tenant_id", sa.Text(), nullable=True, comment="The tenant of high_risk."),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False, comment="Since when it is so. [UTC]"),
        sa.Column("message", sa.Text(), nullable=False, comment="What was said of it."),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="reserved: begun and not confirmed, so the outcome is unknown and it is never sent again; sent; refused: not delivered, tried again after a wait that doubles, while it is so.",
        ),
        sa.Column("attempts", sa.BigInteger(), nullable=False, comment="How often it was tried. [count]"),
        sa.Column(
            "reserved_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When the last try began, before anything was sent. [UTC]",
        ),
        sa.Column(
            "sent_at", sa.DateTime(timezone=True), nullable=True, comment="When the other side had taken it. [UTC]"
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it was refused."),
        sa.PrimaryKeyConstraint("event_key", "channel", name="notifications_pkey"),
        schema="health",
        comment="Something that people were told, or are to be told, over one channel, once per event.",
    )
    op.create_index(
        "notifications_tenant_id_since", "notifications", ["tenant_id", "since"], unique=False, schema="health"
    )
    op.create_table(
        "role_definitions",
        sa.Column("definition_hash", sa.Text(), nullable=False, comment="Hash of all grants and row policies."),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False, comment="When they were given. [UTC]"),
        sa.PrimaryKeyConstraint("definition_hash", name="role_definitions_pkey"),
        schema="health",
        comment="What `migrate` last granted, so that it grants anew when that changes.",
    )
    op.create_table(
        "score_restatements",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The day D that the row describes, as it was at the end of D.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column(
            "old_score", sa.Integer(), nullable=True, comment="The score that was published. Null: none was. [points]"
        ),
        sa.Column(
            "new_score",
            sa.Integer(),
            nullable=True,
            comment="The score that stands instead. Null: none, or the tenant has no row on that day any more. [points]",
        ),
        sa.Column("old_policy_version", sa.Text(), nullable=False, comment="The policy of the old score."),
        sa.Column(
            "new_policy_version", sa.Text(), nullable=True, comment="The policy of the new one. Null without a row."
        ),
        sa.Column("run_id", sa.Text(), nullable=False, comment="The Dagster run."),
        sa.Column("restated_at", sa.DateTime(timezone=True), nullable=False, comment="The clock of that run. [UTC]"),
        sa.PrimaryKeyConstraint("metric_date", "tenant_id", "restated_at", name="score_restatements_pkey"),
        schema="health",
        comment="A published overall_score that a later run changed: late facts, or another policy.",
    )
    op.create_index(
        "score_restatements_tenant_id_metric_date",
        "score_restatements",
        ["tenant_id", "metric_date"],
        unique=False,
        schema="health",
    )
    op.create_table(
        "source_freshness",
        sa.Column("run_id", sa.Text(), nullable=False, comment="The Dagster run."),
        sa.Column("system", sa.Text(), nullable=False, comment="What ran: the asset group's step."),
        sa.Column("source_table", sa.Text(), nullable=False, comment="The logical source table."),
        sa.Column("first_day", sa.Date(), nullable=False, comment="The first day that the run computed."),
        sa.Column("last_day", sa.Date(), nullable=False, comment="The last day that it computed."),
        sa.Column(
            "newest_fact_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="The table's newest fact then, facts of the future aside. Null: none. [UTC]",
        ),
        sa.Column(
            "is_stopped",
            sa.Boolean(),
            nullable=False,
            comment="Nothing for 36 hours, and for longer than at any time in the 28 days before: see metrics/freshness.py.",
        ),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, comment="The run's clock. [UTC]"),
        sa.PrimaryKeyConstraint("run_id", "system", "source_table", name="source_freshness_pkey"),
        schema="health",
        comment="A source table as a run of a system found it.",
    )
    op.create_index("source_freshness_last_day", "source_freshness", ["last_day"], unique=False, schema="health")
    op.create_index(
        "source_freshness_source_table_recorded_at",
        "source_freshness",
        ["source_table", "recorded_at"],
        unique=False,
        schema="health",
    )
    op.create_table(
        "unscored_tenants",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The day D that the row describes, as it was at the end of D.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=False,
            comment="Why: nothing was measured, its source row is bad, or a row computed for it breaks its table's rules.",
        ),
        sa.PrimaryKeyConstraint("metric_date", "tenant_id", name="unscored_tenants_pkey"),
        schema="health",
        comment="A tenant without a score on a day. It is never taken for healthy.",
    )


def downgrade() -> None:
    op.drop_table("unscored_tenants", schema="health")
    op.drop_index("source_freshness_source_table_recorded_at", table_name="source_freshness", schema="health")
    op.drop_index("source_freshness_last_day", table_name="source_freshness", schema="health")
    op.drop_table("source_freshness", schema="health")
    op.drop_index("score_restatements_tenant_id_metric_date", table_name="score_restatements", schema="health")
    op.drop_table("score_restatements", schema="health")
    op.drop_table("role_definitions", schema="health")
    op.drop_index("notifications_tenant_id_since", table_name="notifications", schema="health")
    op.drop_table("notifications", schema="health")
