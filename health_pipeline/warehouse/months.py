"""The months of the daily tables, each a partition of PostgreSQL's own: made by the first run that writes to it.

So a query for a day or a tenant's year opens only its months, and old months can be dropped at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta

import sqlalchemy as sa
from adbc_driver_postgresql import dbapi

from health_pipeline.days import DAY, DayRange
from health_pipeline.tables.catalogue import SCHEMA, TABLES
from health_pipeline.tables.declare import Table
from health_pipeline.warehouse.connection import arrow_connection, sql_connection
from health_pipeline.warehouse.locks import lock_tables

# Asked of the catalogue itself: name lookups such as to_regclass may answer from before another run made the month.
_MISSING = f"""
SELECT name FROM unnest($1) AS name
WHERE NOT EXISTS (SELECT FROM pg_class WHERE relname = name AND relnamespace = CAST('{SCHEMA}' AS regnamespace))
"""
_OWNER = "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = CAST($1 AS regclass)"


@dataclass(frozen=True)
class Stretch:
    """Days of a range that go to the same place: months that are there, or one that has to be made."""

    days: DayRange
    is_new_month: bool


def month_table(table: Table, day: date) -> str:
    """The name of the partition that the day belongs to."""
    return f"{table.name}_{day:%Y_%m}"


def by_month(days: DayRange) -> Iterator[DayRange]:
    """The range cut where months begin, oldest first."""
    first = days.first
    while first <= days.last:
        after = _next_month(first)
        yield DayRange(first, min(after - DAY, days.last))
        first = after


def stretches(connection: dbapi.Connection, table: Table, days: DayRange) -> list[Stretch]:
    """The range cut where a month begins that the table lacks, or ends; oldest first. Whoever asks holds the table's lock."""
    if not table.is_by_month:
        return [Stretch(days, is_new_month=False)]
    missing = _missing(connection, [month_table(table, month.first) for month in by_month(days)])
    found: list[Stretch] = []
    for month in by_month(days):
        part = Stretch(month, is_new_month=month_table(table, month.first) in missing)
        if found and not found[-1].is_new_month and not part.is_new_month:
            found[-1] = Stretch(DayRange(found[-1].days.first, part.days.last), is_new_month=False)
        else:
            found.append(part)
    return found


@contextmanager
def new_month(connection: dbapi.Connection, table: Table, day: date) -> Iterator[str]:
    """The name of a table of its own that becomes the month's partition at the end, to be filled until then.

    Its key and indexes are built at the end, which is less work than to add row by row. Attaching a table that is already there
    doesn't wait for readers of the others, nor they for it. Whoever makes it holds the table's lock.
    """
    month = day.replace(day=1)
    parent, child = f"{SCHEMA}.{table.name}", f"{SCHEMA}.{month_table(table, month)}"
    with connection.cursor() as cursor:
        cursor.execute(_OWNER, [parent])
        ((owner,),) = cursor.fetchall()
        # As the owner, so that the privileges that a login gives away by default don't reach rows past the table's policies.
        cursor.execute(f"SET LOCAL ROLE {owner}")
        cursor.execute(f"CREATE TABLE {child} (LIKE {parent} INCLUDING DEFAULTS)")
        yield month_table(table, month)
        cursor.execute(
            f"ALTER TABLE {parent} ATTACH PARTITION {child} FOR VALUES FROM ('{month}') TO ('{_next_month(month)}')"
        )
        cursor.execute("RESET ROLE")


def make_months(url: str, tables: Sequence[Table], days: DayRange) -> None:
    """Make the months of the range that the tables lack, for rows that come by other ways than a run."""
    with arrow_connection(url) as connection:
        lock_tables(connection, [table.name for table in tables])
        for table in tables:
            for stretch in stretches(connection, table, days):
                if stretch.is_new_month:
                    with new_month(connection, table, stretch.days.first):
                        pass


def analyse_tables_by_month(url: str) -> None:
    """Refresh the server's statistics of the tables as a whole.

    Autovacuum only looks at months; without these, joins of such tables are taken for small and planned badly.
    """
    names = ", ".join(f"{SCHEMA}.{table.name}" for table in TABLES.values() if table.is_by_month)
    with sql_connection(url) as connection:
        connection.execute(sa.text(f"ANALYZE {names}"))


def _missing(connection: dbapi.Connection, names: list[str]) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(_MISSING, [names])
        return {name for (name,) in cursor.fetchall()}


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)
