"""The months of the daily tables, each a partition of PostgreSQL's own: made before a run writes to them.

So a query for a day or a tenant's year opens only its months, and old months can be dropped at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta

import sqlalchemy as sa

from health_pipeline.days import DayRange
from health_pipeline.tables.catalogue import SCHEMA, TABLES
from health_pipeline.tables.declare import Table
from health_pipeline.warehouse.connection import sql_connection

# Asked of the catalogue itself: name lookups such as to_regclass may answer from before another run made the month.
_MISSING = sa.text(f"""
SELECT name FROM unnest(CAST(:names AS text[])) AS name
WHERE NOT EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = CAST('{SCHEMA}' AS regnamespace))
""")
_OWNER = sa.text("SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = CAST(:name AS regclass)")


def month_table(table: Table, first: date) -> str:
    """The name of the partition of the month that begins on `first`."""
    return f"{table.name}_{first:%Y_%m}"


def months_of(days: DayRange) -> Iterator[date]:
    """The first days of the months that the range touches, oldest first."""
    month = days.first.replace(day=1)
    while month <= days.last:
        yield month
        month = (month + timedelta(days=31)).replace(day=1)


def make_months(url: str, tables: Sequence[Table], days: DayRange) -> None:
    """Make the months of the range that the tables lack, in a transaction of their own.

    Attaching a table that is already there doesn't wait for readers of the others, nor they for it.
    """
    wanted = {
        month_table(table, month): (table, month) for table in tables if table.is_by_month for month in months_of(days)
    }
    if not wanted:
        return
    with sql_connection(url) as connection:
        if not _missing(connection, wanted):
            return
        connection.execute(sa.text(f"SELECT pg_advisory_xact_lock(hashtext('{SCHEMA}'), hashtext('months'))"))
        for name in _missing(connection, wanted):
            _make(connection, name, *wanted[name])


def analyse_tables_by_month(url: str) -> None:
    """Refresh the server's statistics of the tables as a whole.

    Autovacuum only looks at months; without these, joins of such tables are taken for small and planned badly.
    """
    names = ", ".join(f"{SCHEMA}.{table.name}" for table in TABLES.values() if table.is_by_month)
    with sql_connection(url) as connection:
        connection.execute(sa.text(f"ANALYZE {names}"))


def _missing(connection: sa.Connection, names: Iterable[str]) -> list[str]:
    return sorted(connection.scalars(_MISSING, {"names": list(names)}).all())


def _make(connection: sa.Connection, name: str, table: Table, month: date) -> None:
    parent, child = f"{SCHEMA}.{table.name}", f"{SCHEMA}.{name}"
    after = (month + timedelta(days=31)).replace(day=1)
    owner = connection.scalar(_OWNER, {"name": parent})
    # As the owner, so that the privileges that a login gives away by default don't reach rows past the table's policies.
    connection.execute(sa.text(f"SET LOCAL ROLE {owner}"))
    connection.execute(sa.text(f"CREATE TABLE {child} (LIKE {parent} INCLUDING DEFAULTS)"))
    connection.execute(
        sa.text(f"ALTER TABLE {parent} ATTACH PARTITION {child} FOR VALUES FROM ('{month}') TO ('{after}')")
    )
