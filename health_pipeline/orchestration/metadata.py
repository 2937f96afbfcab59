"""What Dagster shows of a table and of a materialisation: column schemas, and counts of what a run met. Never people's data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from health_pipeline.sources.contract import SourceTable
from health_pipeline.systems.common import ReadFacts
from health_pipeline.tables.catalogue import SCHEMA
from health_pipeline.tables.declare import Table
from health_pipeline.tables.sql import column_comment

_MOST_LISTED = 20


def table_metadata(table: Table) -> dict[str, Any]:
    """Static metadata of a warehouse table."""
    columns = [
        dg.TableColumn(
            column.name,
            column.type.value,
            column_comment(column),
            dg.TableColumnConstraints(nullable=column.nullable, unique=table.key == (column.name,)),
        )
        for column in table.columns
    ]
    return {
        "dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns)),
        "dagster/table_name": dg.MetadataValue.text(f"{SCHEMA}.{table.name}"),
        "key": dg.MetadataValue.text(", ".join(table.key)),
    }


def source_metadata(table: SourceTable) -> dict[str, Any]:
    """Static metadata of a logical source table."""
    columns = [
        dg.TableColumn(
            column.name,
            column.kind.value,
            "required" if column.required else "optional",
            dg.TableColumnConstraints(nullable=column.nullable or not column.required),
        )
        for column in table.columns
    ]
    return {
        "dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns)),
        "key": dg.MetadataValue.text(", ".join(table.key)),
        "needed": dg.MetadataValue.text("always" if table.required else "optional"),
    }


def facts_metadata(facts: ReadFacts) -> dict[str, Any]:
    """What a run read and met, as counts. What a system adds to the facts is shown where there is any of it."""
    result: dict[str, Any] = {
        "rows_read": dg.MetadataValue.json(facts.rows_read),
        "quarantined_rows": dg.MetadataValue.int(sum(facts.bad_rows.values())),
        "quarantined_rows_by_table": dg.MetadataValue.json(facts.bad_rows),
        "unmapped_tables": dg.MetadataValue.json(facts.unmapped_tables),
        "newest_facts": dg.MetadataValue.json(
            {name: fresh.newest_fact and fresh.newest_fact.isoformat() for name, fresh in facts.freshness.items()}
        ),
        "stopped_sources": dg.MetadataValue.json([name for name, fresh in facts.freshness.items() if fresh.is_stopped]),
    }
    for name in ("unknown_event_types", "untracked_features"):
        if counts := getattr(facts, name, None):
            result[name] = _largest(counts)
    if cases := getattr(facts, "cases_judged_by_status", 0):
        result["cases_judged_by_sla_status"] = dg.MetadataValue.int(cases)
    if not getattr(facts, "is_mapped", True):
        result["not_computed"] = dg.MetadataValue.text("customers and orders are not both mapped, so there are no rows")
    return result


def _largest(counts: Mapping[str, int]) -> dg.MetadataValue:
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_LISTED]
    return dg.MetadataValue.json({"distinct": len(counts), "rows": sum(counts.values()), "largest": dict(top)})
