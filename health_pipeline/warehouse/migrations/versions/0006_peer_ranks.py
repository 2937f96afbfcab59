"""Ranks among peers, stored; those of the days that are there already are taken as the view took them before"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

METRICS = (
    "overall_score",
    "login_score",
    "case_resolution_score",
    "campaign_completion_score",
    "feature_adoption_score",
    "support_ticket_score",
    "active_user_ratio",
)

# As the view tenant_peer_comparison had it until now.
OF_A_DAY = f"""
INSERT INTO health.tenant_peer_ranks
WITH figure AS (
    SELECT profile.tenant_id, profile.industry_sector, profile.employee_band, metric.metric_name, metric.value
    FROM health.tenant_profiles AS profile
    JOIN health.tenant_health_scores AS score USING (metric_date, tenant_id)
    JOIN health.usage_metrics AS usage USING (metric_date, tenant_id)
    CROSS JOIN LATERAL (
        VALUES
            {", ".join(f"('{name}', score.{name}::double precision)" for name in METRICS[:-1])},
            ('active_user_ratio', usage.active_users::double precision / nullif(usage.total_users, 0))
    ) AS metric (metric_name, value)
    WHERE metric_date = :day AND metric.value IS NOT NULL
),
ranked AS (
    SELECT
        figure.*,
        cohort.*,
        rank() OVER (of_cohort ORDER BY value) - 1 AS below,
        count(*) OVER (PARTITION BY metric_name, cohort.sector, cohort.band, value) - 1 AS beside
    FROM figure
    CROSS JOIN LATERAL (
        VALUES (industry_sector, employee_band, 3), (industry_sector, 'ALL', 2), ('ALL', employee_band, 1), ('ALL', 'ALL', 0)
    ) AS cohort (sector, band, number)
    WHERE cohort.sector IS NOT NULL AND cohort.band IS NOT NULL
    WINDOW of_cohort AS (PARTITION BY metric_name, cohort.sector, cohort.band)
),
narrowest AS (
    SELECT DISTINCT ON (tenant_id, metric_name)
        tenant_id,
        metric_name,
        number,
        100 * (below + beside / 2.0::double precision) / nullif(peer_count - 1, 0) AS percentile_rank
    FROM ranked
    JOIN health.peer_benchmarks AS benchmark USING (metric_name)
    WHERE
        benchmark.metric_date = :day
        AND NOT benchmark.is_suppressed
        AND benchmark.industry_sector = ranked.sector
        AND benchmark.employee_band = ranked.band
    ORDER BY tenant_id, metric_name, peer_count, number DESC
)
SELECT
    CAST(:day AS date),
    tenant_id,
    {", ".join(f"max(percentile_rank) FILTER (WHERE metric_name = '{name}')" for name in METRICS)},
    {", ".join(f"max(number) FILTER (WHERE metric_name = '{name}')" for name in METRICS)}
FROM (SELECT tenant_id FROM health.tenant_profiles WHERE metric_date = :day) AS profile
LEFT JOIN narrowest USING (tenant_id)
GROUP BY tenant_id
"""


def upgrade() -> None:
    op.create_table(
        "tenant_peer_ranks",
        sa.Column(
            "metric_date",
            sa.Date(),
            nullable=False,
            comment="The day D that the row describes, as it was at the end of D.",
        ),
        sa.Column("tenant_id", sa.Text(), nullable=False, comment="The tenant."),
        *(
            sa.Column(
                f"{name}_rank",
                sa.Double(),
                comment=f"Share of the other peers below the tenant in {name}, ties counting half. Null: no other, no value,"
                " or no published cohort. [percent]",
            )
            for name in METRICS
        ),
        *(
            sa.Column(
                f"{name}_cohort",
                sa.Integer(),
                comment=f"The tenant's narrowest cohort published for {name}: 0 all tenants, 1 its size band, 2 its sector,"
                " 3 both. Null: no value, or no published cohort.",
            )
            for name in METRICS
        ),
        sa.PrimaryKeyConstraint("metric_date", "tenant_id", name="tenant_peer_ranks_pkey"),
        schema="health",
        comment="A tenant active at the end of the day, with its place among its peers; tenant_peer_comparison shows it in"
        " full.",
        postgresql_partition_by="RANGE (metric_date)",
    )
    connection = op.get_bind()
    days = connection.scalars(sa.text("SELECT DISTINCT metric_date FROM health.peer_benchmarks ORDER BY 1")).all()
    for month in sorted({day.replace(day=1) for day in days}):
        op.execute(
            f"CREATE TABLE health.tenant_peer_ranks_{month:%Y_%m} PARTITION OF health.tenant_peer_ranks"
            f" FOR VALUES FROM ('{month}') TO (CAST(DATE '{month}' + INTERVAL '1 month' AS date))"
        )
    for day in days:
        connection.execute(sa.text(OF_A_DAY), {"day": day})


def downgrade() -> None:
    op.drop_table("tenant_peer_ranks", schema="health")
