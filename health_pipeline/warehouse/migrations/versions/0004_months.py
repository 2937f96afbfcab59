"""Daily tables in a partition per month"""

from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = (
    "tenant_profiles",
    "usage_metrics",
    "feature_adoption",
    "tenant_health_scores",
    "peer_benchmarks",
    "customer_order_health",
    "client_engagement",
    "client_momentum_alerts",
)


def upgrade() -> None:
    for table in TABLES:
        _rebuild(table, " PARTITION BY RANGE (metric_date)")


def downgrade() -> None:
    for table in TABLES:
        _rebuild(table, "")


def _rebuild(table: str, partitioned: str) -> None:
    """Make the table anew in the other form, with its rows, comments, key and indexes. Views on it are gone by now."""
    names = {"name": f"health.{table}"}
    keys = list(
        _texts(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = CAST(:name AS regclass)"
            " AND contype = 'p'",
            names,
        )
    )
    indexes = list(
        _texts(
            "SELECT regexp_replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') FROM pg_index"
            " WHERE indrelid = CAST(:name AS regclass) AND NOT indisprimary",
            names,
        )
    )
    (comment,) = _texts("SELECT quote_literal(obj_description(CAST(:name AS regclass), 'pg_class'))", names)
    op.execute(f"ALTER TABLE health.{table} RENAME TO {table}_before")
    like = f"LIKE health.{table}_before INCLUDING DEFAULTS INCLUDING COMMENTS"
    op.execute(f"CREATE TABLE health.{table} ({like}){partitioned}")
    op.execute(f"COMMENT ON TABLE health.{table} IS {comment}")
    if partitioned:
        for month in _texts(
            f"SELECT DISTINCT to_char(metric_date, 'YYYY-MM-01') FROM health.{table}_before ORDER BY 1", {}
        ):
            op.execute(
                f"CREATE TABLE health.{table}_{month[:7].replace('-', '_')} PARTITION OF health.{table}"
                f" FOR VALUES FROM ('{month}') TO (CAST(DATE '{month}' + INTERVAL '1 month' AS date))"
            )
    op.execute(f"INSERT INTO health.{table} SELECT * FROM health.{table}_before")
    op.execute(f"DROP TABLE health.{table}_before")
    for key in keys:
        op.execute(f"ALTER TABLE health.{table} ADD CONSTRAINT {table}_pkey {key}")
    for index in indexes:
        op.execute(index)


def _texts(query: str, parameters: dict[str, str]) -> Iterator[str]:
    yield from op.get_bind().scalars(sa.text(query), parameters).all()
