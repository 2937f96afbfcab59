"""The floor: reading, once, exactly the columns and the window that the range needs, and writing result rows of the right
number with their keys, both in bulk as Arrow. It computes nothing; nothing that reads and writes can take less."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from adbc_driver_postgresql import dbapi

from benchmarks.data.work import FEATURES
from benchmarks.measuring.stages import StageClock
from benchmarks.peers.tables import RESULT_TABLES, recreate_tables
from benchmarks.plan import Plan
from health_pipeline.tables.catalogue import SCHEMA
from health_pipeline.tables.frames import arrow_schema

_SCHEMA = "floor"
_FEATURES = ", ".join(f"'{feature}'" for feature in FEATURES)
# Without the columns that a row isn't needed for: each event is read once, whatever it counts for.
_EVENTS = f"""
SELECT tenant_id, CASE WHEN event_type = 'login' THEN user_id END AS user_id, event_type, feature_key, occurred_at
FROM app.events
WHERE occurred_at < '{{end}}' AND (
    feature_key IN ({_FEATURES})
    OR (occurred_at >= '{{window}}' AND event_type = 'login')
    OR (occurred_at >= '{{first}}' AND event_type IN ('report_generated', 'search_performed', 'api_call')))
"""
_OTHERS = (
    "SELECT tenant_id, industry_sector, employee_count, alert_level, created_at, deactivated_at FROM app.tenants",
    "SELECT tenant_id, user_id, created_at, deactivated_at FROM app.users",
    "SELECT tenant_id, created_at, closed_at, sla_due_at, sla_status FROM app.cases"
    " WHERE created_at < '{end}' AND (closed_at IS NULL OR closed_at >= '{window}')",
    "SELECT tenant_id, launched_at, ended_at FROM app.campaigns"
    " WHERE launched_at < '{end}' AND (ended_at IS NULL OR ended_at >= '{window}')",
    "SELECT tenant_id, assigned_at, completed_at FROM app.campaign_assignments WHERE assigned_at < '{end}'",
    "SELECT tenant_id, feature_key, enabled_at, disabled_at FROM app.feature_entitlements WHERE enabled_at < '{end}'",
    "SELECT tenant_id, opened_at FROM app.support_tickets WHERE opened_at >= '{window}' AND opened_at < '{end}'",
)


def run_floor(plan: Plan, clock: StageClock) -> dict[str, int]:
    """Read and write once; returns the rows read and written, by table. The warehouse must hold the range's rows."""
    results = {table.name: _result_rows(plan, table.name) for table in RESULT_TABLES}
    recreate_tables(plan.warehouse, _SCHEMA)
    bounds = {name: day.isoformat() for name, day in plan.parameters.items()}
    with clock.stage("read"), dbapi.connect(plan.source) as source, source.cursor() as cursor:
        cursor.execute("SET timezone = 'UTC'")
        read = sum(_consumed(cursor, query.format(**bounds)) for query in (*_OTHERS, _EVENTS))
    with clock.stage("write"), dbapi.connect(plan.warehouse) as warehouse, warehouse.cursor() as cursor:
        for name, rows in results.items():
            cursor.adbc_ingest(name, rows, mode="append", db_schema_name=_SCHEMA)
        warehouse.commit()
    return {"rows read": read, **{name: rows.num_rows for name, rows in results.items()}}


def _consumed(cursor: Any, query: str) -> int:
    cursor.execute(query)
    return sum(batch.num_rows for batch in cursor.fetch_record_batch())


def _result_rows(plan: Plan, name: str) -> pa.Table:
    """The rows that the pipeline wrote, as they are to be written again."""
    table = next(table for table in RESULT_TABLES if table.name == name)
    query = f"SELECT * FROM {SCHEMA}.{name} WHERE metric_date BETWEEN $1 AND $2"
    with dbapi.connect(plan.warehouse) as connection, connection.cursor() as cursor:
        cursor.execute(query, [plan.days.first, plan.days.last])
        return cursor.fetch_arrow_table().select(table.column_names).cast(arrow_schema(table))
