"""The stored base of feature use: what a night needn't read again. Rule: tenant-health.md, `feature_adoption`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa
from adbc_driver_postgresql import dbapi

from health_pipeline.tables.catalogue import SCHEMA
from health_pipeline.tables.frames import arrow_schema
from health_pipeline.tables.records import FEATURE_USE_BASE, FEATURE_USE_BASES
from health_pipeline.warehouse.connection import arrow_connection

# A use that comes in later than a night looks back is found when the base is counted anew.
BASE_LASTS = timedelta(days=7)
_HEAD, _ROWS = f"{SCHEMA}.{FEATURE_USE_BASES.name}", f"{SCHEMA}.{FEATURE_USE_BASE.name}"
# One statement, so that head and rows are of one base.
_STORED = f"""
SELECT head.as_of, {", ".join(f"base.{name}" for name in FEATURE_USE_BASE.column_names)}
FROM {_HEAD} AS head LEFT JOIN {_ROWS} AS base ON true
WHERE head.fingerprint = $1 AND head.as_of <= $2 AND head.computed_at >= $3
"""


@dataclass(frozen=True)
class CountedBase:
    """Rows of feature_use_base as they were counted, from the whole history, by the run with this clock."""

    fingerprint: str
    as_of: date
    computed_at: datetime
    rows: pa.Table


def stored_base(url: str, fingerprint: str, latest: date, clock: datetime) -> tuple[date, pa.Table] | None:
    """The stored base and its day, if it has this fingerprint, is of a day up to `latest`, and was counted within a week."""
    with arrow_connection(url) as connection, connection.cursor() as cursor:
        cursor.execute(_STORED, [fingerprint, latest, clock - BASE_LASTS])
        found = cursor.fetch_arrow_table()
    if not found.num_rows:
        return None
    as_of: date = found["as_of"][0].as_py()
    rows = found.drop_columns("as_of")
    # A base of no uses at all is one row of nulls.
    return as_of, rows.filter(rows["tenant_id"].is_valid())


def store_base(connection: dbapi.Connection, base: CountedBase, run_id: str) -> None:
    """Keep the base instead of the stored one, unless that is as good and of a later day. The caller holds the table's lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT EXISTS (SELECT FROM {_HEAD} WHERE fingerprint = $1 AND as_of > $2 AND computed_at >= $3)",
            [base.fingerprint, base.as_of, base.computed_at - BASE_LASTS],
        )
        if cursor.fetchone()[0]:
            return
        cursor.execute(f"DELETE FROM {_HEAD}")
        cursor.execute(f"DELETE FROM {_ROWS}")
        head = {"fingerprint": base.fingerprint, "as_of": base.as_of, "computed_at": base.computed_at, "run_id": run_id}
        for table, rows in (
            (FEATURE_USE_BASES, pa.Table.from_pylist([head], arrow_schema(FEATURE_USE_BASES))),
            (FEATURE_USE_BASE, base.rows.select(FEATURE_USE_BASE.column_names).cast(arrow_schema(FEATURE_USE_BASE))),
        ):
            cursor.adbc_ingest(table.name, rows, mode="append", db_schema_name=SCHEMA)
