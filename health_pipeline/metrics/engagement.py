"""client_engagement: what a client did on a day. Rule: client-success.md, `client_engagement`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange
from health_pipeline.metrics.clients import CLIENT, ClientActivity
from health_pipeline.metrics.intervals import day_table

_KEYS = [*CLIENT, "day"]


def client_engagement(
    activity: ClientActivity,
    event_types: Sequence[str],
    high_value_types: Sequence[str],
    visits: ir.Table,
    days: DayRange,
) -> ir.Table:
    """Rows of client_engagement; grain: metric_date and client created before end(D) with an event on D, active or not.

    activity: with the range's first day as day 0. event_types: every type that its events have. visits: as `visits` gives.
    """
    quoted = ibis.memtable(
        {"event_type": list(event_types), "quoted": [json.dumps(name) for name in event_types]},
        schema={"event_type": "string", "quoted": "string"},
    )
    rows = activity.event_days.filter(activity.event_days.day.between(0, len(days) - 1))
    rows = rows.inner_join(activity.lives.select(*CLIENT, "created_day"), CLIENT)
    rows = rows.filter(rows.created_day <= rows.day).inner_join(quoted, "event_type")
    rows = rows.mutate(pair=rows.quoted + ": " + rows.events.cast("string"))
    counted = rows.group_by(_KEYS).agg(
        events=rows.events.sum(),
        high_value_events=rows.events.sum(where=rows.event_type.isin(list(high_value_types))).fill_null(0),
        pairs=rows.pair.group_concat(sep=", ", order_by=rows.event_type),
    )
    found = counted.inner_join(visits, _KEYS).inner_join(day_table(days), "day")
    return found.select(
        "metric_date",
        *CLIENT,
        "events",
        "high_value_events",
        "sessions",
        "duration_seconds",
        event_counts="{" + found.pairs + "}",
    )


def visits(events: ir.Table, calendar: Calendar, days: DayRange, has_sessions: bool, has_durations: bool) -> ir.Table:
    """A row per tenant_id, client_id and day of the range with an event: sessions, duration_seconds (null: not mapped, or a
    sum beyond 64 bits, which is none of real durations)."""
    rows = events.select(
        "tenant_id",
        "session_id",
        "duration_seconds",
        client_id=events.user_id,
        day=calendar.day_index(events.occurred_at, days),
    )
    rows = rows.filter(rows.day.between(0, len(days) - 1))
    return rows.group_by(_KEYS).agg(
        sessions=rows.session_id.nunique() if has_sessions else ibis.null("int64"),
        duration_seconds=_within_64_bits(rows.duration_seconds) if has_durations else ibis.null("int64"),
    )


def _within_64_bits(values: ir.IntegerColumn) -> ir.IntegerValue:
    """The sum, 0 of none; null where it needs more than 64 bits."""
    return values.cast("decimal(38, 0)").sum().fill_null(0).try_cast("int64")
