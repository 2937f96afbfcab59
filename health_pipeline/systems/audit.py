"""Counting tenants a second way: straight from their dates, as an asset check against what a run wrote."""

from __future__ import annotations

from datetime import UTC, date

from health_pipeline.days import DayRange
from health_pipeline.sources.contract import TENANTS
from health_pipeline.systems.context import RunContext


def tenants_at(context: RunContext, days: DayRange) -> dict[date, int]:
    """How many good tenants of the source are active at the end of each day, read and counted one by one."""
    with context.reading(is_recorded=False) as reader:
        tenants = reader.read(TENANTS)
        assert tenants is not None
        rows = tenants.select("created_at", "deactivated_at").to_pyarrow().to_pylist()
    lives = [(row["created_at"].replace(tzinfo=UTC), row["deactivated_at"]) for row in rows]
    result = {}
    for day in days:
        end = context.calendar.end(day)
        result[day] = sum(
            created < end and (left is None or left.replace(tzinfo=UTC) >= end) for created, left in lives
        )
    return result
