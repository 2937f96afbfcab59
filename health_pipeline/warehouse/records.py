"""Recording what runs met: quarantined rows and the policies that scored. Rule: source-contract.md, tenant-health.md."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from health_pipeline.policy.model import TenantHealthPolicy
from health_pipeline.scoring.tenant_health import whole_weights
from health_pipeline.sources.bad_rows import BadRow
from health_pipeline.tables.records import POLICIES, QUARANTINED_ROWS
from health_pipeline.tables.sql import metadata
from health_pipeline.warehouse.connection import arrow_connection, sql_connection
from health_pipeline.warehouse.locks import lock_tables

_UPSERT = """
INSERT INTO health.quarantined_rows
    (quarantine_id, source_table, row_key, reason, row, first_recorded_at, last_recorded_at, run_id)
SELECT quarantine_id, source_table, row_key, reason, row::jsonb, recorded_at, recorded_at, run_id FROM met_rows
ON CONFLICT (quarantine_id) DO UPDATE
SET reason = excluded.reason, last_recorded_at = excluded.last_recorded_at, run_id = excluded.run_id
"""


def record_bad_rows(url: str, rows: Sequence[BadRow], run_id: str, recorded_at: datetime) -> None:
    """Keep one record per bad row, in a transaction of its own: a run that fails over them still leaves them behind."""
    if not rows:
        return
    met = pa.table(
        {
            "quarantine_id": [row.quarantine_id for row in rows],
            "source_table": [row.source_table for row in rows],
            "row_key": pa.array([row.row_key for row in rows], pa.string()),
            "reason": [row.reason for row in rows],
            "row": [row.row for row in rows],
            "recorded_at": pa.array([recorded_at] * len(rows), pa.timestamp("us", "UTC")),
            "run_id": [run_id] * len(rows),
        }
    )
    with arrow_connection(url) as connection:
        lock_tables(connection, [QUARANTINED_ROWS.name])
        with connection.cursor() as cursor:
            cursor.adbc_ingest("met_rows", met, mode="create", temporary=True)
            cursor.execute(_UPSERT)
            cursor.execute("DROP TABLE met_rows")


def record_policy(url: str, policy: TenantHealthPolicy, used_at: datetime) -> None:
    """Keep the policy's values under its version, so that a row can be traced to the rules that made it."""
    table = metadata().tables[f"health.{POLICIES.name}"]
    weights = {f"{name}_weight": weight for name, weight in whole_weights(policy.components.weights).items()}
    values = {
        "policy_version": policy.version,
        "policy": policy.model_dump(mode="json"),
        "first_used_at": used_at,
        **weights,
    }
    with sql_connection(url) as connection:
        connection.execute(insert(table).values(values).on_conflict_do_nothing())


def quarantine_counts(connection: sa.Connection) -> dict[str, int]:
    """Recorded bad rows per source table."""
    query = sa.text("SELECT source_table, count(*) FROM health.quarantined_rows GROUP BY 1 ORDER BY 1")
    return dict(connection.execute(query).tuples().all())
