"""Points in time (source-contract.md, Points in time)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MICROSECOND = timedelta(microseconds=1)


def end_of(day: date, zone: str = "UTC") -> datetime:
    """The UTC instant at which `day` ends: 00:00 of the next day in `zone`.

    The first of the two where that midnight occurs twice, the first instant of the next day where it doesn't exist.
    """
    tz = ZoneInfo(zone)
    midnight = datetime.combine(day + timedelta(days=1), time())
    first = midnight.replace(tzinfo=tz, fold=0).astimezone(UTC)
    if first.astimezone(tz).replace(tzinfo=None) == midnight:
        return first
    # The clocks jump over midnight. Read with the offset after the jump it lies before the jump, and the other way
    # round; between the two the local clock passes midnight once, at the jump.
    before, after = midnight.replace(tzinfo=tz, fold=1).astimezone(UTC), first
    while after - before > MICROSECOND:
        middle = before + (after - before) // 2
        if middle.astimezone(tz).replace(tzinfo=None) >= midnight:
            after = middle
        else:
            before = middle
    return after


def days_between(first: date, last: date) -> list[date]:
    """Every day from `first` to `last`, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
