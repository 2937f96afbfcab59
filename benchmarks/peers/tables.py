"""Tables for the results of peers: the declared columns and keys in another schema, without further indexes or partitions."""

from __future__ import annotations

from benchmarks.databases import execute
from health_pipeline.tables.declare import Table
from health_pipeline.tables.tenant_health import FEATURE_ADOPTION, PEER_BENCHMARKS, TENANT_HEALTH_SCORES, USAGE_METRICS

RESULT_TABLES: tuple[Table, ...] = (USAGE_METRICS, FEATURE_ADOPTION, TENANT_HEALTH_SCORES, PEER_BENCHMARKS)


def recreate_tables(url: str, schema: str) -> None:
    """Empty result tables in the schema, and the server at rest."""
    execute(url, f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    execute(url, f"CREATE SCHEMA {schema}")
    for table in RESULT_TABLES:
        columns = [f"{c.name} {c.type.value}{'' if c.nullable else ' NOT NULL'}" for c in table.columns]
        key = f"PRIMARY KEY ({', '.join(table.key)})"
        execute(url, f"CREATE TABLE {schema}.{table.name} ({', '.join(columns)}, {key})")
    execute(url, "CHECKPOINT")
