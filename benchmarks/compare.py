"""Whether the peer's rows are the pipeline's, cell by cell: a peer that computes something else measures nothing."""

from __future__ import annotations

import duckdb
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from benchmarks.peers.tables import RESULT_TABLES
from benchmarks.plan import Plan
from health_pipeline.tables.catalogue import SCHEMA
from health_pipeline.tables.declare import Table, Type
from health_pipeline.tables.tenant_health import PEER_BENCHMARKS

_TOLERANCE = 1e-9


def differing_rows(plan: Plan, peer_schema: str) -> dict[str, int]:
    """By table, how many rows of the range one side lacks, or has with another value in any column.

    peer_schema: the schema beside the source's that has the peer's tables. A peer hides only cohorts that are too small; of
    peer_benchmarks, rows that the pipeline hides need only be there.
    """
    return {table.name: _differing(plan, peer_schema, table) for table in RESULT_TABLES}


def _differing(plan: Plan, peer_schema: str, table: Table) -> int:
    with duckdb.connect() as engine:
        engine.register("ours", _rows(plan.warehouse, SCHEMA, table, plan))
        engine.register("theirs", _rows(plan.source, peer_schema, table, plan))
        same = " AND ".join(_same(table, column.name) for column in table.columns if column.name not in table.key)
        if table is PEER_BENCHMARKS:
            same = f"ours.is_suppressed OR ({same})"
        key = ", ".join(table.key)
        lacks = f"ours.{table.key[0]} IS NULL OR theirs.{table.key[0]} IS NULL"
        query = f"SELECT count(*) FROM ours FULL JOIN theirs USING ({key}) WHERE {lacks} OR NOT ({same})"
        ((count,),) = engine.execute(query).fetchall()
        return int(count)


def _same(table: Table, name: str) -> str:
    ours, theirs = f"ours.{name}", f"theirs.{name}"
    identical = f"{ours} IS NOT DISTINCT FROM {theirs}"
    if any(c.name == name and c.type is Type.FLOAT for c in table.columns):
        # Sums of fractions depend on their order in the last digits.
        return f"({identical} OR coalesce(abs({ours} - {theirs}) <= {_TOLERANCE}, false))"
    return identical


def _rows(url: str, schema: str, table: Table, plan: Plan) -> pa.Table:
    query = f"SELECT {', '.join(table.column_names)} FROM {schema}.{table.name} WHERE metric_date BETWEEN $1 AND $2"
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(query, [plan.days.first, plan.days.last])
        return cursor.fetch_arrow_table()
