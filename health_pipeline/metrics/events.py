"""Events by day: as much as tenant health has to know of them, and no more.

A user's logins matter by day, and other events by tenant, type, feature and day; these counts are a fraction of the events,
and all that is kept in memory. Rule: tenant-health.md, `usage_metrics` and `feature_adoption`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange

WINDOW_DAYS = 30
LOGIN = "login"


def before_windows(days: DayRange, lag_days: int) -> date:
    """The last day before all windows of the days and of the earlier ones that their trends compare with."""
    return days.first - timedelta(days=lag_days + WINDOW_DAYS)


def daily_events(
    events: ir.Table, calendar: Calendar, days: DayRange, earliest: date, also: Sequence[str] = ()
) -> ir.Table:
    """Events counted; grain: tenant_id, user_id, event_type, feature_key, day (and the columns that `also` names).

    day: a date; all that lies before `earliest`, which is before every window, is of `earliest`. user_id: of logins after it;
    else null. event_type: of these, and of all events from days.first on; else null. row_count: the events. first_at, last_at:
    when, UTC.
    """
    day = ibis.greatest(calendar.day(events.occurred_at, DayRange(earliest, days.last)), ibis.date(earliest))
    dated = events.mutate(day=day)
    is_login = (dated.event_type == LOGIN) & (dated.day > ibis.date(earliest))
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
