"""The tables of tenant health and the records of runs"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feature_adoption",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The day D that the row describes, as it was at the end of D.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column("feature_key", sa.Text(), nullable=False, comment="The tracked feature."),
        sa.Column("category", sa.Text(), nullable=False, comment="The feature's category in the policy's catalogue."),
        sa.Column(
            "is_enabled",
            sa.Boolean(),
            nullable=False,
            comment="Entitled at end(D); true where entitlements are not mapped.",
        ),
        sa.Column("is_adopted", sa.Boolean(), nullable=False, comment="Used at least once before end(D)."),
        sa.Column(
            "first_used_at", sa.DateTime(timezone=True), nullable=True, comment="The first use before end(D). [UTC]"
        ),
        sa.Column(
            "last_used_at", sa.DateTime(timezone=True), nullable=True, comment="The last use before end(D). [UTC]"
        ),
        sa.Column(
            "usage_count", sa.BigInteger(), nullable=False, comment="All uses before end(D), entitled or not. [events]"
        ),
        sa.Column("usage_count_30d", sa.BigInteger(), nullable=False, comment="Uses in the 30 days at D. [events]"),
        sa.PrimaryKeyConstraint("metric_date", "tenant_id", "feature_key", name="feature_adoption_pkey"),
        schema="health",
        comment="A tenant active at the end of the day and a tracked feature of the policy.",
    )
    op.create_table(
        "peer_benchmarks",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The day D that the row describes, as it was at the end of D.",
        ),
        sa.Column(
            "metric_name",
            sa.Text(),
            nullable=False,
            comment="The score's column, or active_user_ratio (active_users / total_users).",
        ),
        sa.Column("industry_sector", sa.Text(), nullable=False, comment="The cohort's sector; ALL where not split."),
        sa.Column("employee_band", sa.Text(), nullable=False, comment="The cohort's size band; ALL where not split."),
        sa.Column(
            "employee_min",
            sa.BigInteger(),
            nullable=True,
            comment="Smallest size in the band. Null for ALL. [employees]",
        ),
        sa.Column(
            "employee_max",
            sa.BigInteger(),
            nullable=True,
            comment="Largest size in the band. Null for ALL and open-ended. [employees]",
        ),
        sa.Column(
            "peer_count",
            sa.BigInteger(),
            nullable=True,
            comment="Tenants of the cohort with a value. Null: suppressed. [tenants]",
        ),
        sa.Column(
            "p25", sa.Double(), nullable=True, comment="25th percentile, interpolated linearly. Null: suppressed."
        ),
        sa.Column("median", sa.Double(), nullable=True, comment="Median. Null: suppressed."),
        sa.Column(
            "p75", sa.Double(), nullable=True, comment="75th percentile, interpolated linearly. Null: suppressed."
        ),
        sa.Column("mean", sa.Double(), nullable=True, comment="Mean. Null: suppressed."),
        sa.Column(
            "min_value",
            sa.Double(),
            nullable=True,
            comment="Minimum. Null: suppressed, or fewer peers than the policy asks for extremes.",
        ),
        sa.Column(
            "max_value",
            sa.Double(),
            nullable=True,
            comment="Maximum. Null: suppressed, or fewer peers than the policy asks for extremes.",
        ),
        sa.Column(
            "is_suppressed",
            sa.Boolean(),
            nullable=False,
            comment="No figure is given, because it could tell about a single tenant.",
        ),
        sa.PrimaryKeyConstraint(
            "metric_date", "metric_name", "industry_sector", "employee_band", name="peer_benchmarks_pkey"
        ),
        schema="health",
        comment="A metric over a cohort of the tenants active at the end of the day. A suppressed row carries no figure.",
    )
    op.create_table(
        "policies",
        sa.Column("policy_version", sa.Text(), nullable=False, comment="Hash of the policy."),
        sa.Column("policy", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="The policy's values."),
        sa.Column(
            "login_score_weight",
            sa.Numeric(),
            nullable=False,
            comment="Weight of login_score, an exact whole number. [parts]",
        ),
        sa.Column(
            "case_resolution_score_weight",
            sa.Numeric(),
            nullable=False,
            comment="Weight of case_resolution_score, an exact whole number. [parts]",
        ),
        sa.Column(
            "campaign_completion_score_weight",
            sa.Numeric(),
            nullable=False,
            comment="Weight of campaign_completion_score, an exact whole number. [parts]",
        ),
        sa.Column(
            "feature_adoption_score_weight",
            sa.Numeric(),
            nullable=False,
            comment="Weight of feature_adoption_score, an exact whole number. [parts]",
        ),
        sa.Column(
            "support_ticket_score_weight",
            sa.Numeric(),
            nullable=False,
            comment="Weight of support_ticket_score, an exact whole number. [parts]",
        ),
        sa.Column(
            "first_used_at", sa.DateTime(timezone=True), nullable=False, comment="When a run first used it. [UTC]"
        ),
        sa.PrimaryKeyConstraint("policy_version", name="policies_pkey"),
        schema="health",
        comment="A version of the tenant-health policy that scored at least one row.",
    )
    op.create_table(
        "quarantined_rows",
        sa.Column(
            "quarantine_id",
            sa.Text(),
            nullable=False,
            comment="Hash of the source table, the row's values and, among equal rows, its number.",
        ),
        sa.Column("source_table", sa.Text(), nullable=False, comment="The logical source table."),
        sa.Column(
            "row_key",
            sa.Text(),
            nullable=True,
            comment="The row's key as text, its parts joined by |. Null without one.",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="The row's first fault."),
        sa.Column(
            "row",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="The row's values by contract column.",
        ),
        sa.Column(
            "first_recorded_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="When a run first met the row. [UTC]",
        ),
        sa.Column(
            "last_recorded_at", sa.DateTime(timezone=True), nullable=False, comment="When a run last met the row. [UTC]"
        ),
        sa.Column("run_id", sa.Text(), nullable=False, comment="The run that met it last."),
        sa.PrimaryKeyConstraint("quarantine_id", name="quarantined_rows_pkey"),
        schema="health",
        comment="A bad source row, however many runs met it. Left out of every computation, never lost.",
    )
    op.create_index(
        "quarantined_rows_source_table_last_recorded_at",
        "quarantined_rows",
        ["source_table", "last_recorded_at"],
        unique=False,
        schema="health",
    )
    op.create_table(
        "tenant_health_scores",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The day D that the row describes, as it was at the end of D.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column(
            "login_score",
            sa.Integer(),
            nullable=True,
            comment="Share of users active in 30 days, against its target. Null: not measured. [points]",
        ),
        sa.Column(
            "case_resolution_score",
            sa.Integer(),
            nullable=True,
            comment="Share of cases closed on time in 30 days, against its target. Null: not measured. [points]",
        ),
        sa.Column(
            "campaign_completion_score",
            sa.Integer(),
            nullable=True,
            comment="Share of assignments completed, against its target. Null: not measured. [points]",
        ),
        sa.Column(
            "feature_adoption_score",
            sa.Integer(),
            nullable=True,
            comment="Share of tracked features adopted, against its target. Null: not measured. [points]",
        ),
        sa.Column(
            "support_ticket_score",
            sa.Integer(),
            nullable=True,
            comment="100 less a deduction per ticket of the 30 days at D. Null: not measured. [points]",
        ),
        sa.Column(
            "overall_score",
            sa.Integer(),
            nullable=True,
            comment="Weighted mean of the measured components, rounded half up. Null: nothing measured. [points]",
        ),
        sa.Column("coverage", sa.Double(), nullable=False, comment="Weight that was measured / all weights. [share]"),
        sa.Column(
            "previous_score",
            sa.Integer(),
            nullable=True,
            comment="overall_score so many days before as the policy's lag says. Null: not active then. [points]",
        ),
        sa.Column("score_change", sa.Integer(), nullable=True, comment="overall_score - previous_score. [points]"),
        sa.Column(
            "trend",
            sa.Text(),
            nullable=False,
            comment="IMPROVING or DECLINING when the change is beyond the policy's threshold, else STABLE.",
        ),
        sa.Column("risk_level", sa.Text(), nullable=True, comment="LOW, MEDIUM or HIGH. Null without a score."),
        sa.Column(
            "alert_level",
            sa.Text(),
            nullable=True,
            comment="How loudly to tell people about the risk. Null without a score.",
        ),
        sa.Column(
            "policy_version",
            sa.Text(),
            nullable=False,
            comment="Hash of the policy that scored the row; policies.policy has its text.",
        ),
        sa.PrimaryKeyConstraint("metric_date", "tenant_id", name="tenant_health_scores_pkey"),
        schema="health",
        comment="A tenant active at the end of the day, scored under one policy.",
    )
    op.create_index(
        "tenant_health_scores_tenant_id_metric_date",
        "tenant_health_scores",
        ["tenant_id", "metric_date"],
        unique=False,
        schema="health",
    )
    op.create_table(
        "tenant_profiles",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The day D that the row describes, as it was at the end of D.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column("name", sa.Text(), nullable=False, comment="The tenant's name."),
        sa.Column("slug", sa.Text(), nullable=True, comment="The tenant's slug."),
        sa.Column("industry_sector", sa.Text(), nullable=True, comment="The tenant's sector. Null: unknown."),
        sa.Column(
            "employee_count", sa.BigInteger(), nullable=True, comment="The tenant's size. Null: unknown. [employees]"
        ),
        sa.Column(
            "employee_band",
            sa.Text(),
            nullable=True,
            comment="The policy's size band of employee_count. Null: unknown.",
        ),
        sa.Column("renewal_date", sa.Date(), nullable=True, comment="The day on which the contract renews."),
        sa.PrimaryKeyConstraint("metric_date", "tenant_id", name="tenant_profiles_pkey"),
        schema="health",
        comment="A tenant active at the end of the day, with the attributes that the run found in the source.",
    )
    op.create_index(
        "tenant_profiles_tenant_id_metric_date",
        "tenant_profiles",
        ["tenant_id", "metric_date"],
        unique=False,
        schema="health",
    )
    op.create_table(
        "usage_metrics",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The day D that the row describes, as it was at the end of D.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        sa.Column("total_users", sa.BigInteger(), nullable=False, comment="Users active at end(D). [users]"),
        sa.Column(
            "active_users",
            sa.BigInteger(),
            nullable=False,
            comment="Of those, with a login in the 30 days at D. [users]",
        ),
        sa.Column(
            "daily_active_users", sa.BigInteger(), nullable=False, comment="Of those, with a login on D. [users]"
        ),
        sa.Column("cases_created", sa.BigInteger(), nullable=True, comment="Cases created on D. [cases]"),
        sa.Column("cases_closed", sa.BigInteger(), nullable=True, comment="Cases closed on D. [cases]"),
        sa.Column("cases_closed_on_time", sa.BigInteger(), nullable=True, comment="Cases closed on D in time. [cases]"),
        sa.Column(
            "cases_overdue",
            sa.BigInteger(),
            nullable=True,
            comment="Cases open at end(D) and past their due date. [cases]",
        ),
        sa.Column(
            "cases_closed_30d", sa.BigInteger(), nullable=True, comment="Cases closed in the 30 days at D. [cases]"
        ),
        sa.Column(
            "cases_closed_on_time_30d",
            sa.BigInteger(),
            nullable=True,
            comment="Cases closed in time in the 30 days at D. [cases]",
        ),
        sa.Column(
            "campaigns_active", sa.BigInteger(), nullable=True, comment="Campaigns running at end(D). [campaigns]"
        ),
        sa.Column("campaigns_completed", sa.BigInteger(), nullable=True, comment="Campaigns ended on D. [campaigns]"),
        sa.Column(
            "assignments_total", sa.BigInteger(), nullable=True, comment="Assignments made before end(D). [assignments]"
        ),
        sa.Column(
            "assignments_completed",
            sa.BigInteger(),
            nullable=True,
            comment="Of those, completed before end(D). [assignments]",
        ),
        sa.Column(
            "support_tickets", sa.BigInteger(), nullable=True, comment="Tickets opened in the 30 days at D. [tickets]"
        ),
        sa.Column(
            "reports_generated", sa.BigInteger(), nullable=False, comment="report_generated events on D. [events]"
        ),
        sa.Column(
            "searches_performed", sa.BigInteger(), nullable=False, comment="search_performed events on D. [events]"
        ),
        sa.Column("api_calls", sa.BigInteger(), nullable=False, comment="api_call events on D. [events]"),
        sa.PrimaryKeyConstraint("metric_date", "tenant_id", name="usage_metrics_pkey"),
        schema="health",
        comment="A tenant active at the end of the day, with its figures of that day. Null: the source table is not mapped.",
    )
    op.create_index(
        "usage_metrics_tenant_id_metric_date",
        "usage_metrics",
        ["tenant_id", "metric_date"],
        unique=False,
        schema="health",
    )
    op.create_table(
        "view_definitions",
        sa.Column("view_name", sa.Text(), nullable=False, comment="The view."),
        sa.Column(
            "definition_hash",
            sa.Text(),
            nullable=False,
            comment="Hash of its SQL and comments; `migrate` recreates the views when one differs.",
        ),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False, comment="When it was created. [UTC]"),
        sa.PrimaryKeyConstraint("view_name", name="view_definitions_pkey"),
        schema="health",
        comment="A view of this schema, as `migrate` last created it.",
    )


def downgrade() -> None:
    op.drop_table("view_definitions", schema="health")
    op.drop_index("usage_metrics_tenant_id_metric_date", table_name="usage_metrics", schema="health")
    op.drop_table("usage_metrics", schema="health")
    op.drop_index("tenant_profiles_tenant_id_metric_date", table_name="tenant_profiles", schema="health")
    op.drop_table("tenant_profiles", schema="health")
    op.drop_index("tenant_health_scores_tenant_id_metric_date", table_name="tenant_health_scores", schema="health")
    op.drop_table("tenant_health_scores", schema="health")
    op.drop_index("quarantined_rows_source_table_last_recorded_at", table_name="quarantined_rows", schema="health")
    op.drop_table("quarantined_rows", schema="health")
    op.drop_table("policies", schema="health")
    op.drop_table("peer_benchmarks", schema="health")
    op.drop_table("feature_adoption", schema="health")
