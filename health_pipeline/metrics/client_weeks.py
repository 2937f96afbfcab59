"""A client's figures at Sundays: what scores, insights and mails are made of. Rule: client-success.md.

Here an index counts Sundays: 0 is the first, 1 the one a week later. A fact of day d (an index with that first Sunday as
day 0) lies in the windows of the Sundays from `_seen_from(d)` on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange
from health_pipeline.metrics.clients import CLIENT, client_lives, task_states
from health_pipeline.metrics.intervals import counts_by_day, intervals
from health_pipeline.policy.model import ClientSuccessPolicy

LAUNCH_KIT = "launch_kit_viewed"
# What the figures of the types that insights tell of are called; each has week_NAME and total_NAME.
CREATIONS = {"task_completed": "tasks_completed", "content_generated": "content", "visual_created": "visuals"}
_WEEK = 7


@dataclass(frozen=True)
class ClientInputs:
    """Good rows of the source; None where an optional table is not mapped."""

    tenants: ir.Table
    users: ir.Table
    events: ir.Table
    onboarding_tasks: ir.Table | None
    feedback: ir.Table | None

    def of(self, clients: ir.Table) -> ClientInputs:
        """The same with only these clients (tenant_id, client_id) as users."""
        wanted = [self.users.tenant_id == clients.tenant_id, self.users.user_id == clients.client_id]
        return ClientInputs(
            self.tenants, self.users.semi_join(clients, wanted), self.events, self.onboarding_tasks, self.feedback
        )


def client_weeks(
    inputs: ClientInputs, policy: ClientSuccessPolicy, calendar: Calendar, sundays: Sequence[date], lookback: int
) -> ir.Table:
    """Figures per Sunday and client active at its 00:00; sundays: one or more, a week apart.

    Columns: metric_date, tenant_id, client_id, then counts: active_days, events, high_value_events, events_before (the
    week before), week_X and total_X for each of CREATIONS, recent_content and recent_visuals (progress_score's window),
    launch_kit_views; tasks, tasks_completed, tasks_skipped (null: not mapped); feedback_answers, feedback_sum (null: not
    mapped); last_event_days and created_days: whole days from the last event (null: none) and from the client's creation
    to the Sunday. events must hold every event before the last Sunday; lookback: days from the oldest fact to the first.
    """
    around = DayRange(sundays[0], sundays[-1])
    lives = client_lives(inputs.tenants, inputs.users, calendar, around, lookback)
    daily = _daily_events(inputs.events, lives, calendar, around, lookback)
    pieces = _event_pieces(daily, policy)
    if inputs.onboarding_tasks is not None:
        pieces += _task_pieces(task_states(inputs.onboarding_tasks, calendar, around, lookback))
    if inputs.feedback is not None:
        window = policy.components.satisfaction_score.days
        pieces += _feedback_pieces(inputs.feedback, window, calendar, around, lookback)
    figures = _figure_names()
    # The dates that counts_by_day would give to its indexes are days; its index is what counts here.
    index = DayRange(sundays[0], sundays[0] + timedelta(days=len(sundays) - 1))
    counted = counts_by_day(pieces, lives.select(CLIENT), figures, index).drop("metric_date").rename(sunday="day")
    unmapped = _unmapped(inputs)
    rows = _at_sundays(counted, lives, _last_days(daily, counted), sundays)
    return rows.select(
        "metric_date",
        *CLIENT,
        **{name: ibis.null("int64") if name in unmapped else rows[name] for name in figures},
        last_event_days=rows.last_event_days,
        created_days=rows.created_days,
    )


def _figure_names() -> list[str]:
    of_types = [f"{span}_{name}" for name in CREATIONS.values() for span in ("week", "total")]
    return [
        *("active_days", "events", "high_value_events", "events_before", *of_types, "recent_content", "recent_visuals"),
        *("launch_kit_views", "tasks", "tasks_completed", "tasks_skipped", "feedback_answers", "feedback_sum"),
    ]


def _unmapped(inputs: ClientInputs) -> set[str]:
    tasks = {"tasks", "tasks_completed", "tasks_skipped"} if inputs.onboarding_tasks is None else set()
    return tasks | ({"feedback_answers", "feedback_sum"} if inputs.feedback is None else set())


def _seen_from(day: ir.IntegerValue) -> ir.IntegerValue:
    """The first Sunday whose 00:00 lies after the day, as an index."""
    return (day // _WEEK) + 1


def _daily_events(
    events: ir.Table, lives: ir.Table, calendar: Calendar, around: DayRange, lookback: int
) -> ir.Table:
    """Events by client, day and type, before the last Sunday."""
    rows = events.select(
        "tenant_id",
        "event_type",
        client_id=events.user_id,
        day=calendar.day_index(events.occurred_at, around, lookback),
    )
    rows = rows.filter(rows.day < len(around) - 1).semi_join(lives, CLIENT)
    return rows.group_by([*CLIENT, "event_type", "day"]).agg(events=rows.count())


def _event_pieces(daily: ir.Table, policy: ClientSuccessPolicy) -> list[ir.Table]:
    progress = policy.components.progress_score.days
    days = daily.select(*CLIENT, "day").distinct()
    high_value = daily.filter(daily.event_type.isin(list(policy.high_value_event_types)))
    launch_kit = daily.filter(daily.event_type == LAUNCH_KIT)
    pieces = [
        _windowed(days, "active_days", days.day, _WEEK),
        _windowed(daily, "events", daily.day, _WEEK, daily.events),
        _windowed(daily, "events_before", daily.day + _WEEK, _WEEK, daily.events),
        _windowed(high_value, "high_value_events", high_value.day, _WEEK, high_value.events),
        _windowed(launch_kit, "launch_kit_views", launch_kit.day, None, launch_kit.events),
    ]
    for event_type, name in CREATIONS.items():
        made = daily.filter(daily.event_type == event_type)
        pieces.append(_windowed(made, f"week_{name}", made.day, _WEEK, made.events))
        pieces.append(_windowed(made, f"total_{name}", made.day, None, made.events))
        if name != "tasks_completed":
            pieces.append(_windowed(made, f"recent_{name}", made.day, progress, made.events))
    return pieces


def _windowed(
    rows: ir.Table, figure: str, day: ir.IntegerValue, window: int | None, weight: ir.IntegerValue | int = 1
) -> ir.Table:
    """A fact of the day counts at the Sundays of the `window` days after it (None: at all of them)."""
    end = None if window is None else _seen_from(day + window)
    return intervals(rows, CLIENT, figure, _seen_from(day), end, weight)


def _task_pieces(tasks: ir.Table) -> list[ir.Table]:
    completed = tasks.filter(tasks.completed_day.notnull())
    skipped = tasks.filter(tasks.skipped_day.notnull())
    return [
        intervals(tasks, CLIENT, "tasks", _seen_from(tasks.created_day), None),
        intervals(completed, CLIENT, "tasks_completed", _seen_from(completed.completed_day), None),
        intervals(
            skipped, CLIENT, "tasks_skipped", _seen_from(skipped.skipped_day), _seen_from(skipped.completed_day)
        ),
    ]


def _feedback_pieces(
    feedback: ir.Table, window: int, calendar: Calendar, around: DayRange, lookback: int
) -> list[ir.Table]:
    rows = feedback.select(
        "tenant_id", "score", client_id=feedback.user_id, day=calendar.day_index(feedback.submitted_at, around, lookback)
    )
    return [
        _windowed(rows, "feedback_answers", rows.day, window),
        _windowed(rows, "feedback_sum", rows.day, window, rows.score),
    ]


def _last_days(daily: ir.Table, counted: ir.Table) -> ir.Table:
    """The day of the last event before each Sunday (null: none yet); grain: client and Sunday."""
    seen = daily.mutate(sunday=ibis.greatest(_seen_from(daily.day), 0).cast("int64"))
    by_sunday = seen.group_by([*CLIENT, "sunday"]).agg(last_day=seen.day.max())
    joined = counted.select(*CLIENT, "sunday").left_join(by_sunday, [*CLIENT, "sunday"])
    running = ibis.window(group_by=CLIENT, order_by="sunday", preceding=None, following=0)
    rows = joined.select(*CLIENT, "sunday", "last_day")
    return rows.mutate(last_day=rows.last_day.max().over(running))


def _at_sundays(counted: ir.Table, lives: ir.Table, last_days: ir.Table, sundays: Sequence[date]) -> ir.Table:
    """The counted rows of clients active at 00:00 of the Sunday."""
    dates = ibis.memtable(
        {"sunday": range(len(sundays)), "metric_date": list(sundays)}, schema={"sunday": "int64", "metric_date": "date"}
    )
    rows = counted.inner_join(lives, CLIENT).inner_join(last_days, [*CLIENT, "sunday"]).inner_join(dates, "sunday")
    at = rows.sunday * _WEEK
    rows = rows.filter((rows.first_day < at) & (rows.end_day.isnull() | (rows.end_day >= at)))
    return rows.mutate(
        last_event_days=rows.sunday * _WEEK - rows.last_day, created_days=rows.sunday * _WEEK - rows.created_day
    )
