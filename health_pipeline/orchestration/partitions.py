"""Days and Sundays as partitions, in the pipeline's zone, from HEALTH_START_DATE."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import dagster as dg

from health_pipeline.days import DayRange
from health_pipeline.settings import Settings

# Large enough to read the source once for a quarter, small enough to bound a run's memory and its transaction.
MAX_PARTITIONS_PER_RUN = 90
_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """One partition per day that is over."""
    return dg.DailyPartitionsDefinition(start_date=settings.start_date.isoformat(), timezone=settings.timezone)


def sunday_partitions(settings: Settings) -> dg.WeeklyPartitionsDefinition:
    """One partition per Sunday that has begun: its week is the 7 days before it.

    Dagster's weekly windows begin at their key, so the window of the newest Sunday is still open: end_offset 1 offers it.
    """
    return dg.WeeklyPartitionsDefinition(
        start_date=settings.start_date.isoformat(), timezone=settings.timezone, end_offset=1
    )


def partitions_of(settings: Settings, cadence: str | None) -> dg.TimeWindowPartitionsDefinition:
    """The partitions of a table's cadence."""
    return daily_partitions(settings) if cadence == "daily" else sunday_partitions(settings)


def run_days(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> DayRange:
    """The days that the run is for: one partition or a range of them."""
    keys = context.partition_key_range
    return DayRange(date.fromisoformat(keys.start), date.fromisoformat(keys.end))


def range_tags(days: DayRange) -> dict[str, str]:
    """The tags by which one run is for a range of partitions."""
    return {_RANGE_START: days.first.isoformat(), _RANGE_END: days.last.isoformat()}


def tagged_range(tags: Mapping[str, str]) -> DayRange | None:
    """The days that a run's tags say it is for; None where it has no partitions."""
    start, end = (tags.get(tag) or tags.get("dagster/partition") for tag in (_RANGE_START, _RANGE_END))
    return DayRange(date.fromisoformat(start), date.fromisoformat(end)) if start and end else None
