"""Replacing ranges of days: one transaction, so readers see the old rows or the new ones, and a killed run the old.

Rule: architecture.md, "Writing". Where days have rows already, only what changed is written anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi

from health_pipeline.days import DayRange
from health_pipeline.metrics.freshness import Freshness
from health_pipeline.tables.catalogue import SCHEMA
from health_pipeline.tables.declare import Table
from health_pipeline.tables.frames import arrow_schema
from health_pipeline.tables.records import SOURCE_FRESHNESS
from health_pipeline.tables.tenant_health import TENANT_HEALTH_SCORES
from health_pipeline.warehouse.connection import arrow_connection
from health_pipeline.warehouse.locks import lock_tables
from health_pipeline.warehouse.months import Stretch, new_month, stretches

_STAGED = "staged"
# The driver turns a batch into bytes, and then hands them over. What a connection holds on its way the server takes meanwhile.
_ROWS_UNDER_WAY = 500
# So the server ends the transaction of a machine that is gone without a word, and gives its locks away, within two minutes.
_KEEPALIVE = ("tcp_keepalives_idle = 60", "tcp_keepalives_interval = 10", "tcp_keepalives_count = 6")


@dataclass(frozen=True)
class Writer:
    """Writes within one transaction, which holds the locks of its tables. run_id, clock: the run's."""

    connection: dbapi.Connection
    run_id: str
    clock: datetime

    def replace(self, table: Table, days: DayRange, rows: Iterable[pa.Table], tenant_id: str | None = None) -> None:
        """Let the table have these rows of the range, of one tenant or of all, and no others.

        The table's key begins with its day, and the rows come in the order of their months. A row that stands there already, the
        same in every column, isn't touched. A score that changes is recorded in score_restatements.
        """
        places = stretches(self.connection, table, days)
        parts = groupby(_parted(table, rows, places), itemgetter(0))
        coming = next(parts, None)
        for place in places:
            if coming is None or coming[0] != place:
                self._replace(table, place, (), tenant_id)
            else:
                self._replace(table, place, (part for _, part in coming[1]), tenant_id)
                coming = next(parts, None)
        if coming is not None:
            raise ValueError(f"rows of {table.name} must come in the order of their months")

    def _replace(self, table: Table, stretch: Stretch, rows: Iterable[pa.Table], tenant_id: str | None) -> None:
        stream = _Stream(arrow_schema(table), rows)
        place = _Place(table, stretch.days, tenant_id)
        with self.connection.cursor() as cursor:
            if stretch.is_new_month:
                with new_month(self.connection, table, stretch.days.first) as month:
                    stream.into(cursor, month, db_schema_name=SCHEMA)
                return
            cursor.execute(f"SELECT EXISTS (SELECT FROM {place.table} AS old WHERE {place.of_range})", place.bounds)
            if not cursor.fetchone()[0]:
                stream.into(cursor, table.name, db_schema_name=SCHEMA)
                return
            cursor.execute(f"CREATE TEMP TABLE {_STAGED} (LIKE {place.table})")
            stream.into(cursor, _STAGED, temporary=True)
            cursor.execute(f"ANALYZE {_STAGED}")
            if table is TENANT_HEALTH_SCORES:
                cursor.execute(place.record_restatements, [*place.bounds, self.run_id, self.clock])
            cursor.execute(place.delete_changed, place.bounds)
            cursor.execute(place.insert_new, place.bounds)
            cursor.execute(f"DROP TABLE {_STAGED}")

    def record_freshness(self, system: str, days: DayRange, found: Mapping[str, Freshness]) -> None:
        """Record how fresh the run of the system found its source, by table."""
        record = {"run_id": self.run_id, "system": system, "first_day": days.first, "last_day": days.last}
        rows = [
            {
                **record,
                "source_table": name,
                "newest_fact_at": fresh.newest_fact,
                "is_stopped": fresh.is_stopped,
                "recorded_at": self.clock,
            }
            for name, fresh in found.items()
        ]
        with self.connection.cursor() as cursor:
            # An earlier try of the same run may have recorded it.
            where = "WHERE run_id = $1 AND system = $2"
            cursor.execute(f"DELETE FROM {SCHEMA}.{SOURCE_FRESHNESS.name} {where}", [self.run_id, system])
            table = pa.Table.from_pylist(rows, arrow_schema(SOURCE_FRESHNESS))
            cursor.adbc_ingest(SOURCE_FRESHNESS.name, table, mode="append", db_schema_name=SCHEMA)


def _parted(table: Table, rows: Iterable[pa.Table], places: Sequence[Stretch]) -> Iterator[tuple[Stretch, pa.Table]]:
    """The rows with the stretch to which they go. Raises ValueError for rows of other days."""
    for some in rows:
        day, left = pc.field(table.key[0]), some.num_rows
        for place in places:
            part = some if len(places) == 1 else some.filter((day >= place.days.first) & (day <= place.days.last))
            left -= part.num_rows
            if part.num_rows:
                yield place, part
        if left:
            raise ValueError(f"{left} rows of {table.name} are of days that aren't written")


class _Place:
    """Which rows of a table are replaced, as SQL in which `old` is the table and `new` what was staged."""

    def __init__(self, table: Table, days: DayRange, tenant_id: str | None) -> None:
        day, *others = table.key
        self.table = f"{SCHEMA}.{table.name}"
        self.bounds: list[object] = [days.first, days.last] + ([] if tenant_id is None else [tenant_id])
        self.of_range = f"old.{day} BETWEEN $1 AND $2" + ("" if tenant_id is None else " AND old.tenant_id = $3")
        same_key = " AND ".join(f"new.{name} = old.{name}" for name in (day, *others))
        old, new = (", ".join(f"{side}.{name}" for name in table.column_names) for side in ("old", "new"))
        self.delete_changed = (
            f"DELETE FROM {self.table} AS old WHERE {self.of_range} AND NOT EXISTS (SELECT FROM {_STAGED} AS new"
            f" WHERE {same_key} AND ROW({new}) IS NOT DISTINCT FROM ROW({old}))"
        )
        self.insert_new = (
            f"INSERT INTO {self.table} SELECT * FROM {_STAGED} AS new"
            f" WHERE NOT EXISTS (SELECT FROM {self.table} AS old WHERE {self.of_range} AND {same_key})"
        )
        run_id, clock = len(self.bounds) + 1, len(self.bounds) + 2
        self.record_restatements = f"""
            INSERT INTO {SCHEMA}.score_restatements
                (metric_date, tenant_id, old_score, new_score, old_policy_version, new_policy_version, run_id, restated_at)
            SELECT
                old.metric_date, old.tenant_id, old.overall_score, new.overall_score,
                old.policy_version, new.policy_version, CAST(${run_id} AS text), CAST(${clock} AS timestamptz)
            FROM {self.table} AS old
            LEFT JOIN {_STAGED} AS new ON {same_key}
            WHERE {self.of_range} AND new.overall_score IS DISTINCT FROM old.overall_score
            ON CONFLICT (metric_date, tenant_id, restated_at) DO UPDATE
            SET new_score = excluded.new_score, new_policy_version = excluded.new_policy_version, run_id = excluded.run_id
        """


@dataclass
class _Stream:
    """Rows on their way into a table, computed in a thread of their own while the rows before them are written."""

    schema: pa.Schema
    rows: Iterable[pa.Table]
    error: Exception | None = None

    def into(self, cursor: dbapi.Cursor, table: str, **where: Any) -> None:
        """Add the rows to the table. Raises what computing them raised, which the driver would tell in its own words."""
        batches = pa.RecordBatchReader.from_batches(self.schema, self._batches())
        try:
            cursor.adbc_ingest(table, batches, mode="append", **where)
        except dbapi.Error:
            if self.error is not None:
                raise self.error from self.error.__cause__
            raise

    def _batches(self) -> Iterator[pa.RecordBatch]:
        rows = iter(self.rows)
        with ThreadPoolExecutor(1, thread_name_prefix="rows") as thread:
            try:
                coming = thread.submit(next, rows, None)
                while (table := coming.result()) is not None:
                    coming = thread.submit(next, rows, None)
                    yield from table.to_batches(max_chunksize=_ROWS_UNDER_WAY)
            except Exception as error:
                self.error = error
                raise


@contextmanager
def writing(url: str, tables: Sequence[Table], run_id: str, clock: datetime) -> Iterator[Writer]:
    """A writer whose work is committed at the end. Runs that write the same table wait for each other."""
    with arrow_connection(url) as connection:
        with connection.cursor() as cursor:
            for setting in _KEEPALIVE:
                cursor.execute(f"SET LOCAL {setting}")
        lock_tables(connection, [table.name for table in tables])
        yield Writer(connection, run_id, clock)
