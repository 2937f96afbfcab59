"""client_engagement: what a client did on a day. Rule: client-success.md, `client_engagement`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange
from health_pipeline.metrics.clients import CLIENT
from health_pipeline.metrics.intervals import day_table

_KEYS = [*CLIENT, "day"]


def client_engagement(
    lives: ir.Table,
    events: ir.Table,
    high_value_types: Sequence[str],
    event_types: Sequence[str],
    calendar: Calendar,
    days: DayRange,
    has_sessions: bool,
    has_durations: bool,
) -> ir.Table:
    """Rows of client_engagement; grain: metric_date and client created before end(D) with an event on D, active or not.

    lives: as client_lives gives them for the range. event_types: every type that events of the range have.
    """
    on_days = events.select(
        "tenant_id",
        "event_type",
        "session_id",
        "duration_seconds",
        client_id=events.user_id,
        day=calendar.day_index(events.occurred_at, days),
    )
    on_days = on_days.filter(on_days.day.between(0, len(days) - 1))
    figures = on_days.group_by(_KEYS).agg(
        events=on_days.count(),
        high_value_events=on_days.count(where=on_days.event_type.isin(list(high_value_types))),
        sessions=on_days.session_id.nunique() if has_sessions else ibis.null("int64"),
        duration_seconds=on_days.duration_seconds.sum().fill_null(0) if has_durations else ibis.null("int64"),
    )
    rows = figures.inner_join(_event_counts(on_days, event_types), _KEYS)
    rows = rows.inner_join(lives.select(*CLIENT, "created_day"), CLIENT)
    rows = rows.filter(rows.created_day <= rows.day).inner_join(day_table(days), "day")
    return rows.select(
        "metric_date", *CLIENT, "events", "high_value_events", "sessions", "duration_seconds", "event_counts"
    )


def _event_counts(on_days: ir.Table, event_types: Sequence[str]) -> ir.Table:
    """Events by type as the text of a JSON object, types in order; grain: client and day."""
    quoted = ibis.memtable(
        {"event_type": list(event_types), "quoted": [json.dumps(name) for name in event_types]},
        schema={"event_type": "string", "quoted": "string"},
    )
    counts = on_days.group_by([*_KEYS, "event_type"]).agg(events=on_days.count())
    named = counts.inner_join(quoted, "event_type")
    pairs = named.mutate(pair=named.quoted + ": " + named.events.cast("string"))
    listed = pairs.group_by(_KEYS).agg(pairs=pairs.pair.group_concat(sep=", ", order_by=pairs.event_type))
    return listed.select(*_KEYS, event_counts="{" + listed.pairs + "}")
