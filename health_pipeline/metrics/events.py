"""Events by day: as much as tenant health has to know of them, and no more.

A user's logins matter by day, and other events by tenant, type, feature and day; these counts are a fraction of the events,
and all that is kept in memory. Rule: tenant-health.md, `usage_metrics` and `feature_adoption`.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange
from health_pipeline.metrics.steps import Steps

LOGIN = "login"


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
    return _counted(told_apart, ["tenant_id", "user_id", "event_type", "feature_key", "day", *also])


def settled_uses(events: ir.Table, calendar: Calendar, steps: Steps, also: Sequence[str] = ()) -> ir.Table:
    """What daily_events gives for uses of features before the days that aren't logins, with less to do for each of them."""
    dated = events.mutate(day=steps.of_instant(events.occurred_at, calendar))
    groups = _counted(dated, ["tenant_id", "feature_key", "day", *also])
    nothing = ibis.null("string")
    return groups.mutate(user_id=nothing, event_type=nothing).relocate("user_id", "event_type", after="tenant_id")


def _counted(events: ir.Table, keys: Sequence[str]) -> ir.Table:
    when = events.occurred_at
    return events.group_by(list(keys)).agg(row_count=events.count(), first_at=when.min(), last_at=when.max())
