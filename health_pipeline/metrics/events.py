"""Events by day: as much as tenant health has to know of them, and no more.

A user's logins matter by day, and other events by tenant, type, feature and day; these counts are a fraction of the events,
and all that is kept in memory. Rule: tenant-health.md, `usage_metrics` and `feature_adoption`.
"""

from __future__ import annotations

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange
from health_pipeline.metrics.login_days import LOGIN, bits_of_logins, words
from health_pipeline.metrics.steps import Steps

_KEYS = ("tenant_id", "user_id", "event_type", "feature_key", "day")
_NO_TEXT = ibis.null("string")


def daily_events(
    events: ir.Table, calendar: Calendar, days: DayRange, steps: Steps, also: Sequence[str] = ()
) -> ir.Table:
    """Events counted; grain: tenant_id, user_id, event_type, feature_key, day (and the columns that `also` names).

    day: the step, a date; null of logins that use no feature. user_id: of logins after the first step; else null. event_type:
    of these, and of all events from days.first on; else null. row_count: the events. first_at, last_at: when, UTC, where there
    is a day. And the `words` of the steps, which tell on which days a user logged in.
    """
    dated = events.mutate(day=steps.of_instant(events.occurred_at, calendar))
    is_login = (dated.event_type == LOGIN) & (dated.day > ibis.date(steps.days[0]))
    is_typed = is_login | (dated.day >= ibis.date(days.first))
    is_use = ~is_login.fill_null(False) | dated.feature_key.notnull()
    told_apart = dated.mutate(
        user_id=ibis.cases((is_login, dated.user_id), else_=_NO_TEXT),
        event_type=ibis.cases((is_typed, dated.event_type), else_=_NO_TEXT),
        day=ibis.cases((is_use, dated.day), else_=ibis.null("date")),
        **bits_of_logins(dated, calendar, steps),
    )
    return _counted(told_apart, steps, also)


def settled_uses(events: ir.Table, calendar: Calendar, steps: Steps, also: Sequence[str] = ()) -> ir.Table:
    """What daily_events gives for uses of features before the days, with less to do for each of them. Where there are many steps
    they lie before the second one."""
    known = steps if steps.is_few else steps.before_windows
    dated = events.mutate(day=known.of_instant(events.occurred_at, calendar))
    is_login = (dated.event_type == LOGIN) & (dated.day > ibis.date(steps.days[0]))
    no_bits = dict.fromkeys(words(steps), ibis.null("int64"))
    told_apart = dated.mutate(
        user_id=ibis.cases((is_login, dated.user_id), else_=_NO_TEXT),
        event_type=ibis.cases((is_login, ibis.literal(LOGIN)), else_=_NO_TEXT),
        **bits_of_logins(dated, calendar, steps) if steps.is_few else no_bits,
    )
    return _counted(told_apart, steps, also)


def settled_logins(events: ir.Table, calendar: Calendar, steps: Steps, also: Sequence[str] = ()) -> ir.Table:
    """Logins after the first step that use no feature, with little to do and to bring for each; as_daily_events completes them.

    Grain: tenant_id and user_id (and the columns that `also` names); row_count, and the `words` of the steps. Bad events of other
    types may be among them.
    """
    bits = events.mutate(bits_of_logins(events, calendar, steps))
    return bits.group_by(["tenant_id", "user_id", *also]).agg(row_count=bits.count(), **_bits_together(bits, steps))


def as_daily_events(logins: ir.Table, steps: Steps, also: Sequence[str] = ()) -> ir.Table:
    """What daily_events gives for these logins; UTC without a zone, as in an engine."""
    never = ibis.null("timestamp(6)")
    nothing = {"feature_key": _NO_TEXT, "day": ibis.null("date"), "first_at": never, "last_at": never}
    return logins.mutate(event_type=ibis.literal(LOGIN), **nothing).select(_columns(steps, also))


def _counted(events: ir.Table, steps: Steps, also: Sequence[str]) -> ir.Table:
    when = ibis.cases((events.day.notnull(), events.occurred_at), else_=ibis.null(events.occurred_at.type()))
    groups = events.group_by([*_KEYS, *also]).agg(
        row_count=events.count(), first_at=when.min(), last_at=when.max(), **_bits_together(events, steps)
    )
    return groups.select(_columns(steps, also))


def _bits_together(events: ir.Table, steps: Steps) -> dict[str, ir.IntegerValue]:
    return {name: events[name].bit_or() for name in words(steps)}


def _columns(steps: Steps, also: Sequence[str]) -> list[str]:
    return [*_KEYS, *also, "row_count", "first_at", "last_at", *words(steps)]
