"""Assignments counted by the days that figures tell apart, against counting them one by one."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import ibis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from health_pipeline.days import Calendar, DayRange
from health_pipeline.metrics.assignments import daily_assignments, of_assignments
from health_pipeline.metrics.intervals import counts_by_day
from health_pipeline.metrics.steps import Steps
from health_pipeline.sources.engine import new_engine

FIRST = date(2024, 3, 1)
TENANTS = list("abcdefghij")
FIGURES = ["assignments_total", "assignments_completed"]
Assignment = tuple[str, int, int | None]
"""tenant_id; hours from the start of the first day to when it was made, and to when it was completed."""


def by_day(assignments: list[Assignment], days: DayRange) -> dict[tuple[str, date], tuple[int, int]]:
    """The pipeline's figures by tenant and day."""
    start = datetime(FIRST.year, FIRST.month, FIRST.day)
    rows = [
        {
            "tenant_id": tenant,
            "assigned_at": start + timedelta(hours=made),
            "completed_at": None if completed is None else start + timedelta(hours=completed),
        }
        for tenant, made, completed in assignments
    ]
    schema = {"tenant_id": "string", "assigned_at": "timestamp(6)", "completed_at": "timestamp(6)"}
    counted = daily_assignments(ibis.memtable(rows, schema=schema), Calendar(), Steps.of_totals(days, 1))
    changes = of_assignments(counted, days)
    engine = new_engine()
    entities = ibis.memtable({"tenant_id": TENANTS})
    found = engine.to_pyarrow(counts_by_day(changes, entities, FIGURES, days)).to_pylist()
    engine.disconnect()
    return {(row["tenant_id"], row["metric_date"]): (row[FIGURES[0]], row[FIGURES[1]]) for row in found}


def one_by_one(assignments: list[Assignment], days: DayRange) -> dict[tuple[str, date], tuple[int, int]]:
    """The same, straight from the rule: made before end(D); completed before it."""

    def figures(tenant: str, hours: int) -> tuple[int, int]:
        mine = [(made, completed) for tenant_id, made, completed in assignments if tenant_id == tenant and made < hours]
        return len(mine), sum(completed is not None and completed < hours for _, completed in mine)

    return {(tenant, day): figures(tenant, 24 * (number + 1)) for tenant in TENANTS for number, day in enumerate(days)}


@pytest.mark.parametrize("length", [1, 3, 30])
# To put a query together takes longest, so each looks at many tenants.
@settings(deadline=None, max_examples=20)
@given(
    of_tenants=st.fixed_dictionaries(
        {tenant: st.lists(st.tuples(st.integers(-2000, 800), st.none() | st.integers(0, 2500))) for tenant in TENANTS}
    )
)
def test_figures_of_every_day(length: int, of_tenants: dict[str, list[tuple[int, int | None]]]) -> None:
    """of_tenants: of each assignment the hours to when it was made, and from there to when it was completed."""
    days = DayRange(FIRST, FIRST + timedelta(days=length - 1))
    assignments = [
        (tenant, made, None if later is None else made + later)
        for tenant, drawn in of_tenants.items()
        for made, later in drawn
    ]
    assert by_day(assignments, days) == one_by_one(assignments, days)


def test_few_groups() -> None:
    days = DayRange(FIRST, FIRST)
    rows = [
        {"tenant_id": "a", "assigned_at": datetime(2020, 1, 1) + timedelta(hours=hour), "completed_at": None}
        for hour in range(1000)
    ]
    schema = {"tenant_id": "string", "assigned_at": "timestamp(6)", "completed_at": "timestamp(6)"}
    engine = new_engine()
    counted = daily_assignments(ibis.memtable(rows, schema=schema), Calendar(), Steps.of_totals(days, 1))
    (group,) = engine.to_pyarrow(counted).to_pylist()
    engine.disconnect()
    assert group["row_count"] == 1000
    assert group["completed_day"] is None
