"""Replacing ranges of days: one transaction, so readers see the old rows or the new ones, and a killed run the old.

Rule: architecture.md, "Writing".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
from adbc_driver_postgresql import dbapi

from health_pipeline.days import DayRange
from health_pipeline.tables.catalogue import SCHEMA
from health_pipeline.tables.declare import Table
from health_pipeline.tables.frames import arrow_schema
from health_pipeline.warehouse.connection import arrow_connection


@dataclass(frozen=True)
class Writer:
    """Writes within one transaction, which holds the locks of its tables."""

    connection: dbapi.Connection

    def replace(self, table: Table, days: DayRange, rows: Iterable[pa.Table], tenant_id: str | None = None) -> int:
        """Delete the range's rows, of one tenant or of all, and write these instead; returns how many were written.

        The table's key begins with its day.
        """
        schema = arrow_schema(table)
        batches = pa.RecordBatchReader.from_batches(schema, _batches(rows))
        with self.connection.cursor() as cursor:
            delete = f"DELETE FROM {SCHEMA}.{table.name} WHERE {table.key[0]} BETWEEN $1 AND $2"
            bounds: list[object] = [days.first, days.last]
            if tenant_id is None:
                cursor.execute(delete, bounds)
            else:
                cursor.execute(f"{delete} AND tenant_id = $3", [*bounds, tenant_id])
            return int(cursor.adbc_ingest(table.name, batches, mode="append", db_schema_name=SCHEMA))


def _batches(tables: Iterable[pa.Table]) -> Iterator[pa.RecordBatch]:
    for table in tables:
        yield from table.to_batches()


@contextmanager
def writing(url: str, tables: Sequence[Table]) -> Iterator[Writer]:
    """A writer whose work is committed at the end. Runs that write the same table wait for each other."""
    with arrow_connection(url) as connection:
        lock_tables(connection, [table.name for table in tables])
        yield Writer(connection)


def lock_tables(connection: dbapi.Connection, names: Sequence[str]) -> None:
    """Advisory locks until the end of the transaction, always in one order so that runs can't block each other for good."""
    with connection.cursor() as cursor:
        for name in sorted(names):
            cursor.execute(f"SELECT pg_advisory_xact_lock(hashtext('{SCHEMA}'), hashtext('{name}'))")
            cursor.fetchall()
