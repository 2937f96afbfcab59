"""Steps: the days that figures tell apart. Facts of all days between two of them count as one.

Rule: tenant-health.md: a figure of a day counts facts of this day, of all up to it, or of the 30 days that end with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from health_pipeline.days import DAY, Calendar, DayRange, at

WINDOW_DAYS = 30
# To look for a fact's step among more of them costs an engine more than the days that are spared.
_MOST_STEPS = 24


@dataclass(frozen=True)
class Steps:
    """The days that figures tell apart, oldest first: a fact of another day counts as one of the next of them.

    Later facts than of the last day count on some day after it. Where there are windows, the first lies before all of them.
    """

    days: tuple[date, ...]

    @classmethod
    def of(cls, days: DayRange, lag_days: int, *ends: date) -> Steps:
        """For figures of the days and of those that their trends compare with, and for uses up to each of `ends`. Figures of a
        day's own facts are of the days alone: trends don't know them."""
        computed = cls.of_totals(days, lag_days).days
        edges = {day - timedelta(days=back) for day in computed for back in (0, WINDOW_DAYS)}
        return cls(tuple(sorted({*edges, *(day - DAY for day in days), *ends})))

    @classmethod
    def of_totals(cls, days: DayRange, lag_days: int) -> Steps:
        """For figures that count facts of all days up to their own."""
        return cls(tuple(sorted({*days, *days.shifted(-lag_days)})))

    @property
    def is_few(self) -> bool:
        """Whether many facts are one and the same in them."""
        return len(self.days) <= _MOST_STEPS

    @property
    def before_windows(self) -> Steps:
        """The first alone, for facts before all windows."""
        return Steps(self.days[:1])

    def of_instant(self, instant: ir.TimestampValue, calendar: Calendar) -> ir.DateValue:
        """The step of a timestamp column as a date, null where that is null; with many steps the column must be naive UTC."""
        first, last = self.days[0], self.days[-1]
        if not self.is_few:
            day = ibis.greatest(calendar.day(instant, DayRange(first, last)), ibis.date(first))
            return ibis.cases((instant.notnull(), day), else_=ibis.null("date"))
        return self.chosen(instant, calendar, [ibis.date(day) for day in self.days], ibis.date(last + DAY))

    def chosen(
        self, instant: ir.TimestampValue, calendar: Calendar, values: Sequence[ir.Value], later: ir.Value
    ) -> ir.Value:
        """Of each step's value that of a timestamp's step, `later` of one after the last, and null of null."""
        ends = [calendar.end(day) for day in self.days]

        def among(first: int, last: int) -> ir.Value:
            """The value of an instant that is known to be before `ends[last]` and not before `ends[first - 1]`."""
            if all(value is candidates[first] for value in candidates[first : last + 1]):
                return candidates[first]
            middle = (first + last) // 2
            is_before = instant < at(instant, ends[middle])
            return ibis.cases((is_before, among(first, middle)), else_=among(middle + 1, last))

        candidates = [*values, later]
        return ibis.cases((instant.notnull(), among(0, len(ends))), else_=ibis.null(later.type()))


def before_windows(days: DayRange, lag_days: int) -> date:
    """The last day before all windows of the days and of the earlier ones that their trends compare with."""
    return days.first - timedelta(days=lag_days + WINDOW_DAYS)
