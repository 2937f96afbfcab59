"""When a night is due, and which partitions it computes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from health_pipeline.days import DayRange
from health_pipeline.orchestration.nights import DAILY, WEEKLY, NightlyJob
from health_pipeline.orchestration.partition_states import listed
from health_pipeline.orchestration.partitions import MAX_PARTITIONS_PER_RUN, range_tags, tagged_range
from health_pipeline.settings import Settings, read_settings


def settings(zone: str = "UTC", start: str = "2024-01-01", restate: int = 3) -> Settings:
    return read_settings({"HEALTH_TIMEZONE": zone, "HEALTH_START_DATE": start, "HEALTH_RESTATE_DAYS": str(restate)})


@pytest.mark.parametrize(
    ("zone", "due"),
    [
        ("UTC", datetime(2024, 3, 6, 2, tzinfo=UTC)),
        ("Pacific/Kiritimati", datetime(2024, 3, 5, 12, tzinfo=UTC)),
        ("Pacific/Pago_Pago", datetime(2024, 3, 6, 13, tzinfo=UTC)),
        ("Asia/Kathmandu", datetime(2024, 3, 5, 20, 15, tzinfo=UTC)),
    ],
)
def test_a_day_is_due_at_two_in_its_zone(zone: str, due: datetime) -> None:
    night = DAILY.due(settings(zone), due)
    assert (night.newest, night.since) == (date(2024, 3, 5), due)
    before = DAILY.due(settings(zone), due - timedelta(seconds=1))
    assert (before.newest, before.since) == (date(2024, 3, 4), due - timedelta(days=1))


@pytest.mark.parametrize(
    ("zone", "day", "due"),
    [
        # Two o'clock is skipped: three by the clock.
        ("America/New_York", date(2024, 3, 9), datetime(2024, 3, 10, 7, tzinfo=UTC)),
        ("Europe/Berlin", date(2024, 3, 30), datetime(2024, 3, 31, 1, tzinfo=UTC)),
        # There are two: Dagster takes the second.
        ("Europe/Berlin", date(2024, 10, 26), datetime(2024, 10, 27, 1, tzinfo=UTC)),
    ],
)
def test_where_the_clocks_are_moved(zone: str, day: date, due: datetime) -> None:
    assert DAILY.due(settings(zone), due).newest == day
    assert DAILY.due(settings(zone), due - timedelta(seconds=1)).newest == day - timedelta(days=1)


def test_a_week_is_due_in_the_night_to_its_sunday() -> None:
    due = datetime(2024, 3, 10, 2, tzinfo=UTC)
    assert WEEKLY.due(settings(), due).newest == date(2024, 3, 10)
    assert WEEKLY.due(settings(), due - timedelta(seconds=1)).newest == date(2024, 3, 3)
    assert WEEKLY.due(settings(), due + timedelta(days=6)).newest == date(2024, 3, 10)


@pytest.mark.parametrize(
    ("job", "newest", "restate", "first", "count"),
    [
        (DAILY, date(2024, 3, 5), 3, date(2024, 3, 2), 4),
        (DAILY, date(2024, 3, 5), 0, date(2024, 3, 5), 1),
        (DAILY, date(2024, 1, 2), 3, date(2024, 1, 1), 2),
        (WEEKLY, date(2024, 3, 10), 0, date(2024, 3, 10), 1),
        (WEEKLY, date(2024, 3, 10), 3, date(2024, 3, 3), 2),
        (WEEKLY, date(2024, 3, 10), 7, date(2024, 3, 3), 2),
        (WEEKLY, date(2024, 3, 10), 8, date(2024, 2, 25), 3),
        (WEEKLY, date(2024, 1, 14), 60, date(2024, 1, 7), 2),
    ],
)
def test_a_night_restates_the_partitions_before_it(
    job: NightlyJob, newest: date, restate: int, first: date, count: int
) -> None:
    partitions = job.partitions_of(newest, settings(restate=restate))
    assert (partitions[0], partitions[-1], len(partitions)) == (first, newest, count)
    assert partitions == [first + timedelta(days=job.days_apart * n) for n in range(count)]


@pytest.mark.parametrize("job", [DAILY, WEEKLY])
def test_before_the_first_partition_there_is_nothing(job: NightlyJob) -> None:
    assert job.partitions_of(date(2024, 3, 10), settings(start="2024-03-11")) == []


@pytest.mark.parametrize("start", ["2024-03-04", "2024-03-09", "2024-03-10"])
def test_the_first_sunday_is_the_start_date_or_the_next_one(start: str) -> None:
    assert WEEKLY.first_partition(settings(start=start)) == date(2024, 3, 10)


def test_partitions_become_ranges_that_a_run_may_have() -> None:
    first = date(2024, 1, 7)
    for job in (DAILY, WEEKLY):
        day = timedelta(days=job.days_apart)
        assert job.ranges([]) == []
        wanted = [first + n * day for n in (0, 1, 2, 5, 7, 8)]
        assert job.ranges(reversed(wanted)) == [
            DayRange(first, first + 2 * day),
            DayRange(first + 5 * day, first + 5 * day),
            DayRange(first + 7 * day, first + 8 * day),
        ]
        many = [first + n * day for n in range(MAX_PARTITIONS_PER_RUN + 1)]
        assert job.ranges(many) == [DayRange(many[0], many[-2]), DayRange(many[-1], many[-1])]


def test_the_days_of_a_run_are_in_its_tags() -> None:
    days = DayRange(date(2024, 3, 1), date(2024, 3, 4))
    assert tagged_range(range_tags(days)) == days
    assert tagged_range({"dagster/partition": "2024-03-01"}) == DayRange(days.first, days.first)
    assert tagged_range({"dagster/sensor_name": "missed_nights"}) is None


def test_days_are_listed_as_ranges() -> None:
    assert listed([]) == ""
    assert listed(DayRange(date(2024, 3, 1), date(2024, 3, 4))) == "2024-03-01 to 2024-03-04"
    odd = [date(2024, 3, day) for day in range(1, 16, 2)]
    assert listed(odd) == "2024-03-01, 2024-03-03, 2024-03-05, 2024-03-07, 2024-03-09 and 3 more days"
