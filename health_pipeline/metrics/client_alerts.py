"""client_momentum_alerts: what is open at the end of each day. Rule: client-success.md, `client_momentum_alerts`.

An alert is open on a run of days: from the day of its opening instant to the day before that of what ends it. All episodes
of a range are found first, as such runs, and laid out by day at the end. Days are indexes into the range.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange
from health_pipeline.metrics.clients import CLIENT, earlier, task_states
from health_pipeline.metrics.intervals import day_table
from health_pipeline.policy.model import Alerts

_EPISODE = [*CLIENT, "alert_type", "subject_id", "severity", "opened_on", "open_day", "end_day"]


def silence_episodes(
    lives: ir.Table, events: ir.Table, rules: Alerts, calendar: Calendar, days: DayRange, lookback: int
) -> ir.Table:
    """A row per inactivity and zero_activity that is open on a day of the range: tenant_id, client_id, alert_type,
    subject_id, severity, opened_on, open_day, end_day (exclusive; null: still open).

    lives: client_lives of the range. events must hold every event before the range's end; lookback: days from the oldest
    event or creation to the range.
    """
    daily = _last_of_each_day(
        events.select("tenant_id", client_id=events.user_id, at=events.occurred_at).semi_join(lives, CLIENT),
        CLIENT,
        calendar,
        days,
    )
    # A client without any event is silent since its creation, until its first event.
    first_event = daily.group_by(CLIENT).agg(next_day=daily.day.min())
    beginnings = lives.left_join(first_event, CLIENT).select(*CLIENT, "next_day", at=lives.created_at)
    silences = _until_next(daily, CLIENT).union(beginnings.select(*CLIENT, "at", "next_day"), distinct=False)
    quiet_day = _day_after(silences, rules.inactivity_hours, calendar, days, lookback)
    zero_day = _day_after(silences, rules.zero_activity_hours, calendar, days, lookback)
    return _episodes(silences, "inactivity", "warning", quiet_day, earlier(zero_day, silences.next_day), days).union(
        _episodes(silences, "zero_activity", "critical", zero_day, silences.next_day, days), distinct=False
    )


def stalled_task_episodes(
    tasks: ir.Table, rules: Alerts, calendar: Calendar, days: DayRange, lookback: int
) -> ir.Table:
    """A row per task_stalled that is open on a day of the range; columns as those of silence_episodes."""
    keys = [*CLIENT, "task_id"]
    states = task_states(tasks, calendar, days, lookback)
    updates = ibis.union(
        *(states.select(*keys, at=states[name]) for name in ("created_at", "started_at", "updated_at")), distinct=False
    )
    updates = updates.filter(updates["at"].notnull())
    waits = _until_next(_last_of_each_day(updates, keys, calendar, days), keys)
    rows = waits.inner_join(states.drop("created_at", "started_at", "updated_at"), keys)
    rows = rows.filter(rows.in_progress_day.notnull())
    left_day = earlier(rows.completed_day, rows.skipped_day)
    open_day = ibis.greatest(
        _day_after(rows, rules.task_stalled_hours, calendar, days, lookback), rows.in_progress_day
    )
    opened = _day_after(rows, rules.task_stalled_hours, calendar, days, lookback)
    return _episodes(
        rows, "task_stalled", "warning", opened, earlier(rows.next_day, left_day), days, rows.task_id, open_day
    )


def open_alerts(episodes: ir.Table, lives: ir.Table, days: DayRange) -> ir.Table:
    """Rows of client_momentum_alerts; grain: metric_date, client active at end(D), alert_type, subject_id.

    episodes: with the columns that silence_episodes has.
    """
    joined = episodes.inner_join(lives.select(*CLIENT, "first_day", gone_day="end_day"), CLIENT)
    spans = joined.select(
        *(name for name in _EPISODE if name not in ("open_day", "end_day")),
        open_day=ibis.greatest(joined.open_day, joined.first_day, 0),
        end_day=ibis.least(earlier(joined.end_day, joined.gone_day).fill_null(len(days)), len(days)),
    )
    spans = spans.filter(spans.open_day < spans.end_day)
    dates = day_table(days)
    rows = spans.inner_join(dates, [spans.open_day <= dates.day, dates.day < spans.end_day])
    return rows.select("metric_date", *CLIENT, "alert_type", "subject_id", "severity", "opened_on")


def _last_of_each_day(instants: ir.Table, keys: list[str], calendar: Calendar, days: DayRange) -> ir.Table:
    """The last instant `at` of each key and day; those before the range are one day, -1, those after it left out."""
    rows = instants.mutate(day=ibis.greatest(calendar.day_index(instants["at"], days), -1).cast("int64"))
    rows = rows.filter(rows.day < len(days))
    return rows.group_by([*keys, "day"]).agg(at=rows["at"].max())


def _until_next(daily: ir.Table, keys: list[str]) -> ir.Table:
    """keys, at, next_day: the day of the next instant (null: none yet)."""
    of_key = ibis.window(group_by=keys, order_by="day")
    return daily.select(*keys, "at", next_day=daily.day.lead().over(of_key))


def _day_after(
    rows: ir.Table, hours: int, calendar: Calendar, days: DayRange, lookback: int
) -> ir.IntegerValue:
    """The day of the instant so many elapsed hours after `at`."""
    return calendar.day_index(rows["at"] + ibis.interval(hours=hours), days, lookback)


def _episodes(
    rows: ir.Table,
    alert_type: str,
    severity: str,
    opened: ir.IntegerValue,
    end_day: ir.IntegerValue,
    days: DayRange,
    subject_id: ir.StringValue | None = None,
    open_day: ir.IntegerValue | None = None,
) -> ir.Table:
    episodes = rows.select(
        *CLIENT,
        alert_type=ibis.literal(alert_type),
        subject_id=ibis.literal("") if subject_id is None else subject_id,
        severity=ibis.literal(severity),
        opened_on=(ibis.date(days.first) + opened.as_interval("D")).cast("date"),
        open_day=(opened if open_day is None else open_day).cast("int64"),
        end_day=end_day.cast("int64"),
    )
    return episodes.filter(
        (episodes.open_day < len(days)) & (episodes.end_day.isnull() | (episodes.end_day > ibis.greatest(episodes.open_day, 0)))
    )
