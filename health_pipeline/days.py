"""Days of the pipeline's one zone: when a day ends, ranges of days, and the day an instant belongs to.

Rule: source-contract.md, "Points in time". An instant t belongs to day D when end(D - 1) <= t < end(D); all metrics work
on such day numbers, so a window edge is decided in one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import ibis
import ibis.expr.types as ir

from health_pipeline.errors import SettingError

DAY = timedelta(days=1)
# No zone has moved its clocks before, so days before it need no exactness of their own.
EARLIEST_EXACT_DAY = date(1800, 1, 2)
_SUNDAY = 7


@dataclass(frozen=True)
class DayRange:
    """The days from `first` to `last`, both included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise SettingError(f"a range of days must not end before it starts: from {self.first} to {self.last}")

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=n) for n in range(len(self)))

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def shifted(self, days: int) -> DayRange:
        """The range moved by so many days, back when negative."""
        return DayRange(self.first + timedelta(days=days), self.last + timedelta(days=days))

    def sundays(self) -> list[date]:
        """The Sundays of the range, oldest first."""
        return [day for day in self if day.isoweekday() == _SUNDAY]

    def chunks(self, size: int) -> Iterator[DayRange]:
        """The range cut into pieces of at most `size` days, oldest first."""
        for start in range(0, len(self), size):
            first = self.first + timedelta(days=start)
            yield DayRange(first, min(first + timedelta(days=size - 1), self.last))


@dataclass(frozen=True)
class Calendar:
    """The days of one time zone."""

    zone: str = "UTC"

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise SettingError(
                f"HEALTH_TIMEZONE must name an IANA time zone such as Europe/Berlin, but is {self.zone!r}"
            ) from error

    def start(self, day: date) -> datetime:
        """The first instant of `day`, in UTC: its midnight, or where there is none the first instant of that day."""
        return _first_instant(self.zone, day)

    def end(self, day: date) -> datetime:
        """end(D): the first instant after `day`, in UTC."""
        return self.start(day + DAY)

    def day_of(self, instant: datetime) -> date:
        """The day D with end(D - 1) <= instant < end(D)."""
        guess = instant.astimezone(ZoneInfo(self.zone)).date()
        while instant < self.start(guess):
            guess -= DAY
        while instant >= self.end(guess):
            guess += DAY
        return guess

    def day_index(self, instant: ir.TimestampValue, days: DayRange, lookback: int = 0) -> ir.IntegerValue:
        """The day of a naive UTC timestamp column as an index into `days`: 0 for `days.first`, negative before it.

        Exact as `day` is: instants beyond get an index that also lies before or after what is exact.
        """
        return index_in(self.day(instant, days, lookback), days)

    def day(self, instant: ir.TimestampValue, days: DayRange, lookback: int = 0) -> ir.DateValue:
        """The day of a naive UTC timestamp column, as a date.

        An expression that every Ibis backend runs without time zone functions. Exact from `lookback` days before
        `days.first` to `days.last`; instants before or after that get a day that also lies before or after it.
        """
        stretches = _stretches(self.zone, DayRange(days.first - timedelta(days=lookback), days.last))
        branches = [(instant < at(instant, stretch.until), _day_within(instant, stretch)) for stretch in stretches[:-1]]
        last = _shifted_date(instant, stretches[-1].shift)
        return ibis.cases(*branches, else_=last) if branches else last


@dataclass(frozen=True)
class _Stretch:
    """Days that start 24 hours apart, up to the instant `until`. shift: brings their starts to midnight.

    Only the last of them may be longer or shorter than 24 hours.
    """

    until: datetime
    last_day: date
    shift: timedelta


@cache
def _stretches(zone: str, around: DayRange) -> list[_Stretch]:
    stretches: list[_Stretch] = []
    for day in DayRange(around.first, around.last + DAY):
        start = _first_instant(zone, day)
        shift = datetime(day.year, day.month, day.day, tzinfo=UTC) - start
        if stretches and stretches[-1].shift == shift:
            continue
        if stretches:
            stretches[-1] = _Stretch(start, day - DAY, stretches[-1].shift)
        stretches.append(_Stretch(datetime.max.replace(tzinfo=UTC), date.max, shift))
    return stretches


def _day_within(instant: ir.TimestampValue, stretch: _Stretch) -> ir.DateValue:
    """The shifted date; in the last hours of a long last day it would already be the next one."""
    shifted, last_day = _shifted_date(instant, stretch.shift), ibis.date(stretch.last_day)
    return ibis.cases((shifted > last_day, last_day), else_=shifted)


def at(column: ir.Value, instant: datetime) -> ir.Value:
    """A literal for the UTC instant that compares with a timestamp column, with a zone or naive (which is UTC)."""
    naive = instant.replace(tzinfo=None).isoformat(sep=" ")
    zone = column.type().timezone
    return ibis.timestamp(naive + "+00:00", timezone="UTC") if zone else ibis.timestamp(naive)


def _shifted_date(instant: ir.TimestampValue, shift: timedelta) -> ir.DateValue:
    seconds = int(shift.total_seconds())
    if not seconds:
        return instant.date()
    shifted = (instant + ibis.interval(seconds=seconds)).date()
    # West of UTC the earliest instants there are lie before the earliest date there is.
    earliest = ibis.date(date.min)
    return ibis.cases((shifted < earliest, earliest), else_=shifted) if seconds < 0 else shifted


@cache
def _first_instant(zone: str, day: date) -> datetime:
    info = ZoneInfo(zone)
    midnight = datetime(day.year, day.month, day.day, tzinfo=info)
    instant = midnight.astimezone(UTC)
    if instant.astimezone(info).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return instant
    # No such midnight: search the whole second at which the local date first reaches the day.
    low, high = instant - 2 * DAY, instant + 2 * DAY
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=int((high - low).total_seconds()) // 2)
        if middle.astimezone(info).date() >= day:
            high = middle
        else:
            low = middle
    return high


def index_in(day: ir.DateValue, days: DayRange) -> ir.IntegerValue:
    """A column of days as indexes into `days`: 0 for `days.first`, negative before it."""
    return day.delta(ibis.date(days.first), unit="day")


def sunday_of(day: date) -> date:
    """The newest Sunday up to the day."""
    return day - timedelta(days=day.isoweekday() % _SUNDAY)


def merged(*ranges: DayRange) -> list[DayRange]:
    """The same days as disjoint ranges in order; ranges that overlap or touch become one."""
    result: list[DayRange] = []
    for item in sorted(ranges, key=lambda r: r.first):
        if result and item.first <= result[-1].last + DAY:
            result[-1] = DayRange(result[-1].first, max(result[-1].last, item.last))
        else:
            result.append(item)
    return result
