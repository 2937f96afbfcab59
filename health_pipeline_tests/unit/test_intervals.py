"""Counting intervals over a range of days, against counting them day by day."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import ibis
import ibis.expr.types as ir
from hypothesis import given, settings
from hypothesis import strategies as st

from health_pipeline.days import DayRange
from health_pipeline.metrics.intervals import (
    Change,
    Moments,
    counts_by_day,
    from_day_on,
    on_day,
    within,
)
from health_pipeline.sources.engine import new_engine

FIRST = date(2024, 2, 27)
FIGURES = ["seen", "open", "begun"]
TENANTS = ["a", "A", "nothing"]
Interval = tuple[str, str, int, int | None, int]
"""tenant, figure, first day, end day, weight."""


def table_of(rows: list[Interval]) -> ir.Table:
    names = ["tenant_id", "figure", "first", "end", "weight"]
    schema = {"tenant_id": "string", "figure": "string", "first": "int64", "end": "int64", "weight": "int64"}
    return ibis.memtable([dict(zip(names, row, strict=True)) for row in rows], schema=schema)


def changes_of(rows: ir.Table) -> list[Change]:
    """`seen` and `open` count within intervals, and `begun` on the first day of those that aren't empty."""
    weights = {name: ibis.cases((rows.figure == name, rows.weight), else_=0) for name in FIGURES[:2]}
    begun = rows.filter(rows.figure == "begun")
    return [
        *within(rows, ["tenant_id"], rows["first"], rows["end"], **weights),
        *on_day(begun, ["tenant_id"], begun["first"], begun=begun.weight),
    ]


def counted(pieces: list[list[Interval]], size: int) -> dict[tuple[str, date], dict[str, int]]:
    """counts_by_day as DuckDB computes it: figures by tenant and day."""
    changes = [change for rows in map(table_of, pieces) for change in changes_of(rows)]
    entities = ibis.memtable({"tenant_id": TENANTS})
    days = DayRange(FIRST, FIRST + timedelta(days=size - 1))
    engine = new_engine()
    found: list[dict[str, Any]] = engine.to_pyarrow(counts_by_day(changes, entities, FIGURES, days)).to_pylist()
    engine.disconnect()
    assert len(found) == len(TENANTS) * size
    assert all(row["metric_date"] == FIRST + timedelta(days=row["day"]) for row in found)
    return {(row["tenant_id"], row["metric_date"]): {figure: row[figure] for figure in FIGURES} for row in found}


def day_by_day(pieces: list[list[Interval]], size: int) -> dict[tuple[str, date], dict[str, int]]:
    """The same, straight from the definition."""
    rows = [row for piece in pieces for row in piece]

    def weight_on(day: int, tenant: str, name: str) -> int:
        return sum(
            weight
            for tenant_id, figure, first, end, weight in rows
            if tenant_id == tenant and figure == name
            if (day == first if name == "begun" else first <= day and (end is None or day < end))
        )

    return {
        (tenant, FIRST + timedelta(days=day)): {name: weight_on(day, tenant, name) for name in FIGURES}
        for tenant in TENANTS
        for day in range(size)
    }


def test_a_day_is_counted_from_its_first_to_the_day_before_its_end() -> None:
    rows: list[Interval] = [
        ("a", "seen", 1, 3, 1),
        ("a", "seen", 2, None, 10),
        ("a", "open", -5, 1, 1),  # began before the range
        ("a", "open", 3, 99, 2),  # ends after it
        ("a", "begun", 1, 3, 5),
        ("a", "begun", -1, 3, 9),  # on a day before the range
        ("A", "seen", 4, 5, 7),  # outside
        ("A", "seen", -3, 0, 7),  # over before it
        ("A", "open", 2, 2, 7),  # empty
        ("A", "open", 3, 1, 7),  # ends before it begins
    ]
    found = counted([rows], 4)
    assert [found["a", FIRST + timedelta(days=n)] for n in range(4)] == [
        {"seen": 0, "open": 1, "begun": 0},
        {"seen": 1, "open": 0, "begun": 5},
        {"seen": 11, "open": 0, "begun": 0},
        {"seen": 10, "open": 2, "begun": 0},
    ]
    assert all(
        found[tenant, FIRST + timedelta(days=n)] == {"seen": 0, "open": 0, "begun": 0}
        for tenant in ("A", "nothing")
        for n in range(4)
    )


def test_what_never_ends_and_what_never_begins() -> None:
    rows = table_of([("a", "", 1, None, 3), ("a", "", 2, 3, 4)])
    never = ibis.null("int64")
    changes = [
        *from_day_on(rows, ["tenant_id"], rows["first"], seen=rows.weight, open=1),
        *from_day_on(rows, ["tenant_id"], never, seen=1),
        *within(rows, ["tenant_id"], never, rows["end"], seen=1),
        *on_day(rows, ["tenant_id"], never, begun=1),
    ]
    engine = new_engine()
    days = DayRange(FIRST, FIRST + timedelta(days=2))
    counts = counts_by_day(changes, ibis.memtable({"tenant_id": ["a"]}), FIGURES, days).order_by("day")
    found = engine.to_pyarrow(counts)
    engine.disconnect()
    assert [found[name].to_pylist() for name in FIGURES] == [[0, 3, 7], [0, 1, 2], [0, 0, 0]]


def test_the_first_and_last_moment_up_to_each_day() -> None:
    when = [datetime(2024, 1, 5), datetime(2024, 1, 1), datetime(2024, 3, 3)]
    rows = ibis.memtable(
        [{"tenant_id": "a", "day": day, "at": at} for day, at in zip((-3, -9, 1), when, strict=True)],
        schema={"tenant_id": "string", "day": "int64", "at": "timestamp(6)"},
    ).mutate(also=lambda t: t["at"])
    changes = from_day_on(rows, ["tenant_id"], rows.day, Moments("at", "also"), seen=1)
    engine = new_engine()
    days = DayRange(FIRST, FIRST + timedelta(days=2))
    counts = counts_by_day(changes, ibis.memtable({"tenant_id": ["a"]}), ["seen"], days).order_by("day")
    found = engine.to_pyarrow(counts).to_pylist()
    engine.disconnect()
    assert [(row["seen"], row["at"], row["also"]) for row in found] == [
        (2, when[1], when[0]),
        (3, when[1], when[2]),
        (3, when[1], when[2]),
    ]


interval = st.tuples(
    st.sampled_from(TENANTS[:2]),
    st.sampled_from(FIGURES),
    st.integers(-6, 9),
    st.one_of(st.none(), st.integers(-6, 12)),
    st.integers(1, 1_000),
)


@settings(max_examples=40, deadline=None)
@given(pieces=st.lists(st.lists(interval, max_size=8), min_size=1, max_size=3), size=st.integers(1, 7))
def test_any_intervals(pieces: list[list[Interval]], size: int) -> None:
    assert counted(pieces, size) == day_by_day(pieces, size)
