"""When a source table counts as stopped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from health_pipeline.metrics.freshness import is_stopped

NEWEST = datetime(2024, 3, 20, 15, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


def hours(*silences: int) -> list[datetime]:
    """The busy hours up to NEWEST with these silences between them, in hours, from the newest back."""
    result = [NEWEST.replace(minute=0)]
    for silence in silences:
        result.append(result[-1] - (silence + 1) * HOUR)
    return result


STEADY = hours(*[0] * 24 * 20)
WEEKDAYS = hours(*[8, 8, 8, 62, *[8] * 40])


def stopped_after(silence: timedelta, busy: list[datetime]) -> bool:
    return is_stopped(NEWEST, NEWEST + silence, busy)


def test_a_steady_table_stops_after_36_hours() -> None:
    assert not stopped_after(36 * HOUR - timedelta(seconds=1), STEADY)
    assert stopped_after(36 * HOUR, STEADY)


def test_a_weekend_like_the_last_one_is_no_stop() -> None:
    assert not stopped_after(62 * HOUR, WEEKDAYS)
    assert stopped_after(62 * HOUR + timedelta(minutes=1), WEEKDAYS)


def test_a_table_that_keeps_silent_for_days_never_stops() -> None:
    assert not stopped_after(400 * HOUR, hours(100, *[0] * 200))
    assert stopped_after(400 * HOUR, hours(72, *[0] * 200))
    assert not stopped_after(400 * HOUR, hours(73, *[0] * 200))


def test_a_week_of_history_is_the_least() -> None:
    assert not stopped_after(400 * HOUR, hours(*[0] * 24 * 7)[:-1])
    assert stopped_after(400 * HOUR, hours(*[0] * 24 * 7))
    assert not stopped_after(400 * HOUR, [])


@given(st.lists(st.integers(0, 90), max_size=60), st.integers(0, 120))
def test_against_the_rule_hour_by_hour(silences: list[int], silent: int) -> None:
    """Restated naively: walk the hours one by one and count the longest run of idle ones."""
    busy = set(hours(*silences))
    longest = run = 0
    at = max(busy)
    while at >= min(busy):
        run = 0 if at in busy else run + 1
        longest = max(longest, run)
        at -= HOUR
    clock = NEWEST + silent * HOUR
    expected = silent >= 36 and NEWEST - min(busy) >= timedelta(days=7) and longest <= 72 and silent > longest
    assert is_stopped(NEWEST, clock, list(busy)) == expected
