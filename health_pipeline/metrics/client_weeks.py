"""A client's figures at Sundays: what scores, insights and mails are made of. Rule: client-success.md.

Sundays are counted like days in metrics/intervals.py: 0 is the first, 1 the one a week later. A day's fact lies in the
windows of the Sundays from `_Sundays.after(day)` on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import ibis
import ibis.expr.types as ir

from health_pipeline.days import DayRange
from health_pipeline.metrics.clients import CLIENT, ClientActivity
from health_pipeline.metrics.intervals import Change, counts_by_day, from_day_on, within
from health_pipeline.policy.model import ClientSuccessPolicy

LAUNCH_KIT = "launch_kit_viewed"
# What the figures of the types that insights tell of are called; each has week_NAME and total_NAME.
CREATIONS = {"task_completed": "tasks_completed", "content_generated": "content", "visual_created": "visuals"}
_FIGURES = (
    *("active_days", "events", "high_value_events", "events_before", "launch_kit_views"),
    *(f"{span}_{name}" for name in CREATIONS.values() for span in ("week", "total")),
    *("recent_content", "recent_visuals"),
)
_ONBOARDING = ("onboarding_tasks", "onboarding_completed", "onboarding_skipped")
_FEEDBACK = ("feedback_answers", "feedback_sum")
_WEEK = 7


def client_weeks(activity: ClientActivity, policy: ClientSuccessPolicy, sundays: Sequence[date]) -> ir.Table:
    """Figures per Sunday and client active at its 00:00; sundays: one or more, a week apart.

    Columns: metric_date, tenant_id, client_id, then counts: active_days, events, high_value_events, events_before (the
    week before), launch_kit_views, week_X and total_X for each of CREATIONS, recent_content and recent_visuals
    (progress_score's window); onboarding_tasks and of those onboarding_completed and onboarding_skipped (null: not
    mapped); feedback_answers, feedback_sum (null: not mapped); last_event_days and created_days: from the day of the last
    event (null: none) and that of the client's creation to the Sunday.

    activity must hold every event before the last Sunday.
    """
    at = _Sundays(activity.first_day, sundays)
    # Later days count at no Sunday; those of others than clients needn't be counted.
    events = activity.event_days.filter(activity.event_days.day < at.offset + _WEEK * (len(sundays) - 1))
    events = events.semi_join(activity.lives, CLIENT)
    changes = _of_events(events, policy, at)
    if activity.task_states is not None:
        changes += _of_tasks(activity.task_states, at)
    if activity.feedback_days is not None:
        answers, window = activity.feedback_days, policy.components.satisfaction_score.days
        changes += at.window(answers, "feedback_answers", window)
        changes += at.window(answers, "feedback_sum", window, "score")
    figures = (*_FIGURES, *_ONBOARDING, *_FEEDBACK)
    # The dates that counts_by_day gives to its indexes are days; only the indexes are of use here.
    index = DayRange(sundays[0], sundays[0] + timedelta(days=len(sundays) - 1))
    counted = counts_by_day(changes, activity.lives.select(CLIENT), figures, index)
    counted = counted.drop("metric_date").rename(sunday="day")
    rows = _of_active_clients(_with_last_day(counted, events, at), activity.lives, at)
    unmapped = {
        *(_ONBOARDING if activity.task_states is None else ()),
        *(_FEEDBACK if activity.feedback_days is None else ()),
    }
    return rows.select(
        "metric_date",
        *CLIENT,
        **{name: ibis.null("int64") if name in unmapped else rows[name] for name in figures},
        last_event_days=rows.last_event_days,
        created_days=rows.created_days,
    )


@dataclass(frozen=True)
class _Sundays:
    """Sundays a week apart, against days that are indexes from first_day on."""

    first_day: date
    dates: Sequence[date]

    def after(self, day: ir.IntegerValue) -> ir.IntegerValue:
        """The first Sunday whose 00:00 lies after the day."""
        return ((day - self.offset) // _WEEK) + 1

    @property
    def offset(self) -> int:
        """The first Sunday's own day."""
        return (self.dates[0] - self.first_day).days

    def window(self, rows: ir.Table, figure: str, days: int, weight: str | None = None, lag: int = 0) -> list[Change]:
        """The rows' `day` counts at the Sundays in whose window of so many days it lies, with the column `weight`, or 1;
        lag: days that end the window earlier."""
        # Most of a history lies in no window; it is left out before anything is made of it.
        inside = rows.filter(rows.day + (lag + days) >= self.offset)
        first, end = self.after(inside.day + lag), self.after(inside.day + (lag + days))
        return within(inside, CLIENT, first, end, **{figure: inside[weight] if weight else 1})

    def from_then_on(
        self, rows: ir.Table, figure: str, day: ir.IntegerValue, weight: ir.IntegerValue | int = 1
    ) -> list[Change]:
        """The rows count at all Sundays after the day."""
        return from_day_on(rows, CLIENT, self.after(day), **{figure: weight})


def _of_events(events: ir.Table, policy: ClientSuccessPolicy, at: _Sundays) -> list[Change]:
    high_value = events.filter(events.event_type.isin(list(policy.high_value_event_types)))
    launch_kit = events.filter(events.event_type == LAUNCH_KIT)
    changes = [
        *at.window(events.select(*CLIENT, "day").distinct(), "active_days", _WEEK),
        *at.window(events, "events", _WEEK, "events"),
        *at.window(events, "events_before", _WEEK, "events", lag=_WEEK),
        *at.window(high_value, "high_value_events", _WEEK, "events"),
        *at.from_then_on(launch_kit, "launch_kit_views", launch_kit.day, launch_kit.events),
    ]
    for event_type, name in CREATIONS.items():
        made = events.filter(events.event_type == event_type)
        changes += at.window(made, f"week_{name}", _WEEK, "events")
        changes += at.from_then_on(made, f"total_{name}", made.day, made.events)
        if f"recent_{name}" in _FIGURES:
            changes += at.window(made, f"recent_{name}", policy.components.progress_score.days, "events")
    return changes


def _of_tasks(tasks: ir.Table, at: _Sundays) -> list[Change]:
    completed = tasks.filter(tasks.completed_day.notnull())
    skipped = tasks.filter(tasks.skipped_day.notnull())
    skipped_until = at.after(skipped.completed_day)
    return [
        *at.from_then_on(tasks, "onboarding_tasks", tasks.created_day),
        *at.from_then_on(completed, "onboarding_completed", completed.completed_day),
        *within(skipped, CLIENT, at.after(skipped.skipped_day), skipped_until, onboarding_skipped=1),
    ]


def _with_last_day(counted: ir.Table, events: ir.Table, at: _Sundays) -> ir.Table:
    """The counted rows with last_day, the day of the last event before the Sunday (null: none yet)."""
    seen = events.mutate(sunday=ibis.greatest(at.after(events.day), 0).cast("int64"))
    by_sunday = seen.group_by([*CLIENT, "sunday"]).agg(last_day=seen.day.max())
    rows = counted.left_join(by_sunday, [*CLIENT, "sunday"])
    rows = rows.select(*(counted[name] for name in counted.columns), by_sunday.last_day)
    running = ibis.window(group_by=CLIENT, order_by="sunday", preceding=None, following=0)
    return rows.mutate(last_day=rows.last_day.max().over(running))


def _of_active_clients(counted: ir.Table, lives: ir.Table, at: _Sundays) -> ir.Table:
    """The counted rows of clients active at 00:00 of the Sunday, with its date and the days since."""
    dates = ibis.memtable(
        {"sunday": range(len(at.dates)), "metric_date": list(at.dates)},
        schema={"sunday": "int64", "metric_date": "date"},
    )
    rows = counted.inner_join(lives, CLIENT).inner_join(dates, "sunday")
    rows = rows.mutate(today=rows.sunday * _WEEK + at.offset)
    rows = rows.filter((rows.first_day < rows.today) & (rows.end_day.isnull() | (rows.end_day >= rows.today)))
    return rows.mutate(last_event_days=rows.today - rows.last_day, created_days=rows.today - rows.created_day)
