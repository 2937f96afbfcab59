"""Which partitions of a table are there, running, failed or missing: for the sensor, the standing checks and `status`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import dagster as dg
from dagster._core.definitions.partitions.subset import PartitionsSubset
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from health_pipeline.days import DayRange, merged
from health_pipeline.orchestration.partitions import partitions_of
from health_pipeline.settings import Settings
from health_pipeline.tables.catalogue import TABLES

_MOST_RANGES = 5


@dataclass(frozen=True)
class PartitionStates:
    """The partitions of a table up to a day.

    materialized: a run has succeeded over it, whatever came after. running: a run over it waits or runs. failed: the last
    run over it failed, for good or to be launched again. missing: none of these, since the first that is materialised.
    """

    materialized: frozenset[date]
    running: frozenset[date]
    failed: frozenset[date]
    missing: frozenset[date]


def partition_states(
    instance: dg.DagsterInstance, settings: Settings, table_name: str, newest: date
) -> PartitionStates:
    """The states of a declared table's partitions up to `newest`. A cancelled run leaves what was there before."""
    partitions = partitions_of(settings, TABLES[table_name].cadence)
    # Kept by Dagster with the asset, and brought up to date by what has happened since.
    known = get_and_update_asset_status_cache_value(instance, dg.AssetKey(table_name), partitions)
    if known is None:
        return PartitionStates(*[frozenset()] * 4)

    def days(subset: PartitionsSubset[str]) -> frozenset[date]:
        return frozenset(day for day in map(date.fromisoformat, subset.get_partition_keys()) if day <= newest)

    materialized = days(known.deserialize_materialized_partition_subsets(partitions))
    running = days(known.deserialize_in_progress_partition_subsets(partitions))
    failed = days(known.deserialize_failed_partition_subsets(partitions)) - running
    first = min(materialized, default=date.max)
    due = (date.fromisoformat(key) for key in partitions.get_partition_keys())
    absent = frozenset(day for day in due if first < day <= newest) - materialized - running - failed
    return PartitionStates(materialized, running, failed, absent)


def listed(days: Iterable[date]) -> str:
    """The days as text: the first few ranges, and how many more there are. Empty for none."""
    ranges = merged(*(DayRange(day, day) for day in days))
    texts = [str(r.first) if len(r) == 1 else f"{r.first} to {r.last}" for r in ranges[:_MOST_RANGES]]
    more = sum(len(r) for r in ranges[_MOST_RANGES:])
    return ", ".join(texts) + (f" and {more} more days" if more else "")
