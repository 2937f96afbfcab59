"""Events by day: as much as tenant health has to know of them, and no more.

A user's logins matter by day, and other events by tenant, type, feature and day; these counts are a fraction of the events,
and all that is kept in memory. Rule: tenant-health.md, `usage_metrics` and `feature_adoption`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from health_pipeline.days import DAY, Calendar, DayRange, naive

WINDOW_DAYS = 30
LOGIN = "login"
# To look for an event's step among more of them costs an engine more than the days that are spared.
_MOST_STEPS = 24


@dataclass(frozen=True)
class Steps:
    """The days that figures tell apart, oldest first: an event of another day counts as one of the next of them.

    The first lies before all windows. Later events than of the last day count on some day after it.
    """

    days: tuple[date, ...]

    @classmethod
    def of(cls, days: DayRange, lag_days: int, *ends: date) -> Steps:
        """For figures of the days and of those that their trends compare with, and for uses up to each of `ends`."""
        computed = {*days, *days.shifted(-lag_days)}
        # A figure counts events of its own day, of those up to it, or of the window of days that ends with it.
        edges = {day - timedelta(days=back) for day in computed for back in (0, 1, WINDOW_DAYS)}
        return cls(tuple(sorted({*edges, *ends})))

    @property
    def is_few(self) -> bool:
        """Whether many events are one and the same in them."""
        return len(self.days) <= _MOST_STEPS

    def of_instant(self, instant: ir.TimestampValue, calendar: Calendar) -> ir.DateValue:
        """The step of a naive UTC timestamp column, as a date."""
        first, last = self.days[0], self.days[-1]
        if not self.is_few:
            return ibis.greatest(calendar.day(instant, DayRange(first, last)), ibis.date(first))
        branches = ((instant < naive(calendar.end(day)), ibis.date(day)) for day in self.days)
        return ibis.cases(*branches, else_=ibis.date(last + DAY))


def before_windows(days: DayRange, lag_days: int) -> date:
    """The last day before all windows of the days and of the earlier ones that their trends compare with."""
    return days.first - timedelta(days=lag_days + WINDOW_DAYS)


def daily_events(
    events: ir.Table, calendar: Calendar, days: DayRange, steps: Steps, also: Sequence[str] = ()
) -> ir.Table:
    """Events counted; grain: tenant_id, user_id, event_type, feature_key, day (and the columns that `also` names).

    day: the step, a date. user_id: of logins after the first step; else null. event_type: of these, and of all events from
    days.first on; else null. row_count: the events. first_at, last_at: when, UTC.
    """
    dated = events.mutate(day=steps.of_instant(events.occurred_at, calendar))
    is_login = (dated.event_type == LOGIN) & (dated.day > ibis.date(steps.days[0]))
    is_typed = is_login | (dated.day >= ibis.date(days.first))
    nothing = ibis.null("string")
    told_apart = dated.select(
        "tenant_id",
        "feature_key",
        "day",
        "occurred_at",
        *also,
        user_id=ibis.cases((is_login, dated.user_id), else_=nothing),
        event_type=ibis.cases((is_typed, dated.event_type), else_=nothing),
    )
    return told_apart.group_by(["tenant_id", "user_id", "event_type", "feature_key", "day", *also]).agg(
        row_count=told_apart.count(), first_at=told_apart.occurred_at.min(), last_at=told_apart.occurred_at.max()
    )
