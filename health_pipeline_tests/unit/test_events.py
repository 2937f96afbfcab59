"""Events counted by the days that figures tell apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import ibis
import ibis.expr.types as ir
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from health_pipeline.days import DAY, Calendar, DayRange
from health_pipeline.metrics.events import as_daily_events, daily_events, settled_logins, settled_uses
from health_pipeline.metrics.login_days import words
from health_pipeline.metrics.steps import WINDOW_DAYS, Steps
from health_pipeline.sources.engine import new_engine

LAST = date(2024, 11, 10)  # clocks went back seven days before
NEW_YORK = Calendar("America/New_York")


def step_of(steps: Steps, day: date) -> date:
    return min((step for step in steps.days if step >= day), default=LAST + DAY)


@given(length=st.integers(1, 60), lag=st.integers(1, 40), restated=st.integers(0, 6))
@example(length=1, lag=1, restated=3)
def test_days_of_one_step_are_the_same_to_every_figure(length: int, lag: int, restated: int) -> None:
    days = DayRange(LAST - timedelta(days=length - 1), LAST)
    ends = [LAST - timedelta(days=restated + lag + WINDOW_DAYS), days.first - timedelta(days=lag + WINDOW_DAYS)]
    steps = Steps.of(days, lag, *ends)
    assert list(steps.days) == sorted(set(steps.days))
    assert steps.days[0] <= min(ends)
    assert steps.days[-1] == LAST
    computed = {*days, *days.shifted(-lag)}
    for day in DayRange(steps.days[0] - 3 * DAY, LAST):
        step = step_of(steps, day)
        for at in computed:
            window = DayRange(at - timedelta(days=WINDOW_DAYS - 1), at)
            assert (day <= at, day in window) == (step <= at, step in window)
        assert all((day == own) == (step == own) for own in days)
        assert all((day <= end) == (step <= end) for end in ends)


@pytest.mark.parametrize(("length", "is_few"), [(1, True), (4, True), (30, False), (90, False)])
def test_few_steps_where_many_days_are_alike(length: int, is_few: bool) -> None:
    assert Steps.of(DayRange(LAST - timedelta(days=length - 1), LAST), 1).is_few is is_few


@pytest.mark.parametrize("length", [1, 4, 30])
def test_an_event_is_of_the_step_of_its_day_in_the_zone(length: int) -> None:
    days = DayRange(LAST - timedelta(days=length - 1), LAST)
    steps = Steps.of(days, 1)
    instants = [
        edge + timedelta(microseconds=change)
        for day in DayRange(steps.days[0] - 2 * DAY, LAST + 2 * DAY)
        for edge in [NEW_YORK.end(day)]
        for change in (-1, 0)
    ]
    found = counted(instants, steps, days)
    for instant in instants:
        day = step_of(steps, NEW_YORK.day_of(instant))
        assert found[instant] == day or (day > LAST and found[instant] > LAST)


Group = tuple[str | None, ...]
"""tenant_id, user_id, event_type, feature_key and day, each as text."""


# To put a query together takes longest, so each looks at many tenants.
@settings(deadline=None, max_examples=50)
@given(
    length=st.integers(1, 4),
    events_of_tenants=st.fixed_dictionaries(
        dict.fromkeys(
            "abcdef",
            st.lists(
                st.tuples(
                    st.sampled_from("uv"),
                    st.sampled_from(["login", "page_view", "feature_used"]),
                    st.sampled_from([None, "X", "Y"]),
                    st.integers(-3, 36 * 24),
                )
            ),
        )
    ),
)
def test_what_is_settled_is_counted_alike_with_the_others_and_alone(
    length: int, events_of_tenants: dict[str, list[tuple[str, str, str | None, int]]]
) -> None:
    """The last of an event: hours before the end of the last day."""
    days = DayRange(LAST - timedelta(days=length - 1), LAST)
    steps, start, end = Steps.of(days, 1), NEW_YORK.start(days.first), NEW_YORK.end(LAST)
    windows = NEW_YORK.end(steps.days[0])
    rows = [
        (tenant, user, kind, feature, end - timedelta(hours=hours))
        for tenant, events in events_of_tenants.items()
        for user, kind, feature, hours in events
    ]
    # Of what lies before the windows only uses are read.
    rows = [row for row in rows if row[3] is not None or row[4] >= windows]
    uses = [row for row in rows if row[3] is not None and row[4] < start]
    logins = [row for row in rows if row[3] is None and row[2] == "login" and row[4] < start]
    others = [row for row in rows if row not in uses and row not in logins]
    together = groups_of(daily_events(events_of(rows), NEW_YORK, days, steps), steps)
    alone = groups_of(
        ibis.union(
            daily_events(events_of(others), NEW_YORK, days, steps),
            settled_uses(events_of(uses), NEW_YORK, steps),
            as_daily_events(settled_logins(events_of(logins), NEW_YORK, steps), steps),
            distinct=False,
        ),
        steps,
    )
    assert alone == together
    assert sum(group["row_count"] for group in together.values()) == len(rows)


@pytest.mark.parametrize("length", [1, 60])
def test_uses_before_all_windows_tell_no_days_of_logins(length: int) -> None:
    days = DayRange(LAST - timedelta(days=length - 1), LAST)
    steps = Steps.of(days, 1)
    before = NEW_YORK.end(steps.days[0]) - timedelta(microseconds=1)
    rows = [("a", "u", "login", "X", before), ("a", "v", "feature_used", "X", before - timedelta(days=900))]
    for counted_rows in (
        daily_events(events_of(rows), NEW_YORK, days, steps),
        settled_uses(events_of(rows), NEW_YORK, steps),
    ):
        ((key, group),) = groups_of(counted_rows, steps).items()
        assert key == ("a", None, None, "X", str(steps.days[0]))
        assert group["row_count"] == len(rows)


def groups_of(counted_rows: ir.Table, steps: Steps) -> dict[Group, dict[str, Any]]:
    """Groups by key, those of one key together: how many rows, when the first and last were, and the days of logins."""
    engine = new_engine()
    found: dict[Group, dict[str, Any]] = {}
    for row in engine.to_pyarrow(counted_rows).to_pylist():
        key = tuple(
            row[name] and str(row[name]) for name in ("tenant_id", "user_id", "event_type", "feature_key", "day")
        )
        group = found.setdefault(key, {"row_count": 0, "at": set(), "logins": set()})
        group["row_count"] += row["row_count"]
        if row["day"] is not None:
            group["at"] |= {row["first_at"], row["last_at"]}
        group["logins"] |= login_days_of(row, steps)
    engine.disconnect()
    for group in found.values():
        group["at"] = (min(group["at"]), max(group["at"])) if group["at"] else None
    return found


def login_days_of(row: Mapping[str, Any], steps: Steps) -> set[date]:
    """The days whose bits are set."""
    return {
        steps.days[0] + timedelta(days=62 * number + bit)
        for number, name in enumerate(words(steps))
        for bit in range(62)
        if (row[name] or 0) >> bit & 1
    }


def events_of(rows: Sequence[tuple[str, str, str, str | None, datetime]]) -> ir.Table:
    names = ("tenant_id", "user_id", "event_type", "feature_key", "occurred_at")
    schema = {**dict.fromkeys(names[:4], "string"), "occurred_at": "timestamp(6)"}
    naive = [(*row[:4], row[4].replace(tzinfo=None)) for row in rows]
    return ibis.memtable([dict(zip(names, row, strict=True)) for row in naive], schema=schema)


def counted(instants: list[datetime], steps: Steps, days: DayRange) -> dict[datetime, date]:
    """The day of each instant's only event."""
    engine = new_engine()
    events = events_of([(f"t{number}", "u", "page_view", None, instant) for number, instant in enumerate(instants)])
    rows = engine.to_pyarrow(daily_events(events, NEW_YORK, days, steps)).to_pylist()
    engine.disconnect()
    assert [row["row_count"] for row in rows] == [1] * len(instants)
    return {row["first_at"].replace(tzinfo=UTC): row["day"] for row in rows}
