"""The application's tables as external assets: lineage starts at them."""

from __future__ import annotations

import dagster as dg

from health_pipeline.orchestration.metadata import source_metadata
from health_pipeline.sources.contract import SOURCE_TABLES


def source_key(name: str) -> dg.AssetKey:
    """The key of a logical source table, apart from the warehouse's tables."""
    return dg.AssetKey(["source", name])


def source_assets() -> list[dg.AssetSpec]:
    """One external asset per logical source table."""
    return [
        dg.AssetSpec(
            source_key(table.name),
            description=f"{table.description} Read from the application's own data (HEALTH_SOURCE_URL), never written.",
            group_name="source",
            kinds={"table"},
            metadata=source_metadata(table),
        )
        for table in SOURCE_TABLES.values()
    ]
