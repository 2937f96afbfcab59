"""Old days of the largest table, thinned to one a month. Everything else in the warehouse stays."""

from __future__ import annotations

from datetime import date, timedelta

import sqlalchemy as sa

from health_pipeline.tables.catalogue import SCHEMA
from health_pipeline.tables.tenant_health import FEATURE_ADOPTION
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.locks import lock_statement

_MONTHS = sa.text(f"""
SELECT child.relname, pg_get_expr(child.relpartbound, child.oid)
FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = CAST('{SCHEMA}.{FEATURE_ADOPTION.name}' AS regclass) ORDER BY 1
""")


def thin_feature_adoption(url: str, keep_days: int, newest: date) -> int:
    """Of the months that ended so many days before `newest`, keep the newest day alone; returns how many rows went.

    A month at a time: its own readers wait a moment, those of other months don't.
    """
    with sql_connection(url) as connection:
        names = [
            name
            for name, bounds in connection.execute(_MONTHS).tuples()
            if _end(bounds) <= newest - timedelta(days=keep_days)
        ]
    return sum(_thin(url, f"{SCHEMA}.{name}") for name in names)


def _end(bounds: str) -> date:
    """The first day after the month, from FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')."""
    return date.fromisoformat(bounds.split("'")[-2])


def _thin(url: str, month: str) -> int:
    with sql_connection(url) as connection:
        connection.execute(sa.text(lock_statement(FEATURE_ADOPTION.name)))
        day, rows, kept = connection.execute(
            sa.text(
                f"SELECT newest, (SELECT count(*) FROM {month}), (SELECT count(*) FROM {month} WHERE metric_date = newest)"
                f" FROM (SELECT max(metric_date) AS newest FROM {month}) AS days"
            )
        ).one()
        if rows == kept:
            return 0
        connection.execute(
            sa.text(f"CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT * FROM {month} WHERE metric_date = :day"),
            {"day": day},
        )
        # Not a DELETE: its dead rows would go on filling the disk.
        connection.execute(sa.text(f"TRUNCATE {month}"))
        connection.execute(sa.text(f"INSERT INTO {month} SELECT * FROM kept"))
        return int(rows - kept)
