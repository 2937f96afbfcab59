"""client_momentum_alerts: what is open at the end of each day. Rule: client-success.md, `client_momentum_alerts`.

An alert is open on a run of days: from the day of its opening instant to the day before that of what ends it. All episodes
of a range are found first, as such runs, and laid out by day at the end. Days are indexes into the range.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange
from health_pipeline.metrics.clients import CLIENT, ClientActivity
from health_pipeline.metrics.intervals import day_table, earlier
from health_pipeline.policy.model import Alerts

_ALERT = [*CLIENT, "alert_type", "subject_id", "severity", "opened_on"]
EPISODE_COLUMNS = [*_ALERT, "open_day", "end_day"]


def silence_episodes(
    activity: ClientActivity, rules: Alerts, calendar: Calendar, days: DayRange, lookback: int
) -> ir.Table:
    """A row per inactivity and zero_activity that is open on a day of the range: EPISODE_COLUMNS, end_day being the day of
    its end (null: still open).

    activity must hold every event before the range's end, with the range's first day as day 0; lookback: days from the
    oldest fact to the range.
    """
    events = activity.event_days.semi_join(activity.lives, CLIENT)
    daily = _last_of_each_day(events.select(*CLIENT, "day", at=events.last_at), CLIENT, days)
    # A client without any event is silent since its creation, until its first event.
    first_event = daily.group_by(CLIENT).agg(next_day=daily.day.min())
    beginnings = activity.lives.left_join(first_event, CLIENT)
    beginnings = beginnings.select(*CLIENT, at=beginnings.created_at, next_day=beginnings.next_day)
    silences = _until_next(daily, CLIENT).union(beginnings, distinct=False)
    quiet_day = _day_after(silences, rules.inactivity_hours, calendar, days, lookback)
    zero_day = _day_after(silences, rules.zero_activity_hours, calendar, days, lookback)
    quiet_until = earlier(zero_day, silences.next_day)
    return _episodes(silences, "inactivity", "warning", quiet_day, quiet_until, days).union(
        _episodes(silences, "zero_activity", "critical", zero_day, silences.next_day, days), distinct=False
    )


def stalled_task_episodes(
    states: ir.Table, rules: Alerts, calendar: Calendar, days: DayRange, lookback: int
) -> ir.Table:
    """A row per task_stalled that is open on a day of the range: as silence_episodes. states: task_states."""
    keys = [*CLIENT, "task_id"]
    updates = ibis.union(
        *(
            states.select(*keys, day=states[f"{name}_day"], at=states[f"{name}_at"])
            for name in ("created", "started", "updated")
        ),
        distinct=False,
    )
    updates = updates.filter(updates.day.notnull())
    waits = _until_next(_last_of_each_day(updates, keys, days), keys)
    rows = waits.inner_join(states.select(*keys, "completed_day", "skipped_day", "in_progress_day"), keys)
    # A task gets in progress at one of these instants: if not before the next of them, then not in this wait.
    rows = rows.filter(rows.in_progress_day < rows.next_day.fill_null(len(days)))
    opened = _day_after(rows, rules.task_stalled_hours, calendar, days, lookback)
    end_day = earlier(rows.next_day, earlier(rows.completed_day, rows.skipped_day))
    return _episodes(rows, "task_stalled", "warning", opened, end_day, days, rows.task_id)


def open_alerts(episodes: ir.Table, lives: ir.Table, days: DayRange) -> ir.Table:
    """Rows of client_momentum_alerts; grain: metric_date, client active at end(D), alert_type, subject_id.

    episodes: EPISODE_COLUMNS, as silence_episodes has them.
    """
    joined = episodes.inner_join(lives.select(*CLIENT, "first_day", gone_day=lives.end_day), CLIENT)
    spans = joined.select(
        *_ALERT,
        open_day=ibis.greatest(joined.open_day, joined.first_day, 0),
        end_day=ibis.least(earlier(joined.end_day, joined.gone_day).fill_null(len(days)), len(days)),
    )
    spans = spans.filter(spans.open_day < spans.end_day)
    dates = day_table(days)
    rows = spans.inner_join(dates, [spans.open_day <= dates.day, dates.day < spans.end_day])
    return rows.select("metric_date", *_ALERT)


def _last_of_each_day(instants: ir.Table, keys: list[str], days: DayRange) -> ir.Table:
    """The last instant `at` of each key and day; those before the range are one day, -1, those after it left out."""
    rows = instants.mutate(day=ibis.greatest(instants.day, -1).cast("int64"))
    rows = rows.filter(rows.day < len(days))
    return rows.group_by([*keys, "day"]).agg(at=rows["at"].max())


def _until_next(daily: ir.Table, keys: list[str]) -> ir.Table:
    """keys, at, next_day: the day of the next instant (null: none yet)."""
    of_key = ibis.window(group_by=keys, order_by="day")
    return daily.select(*keys, "at", next_day=daily.day.lead().over(of_key))


def _day_after(rows: ir.Table, hours: int, calendar: Calendar, days: DayRange, lookback: int) -> ir.IntegerValue:
    """The day of the instant so many elapsed hours after `at`."""
    return calendar.day_index(rows["at"] + ibis.interval(hours=hours), days, lookback)


def _episodes(
    rows: ir.Table,
    alert_type: str,
    severity: str,
    opened: ir.IntegerValue,
    end_day: ir.IntegerValue,
    days: DayRange,
    subject_id: ir.StringValue | str = "",
) -> ir.Table:
    """Those of the rows that are open on a day of the range."""
    episodes = rows.select(
        *CLIENT,
        alert_type=ibis.literal(alert_type),
        subject_id=ibis.literal(subject_id) if isinstance(subject_id, str) else subject_id,
        severity=ibis.literal(severity),
        opened_on=(ibis.date(days.first) + opened.as_interval("D")).cast("date"),
        open_day=opened.cast("int64"),
        end_day=end_day.cast("int64"),
    )
    goes_on = episodes.end_day.isnull() | (episodes.end_day > ibis.greatest(episodes.open_day, 0))
    return episodes.filter((episodes.open_day < len(days)) & goes_on)
