"""Counting intervals over a range of days, against counting them day by day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import ibis
import ibis.expr.types as ir
from hypothesis import given, settings
from hypothesis import strategies as st

from health_pipeline.days import DayRange
from health_pipeline.metrics.intervals import counts_by_day, intervals
from health_pipeline.sources.engine import new_engine

FIRST = date(2024, 2, 27)
FIGURES = ["seen", "open"]
TENANTS = ["a", "A", "nothing"]
Interval = tuple[str, str, int, int | None, int]
"""tenant, figure, first day, end day, weight."""


def table_of(rows: list[Interval]) -> ir.Table:
    names = ["tenant_id", "figure", "first", "end", "weight"]
    schema = {"tenant_id": "string", "figure": "string", "first": "int64", "end": "int64", "weight": "int64"}
    return ibis.memtable([dict(zip(names, row, strict=True)) for row in rows], schema=schema)


def counted(pieces: list[list[Interval]], size: int) -> dict[tuple[str, date], dict[str, int]]:
    """counts_by_day as DuckDB computes it: figures by tenant and day."""
    tables = [
        intervals(rows, ["tenant_id"], rows.figure, rows["first"], rows["end"], rows.weight)
        for rows in map(table_of, pieces)
    ]
    entities = ibis.memtable({"tenant_id": TENANTS})
    days = DayRange(FIRST, FIRST + timedelta(days=size - 1))
    engine = new_engine()
    found: list[dict[str, Any]] = engine.to_pyarrow(counts_by_day(tables, entities, FIGURES, days)).to_pylist()
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
            if tenant_id == tenant and figure == name and first <= day and (end is None or day < end)
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
        ("A", "seen", 4, 5, 7),  # outside
        ("A", "seen", -3, 0, 7),  # over before it
        ("A", "open", 2, 2, 7),  # empty
        ("A", "open", 3, 1, 7),  # ends before it begins
    ]
    found = counted([rows], 4)
    assert [found["a", FIRST + timedelta(days=n)] for n in range(4)] == [
        {"seen": 0, "open": 1},
        {"seen": 1, "open": 0},
        {"seen": 11, "open": 0},
        {"seen": 10, "open": 2},
    ]
    assert all(
        found[tenant, FIRST + timedelta(days=n)] == {"seen": 0, "open": 0}
        for tenant in ("A", "nothing")
        for n in range(4)
    )


def test_a_literal_figure_an_open_end_and_a_weight_of_one() -> None:
    rows = table_of([("a", "", 1, None, 0)])
    pieces = [intervals(rows, ["tenant_id"], "open", rows["first"], None)]
    engine = new_engine()
    days = DayRange(FIRST, FIRST + timedelta(days=2))
    counts = counts_by_day(pieces, ibis.memtable({"tenant_id": ["a"]}), ["open"], days).order_by("day")
    assert engine.to_pyarrow(counts)["open"].to_pylist() == [0, 1, 1]
    engine.disconnect()


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
