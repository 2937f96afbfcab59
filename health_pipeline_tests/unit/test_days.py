"""Days of a zone: starts and ends against the reference, and day numbers as DuckDB computes them."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from zoneinfo import available_timezones

import ibis
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from health_pipeline.days import Calendar, DayRange, merged
from health_pipeline.errors import SettingError
from health_pipeline.sources.contract import EARLIEST_INSTANT, LATEST_INSTANT
from health_pipeline.sources.engine import new_engine
from health_pipeline_tests.reference.calendar import MICROSECOND, days_between, end_of

DAY = timedelta(days=1)
# Years in which a zone does something of its own with midnight, or nothing.
ZONE_YEARS = [
    ("UTC", 2024),
    ("Europe/Berlin", 2023),
    ("Asia/Kolkata", 2024),
    ("America/Sao_Paulo", 2018),  # midnight skipped
    ("America/Havana", 2023),  # midnight skipped, and there twice
    ("America/St_Johns", 1999),  # back at 00:01: midnight twice, and the day before comes back
    ("America/St_Johns", 2024),
    ("Australia/Lord_Howe", 2024),  # half an hour
    ("Pacific/Apia", 2011),  # 30 December left out
    ("Pacific/Kwajalein", 1993),  # 21 August left out
    ("Asia/Kathmandu", 1986),  # a quarter of an hour at midnight
    ("Asia/Beirut", 2024),
    ("Africa/Cairo", 2014),
    ("Africa/Monrovia", 1972),  # 44 minutes and 30 seconds
    ("America/Scoresbysund", 2024),
    ("Africa/Casablanca", 2024),
    ("Asia/Gaza", 2023),
    ("America/Asuncion", 2024),
    ("Asia/Pyongyang", 2018),  # half an hour, twice
    ("Antarctica/Troll", 2024),  # two hours
]
zones = st.sampled_from(sorted(available_timezones() - {"localtime"}))


@pytest.mark.parametrize(("zone", "year"), ZONE_YEARS)
def test_days_start_and_end_as_the_reference_says(zone: str, year: int) -> None:
    calendar = Calendar(zone)
    for day in days_between(date(year - 1, 12, 1), date(year + 1, 1, 31)):
        assert calendar.end(day) == end_of(day, zone), day
        assert calendar.start(day) == end_of(day - DAY, zone), day


@pytest.mark.parametrize(("zone", "year"), ZONE_YEARS)
def test_an_instant_belongs_to_the_day_that_has_begun_and_not_ended(zone: str, year: int) -> None:
    calendar = Calendar(zone)
    for day in days_between(date(year, 1, 1), date(year, 12, 31)):
        first, end = end_of(day - DAY, zone), end_of(day, zone)
        if first < end:  # a day that was left out has no instant
            assert calendar.day_of(first) == day
            assert calendar.day_of(end - MICROSECOND) == day
            assert calendar.day_of(end) > day


@hypothesis_settings(max_examples=300, deadline=None)
@given(zone=zones, day=st.dates(date(1971, 1, 1), date(2036, 12, 31)))
def test_any_zone_any_day(zone: str, day: date) -> None:
    assert Calendar(zone).end(day) == end_of(day, zone)


@hypothesis_settings(max_examples=300, deadline=None)
@given(zone=zones, naive=st.datetimes(datetime(1971, 1, 1), datetime(2036, 12, 31)))
def test_any_zone_any_instant(zone: str, naive: datetime) -> None:
    instant = naive.replace(tzinfo=UTC)
    day = Calendar(zone).day_of(instant)
    assert end_of(day - DAY, zone) <= instant < end_of(day, zone)


def day_indexes(instants: list[datetime | None], zone: str, days: DayRange, lookback: int) -> list[int | None]:
    """Calendar.day_index as DuckDB computes it for a column of instants."""
    engine = new_engine()
    naive = [None if instant is None else instant.replace(tzinfo=None) for instant in instants]
    rows = ibis.memtable(pa.table({"n": range(len(naive)), "at": pa.array(naive, pa.timestamp("us"))}))
    index = rows.select("n", index=Calendar(zone).day_index(rows["at"], days, lookback)).order_by("n")
    found: list[int | None] = engine.to_pyarrow(index)["index"].to_pylist()
    engine.disconnect()
    return found


@pytest.mark.parametrize("lookback", [0, 45])
@pytest.mark.parametrize(("zone", "year"), ZONE_YEARS)
def test_day_index_at_every_edge(zone: str, year: int, lookback: int) -> None:
    days = DayRange(date(year, 1, 20), date(year, 12, 31))
    exact = days_between(days.first - lookback * DAY, days.last)
    ends = [end_of(day, zone) for day in (exact[0] - DAY, *exact)]
    instants = [edge + step for edge in ends for step in (-MICROSECOND, timedelta(0), MICROSECOND)]
    inside = [instant for instant in instants if ends[0] <= instant < ends[-1]]

    # The day D with end(D - 1) <= t < end(D): as many ends as lie up to t.
    expected = [bisect_right(ends, instant) - 1 - lookback for instant in inside]
    assert day_indexes([*inside, None], zone, days, lookback) == [*expected, None]

    before = [ends[0] - MICROSECOND, ends[0] - timedelta(hours=30), ends[0] - timedelta(days=999), EARLIEST_INSTANT]
    after = [
        ends[-1],
        ends[-1] + MICROSECOND,
        ends[-1] + timedelta(hours=30),
        ends[-1] + timedelta(days=999),
        LATEST_INSTANT,
    ]
    assert all(index < -lookback for index in day_indexes(before, zone, days, lookback))
    assert all(index >= len(days) for index in day_indexes(after, zone, days, lookback))


@hypothesis_settings(max_examples=25, deadline=None)
@given(
    zone=zones,
    first=st.dates(date(1975, 1, 1), date(2030, 12, 31)),
    length=st.integers(1, 60),
    lookback=st.integers(0, 40),
    data=st.data(),
)
def test_day_index_of_any_instants(zone: str, first: date, length: int, lookback: int, data: st.DataObject) -> None:
    days = DayRange(first, first + (length - 1) * DAY)
    exact = days_between(first - lookback * DAY, days.last)
    ends = [end_of(day, zone) for day in (exact[0] - DAY, *exact)]
    span = int((ends[-1] - ends[0]).total_seconds()) * 1_000_000
    offsets = data.draw(st.lists(st.integers(0, span - 1), min_size=1, max_size=40))
    instants = [ends[0] + timedelta(microseconds=offset) for offset in offsets]
    expected = [bisect_right(ends, instant) - 1 - lookback for instant in instants]
    assert day_indexes(instants, zone, days, lookback) == expected


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(SettingError, match=r"HEALTH_TIMEZONE.*Mars/Olympus"):
        Calendar("Mars/Olympus")


def test_ranges() -> None:
    days = DayRange(date(2024, 2, 27), date(2024, 3, 2))
    assert list(days) == days_between(days.first, days.last)
    assert len(days) == 5
    assert date(2024, 2, 29) in days
    assert date(2024, 3, 3) not in days
    assert days.shifted(-2) == DayRange(date(2024, 2, 25), date(2024, 2, 29))
    assert [len(piece) for piece in days.chunks(2)] == [2, 2, 1]
    assert [day for piece in days.chunks(2) for day in piece] == list(days)
    with pytest.raises(SettingError, match="2024-03-02 to 2024-02-27"):
        DayRange(days.last, days.first)


def test_merged_ranges_hold_the_same_days_once() -> None:
    def of(first: int, last: int) -> DayRange:
        return DayRange(date(2024, 1, first), date(2024, 1, last))

    assert merged(of(5, 6), of(1, 2)) == [of(1, 2), of(5, 6)]
    assert merged(of(3, 4), of(1, 2)) == [of(1, 4)]
    assert merged(of(1, 9), of(2, 3), of(8, 10)) == [of(1, 10)]
