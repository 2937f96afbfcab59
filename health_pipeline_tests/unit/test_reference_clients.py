"""The reference of client success, held against examples worked out by hand, and the hostile clients."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from health_pipeline_tests.reference.calendar import MICROSECOND, days_between
from health_pipeline_tests.reference.client_success import (
    client_engagement,
    client_insights,
    client_momentum_alerts,
    client_success_scores,
    email_recipients,
    task_state,
)
from health_pipeline_tests.reference.contract import Row, Source
from health_pipeline_tests.reference.hostile_clients import hostile_clients
from health_pipeline_tests.reference.quality import split

LONG_AGO = datetime(2023, 1, 1, tzinfo=UTC)
CLOCK = datetime(2024, 12, 31, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
HOSTILE_DAYS = (date(2024, 8, 8), date(2024, 9, 16))
HOSTILE_CLOCK = datetime(2024, 9, 18, 12, tzinfo=UTC)
HOSTILE = [(0, "UTC"), (1, "America/Santiago")]  # where 8 September 2024 begins at 01:00


def tenant(**values: Any) -> Row:
    return {"tenant_id": "t", "name": "T", "created_at": LONG_AGO, **values}


SUNDAY = date(2024, 3, 10)
START = datetime(2024, 3, 10, tzinfo=UTC)
"""00:00 of the Sunday, the end of its week."""
OWNER = {"tenant_id": "t", "user_id": "u"}


def source_of(events: list[tuple[datetime, str]], user: Row | None = None, **tables: list[Row]) -> Source:
    """One client "u" with these events, and the other tables as given."""
    users = [{**OWNER, "created_at": LONG_AGO, **(user or {})}]
    rows = [{**OWNER, "occurred_at": occurred_at, "event_type": event_type} for occurred_at, event_type in events]
    return {"tenants": [tenant()], "users": users, "events": rows, **tables}


def tasks_of(*tasks: Row) -> list[Row]:
    return [{"task_id": f"task {n}", **OWNER, "created_at": LONG_AGO, **task} for n, task in enumerate(tasks)]


def answers_of(*answers: tuple[datetime, int]) -> list[Row]:
    return [{"feedback_id": f"f{n}", **OWNER, "submitted_at": at, "score": s} for n, (at, s) in enumerate(answers)]


def spread(sunday: datetime, days: int, events: int) -> list[tuple[datetime, str]]:
    """Page views on so many of the last days before the Sunday."""
    return [(sunday - (1 + n % days) * DAY, "page_view") for n in range(events)]


def score_of(source: Source, sunday: date = SUNDAY) -> Row:
    (row,) = client_success_scores(source, [sunday], clock=CLOCK)
    return row


def test_engagement_is_one_row_per_day_with_activity() -> None:
    source = source_of([(START - MICROSECOND, "login"), (START, "task_completed"), (START + HOUR, "x")])
    source["events"][1] |= {"session_id": "a", "duration_seconds": 5}
    source["events"][2] |= {"session_id": "", "duration_seconds": None}
    before, on_day = client_engagement(source, SUNDAY - 2 * DAY, SUNDAY + DAY, clock=CLOCK)
    assert before["metric_date"] == SUNDAY - DAY
    assert (before["events"], before["sessions"], before["duration_seconds"]) == (1, 0, 0)
    assert (on_day["events"], on_day["high_value_events"], on_day["sessions"], on_day["duration_seconds"]) == (
        2,
        1,
        1,
        5,
    )
    assert on_day["event_counts"] == {"task_completed": 1, "x": 1}


def test_engagement_of_the_deactivated_but_not_of_those_to_come() -> None:
    events = [(START, "login")]
    gone = source_of(events, {"deactivated_at": LONG_AGO})
    (row,) = client_engagement(gone, SUNDAY, SUNDAY, clock=CLOCK)
    assert (row["sessions"], row["duration_seconds"]) == (None, None)  # neither column is mapped
    to_come = source_of(events, {"created_at": START + DAY})
    assert client_engagement(to_come, SUNDAY, SUNDAY, clock=CLOCK) == []


def test_score_from_one_event() -> None:
    row = score_of(source_of([(START - MICROSECOND, "content_generated")]))
    assert row["engagement_score"] == 18  # 10 + 1.5 + 6 2/3
    assert row["progress_score"] == 8  # 7.5
    assert row["activation_score"] is row["satisfaction_score"] is row["momentum_score"] is None
    assert (row["overall_score"], row["coverage"], row["band"]) == (13, 0.5, "AT_RISK")
    assert (row["previous_score"], row["trend"]) == (0, "RISING")


def test_score_from_everything() -> None:
    events = [*spread(START, 5, 18), *spread(START - 7 * DAY, 1, 6)]
    events += [(START - 8 * DAY, "content_generated")] * 4 + [(START - 28 * DAY, "visual_created")] * 3
    events += [
        (START - 28 * DAY - MICROSECOND, "visual_created"),
        (START, "page_view"),
        (LONG_AGO, "launch_kit_viewed"),
    ]
    tasks = tasks_of({"status": "COMPLETED"}, {"status": "PENDING"}, {"status": "IN_PROGRESS"}, {"status": "SKIPPED"})
    answers = answers_of((START - 90 * DAY, 70), (START - 90 * DAY - MICROSECOND, 0), (START - DAY, 71), (START, 0))
    row = score_of(source_of(events, onboarding_tasks=tasks, feedback=answers))
    assert row["engagement_score"] == 77  # 50 + 27
    assert row["activation_score"] == 47  # 26 2/3 + 20
    assert row["progress_score"] == 60  # 30 + 30
    assert row["satisfaction_score"] == 71  # 70.5
    assert row["momentum_score"] == 64  # 18 of 28, 64.29
    assert (row["overall_score"], row["coverage"], row["band"]) == (64, 1.0, "GOOD")  # 63.9


@pytest.mark.parametrize(("this_week", "week_before", "expected"), [(2, 2, None), (0, 5, 0), (5, 0, 100), (1, 7, 13)])
def test_momentum_needs_five_events(this_week: int, week_before: int, expected: int | None) -> None:
    events = spread(START, 2, this_week) + spread(START - 7 * DAY, 2, week_before)
    assert score_of(source_of(events))["momentum_score"] == expected


def test_activation_without_tasks_to_do() -> None:
    launch_kit = [(LONG_AGO, "launch_kit_viewed")]
    for tasks in (tasks_of({"status": "SKIPPED"}), tasks_of({"status": "PENDING", "created_at": START}), []):
        assert score_of(source_of(launch_kit, onboarding_tasks=tasks))["activation_score"] is None
    assert score_of(source_of(launch_kit))["activation_score"] is None


@pytest.mark.parametrize(
    ("status", "started", "updated", "completed", "state"),
    [
        ("PENDING", None, None, -1, "completed"),
        ("COMPLETED", None, None, 0, "pending"),
        ("COMPLETED", -1, None, 0, "in_progress"),
        ("COMPLETED", None, None, None, "completed"),
        ("COMPLETED", None, -1, None, "completed"),
        ("COMPLETED", None, 0, None, "pending"),
        ("COMPLETED", -1, 1, None, "in_progress"),
        ("completed", None, None, None, "pending"),
        ("SKIPPED", -1, None, None, "skipped"),
        ("SKIPPED", -1, -1, None, "skipped"),
        ("SKIPPED", -1, 0, None, "in_progress"),
        ("SKIPPED", None, None, -1, "completed"),
        ("SKIPPED", None, None, 0, "skipped"),
        ("IN_PROGRESS", None, None, None, "in_progress"),
        ("IN_PROGRESS", None, 0, None, "in_progress"),
        ("IN_PROGRESS", 0, None, None, "pending"),
        ("IN_PROGRESS", -1, None, None, "in_progress"),
        ("in_progress", None, None, None, "pending"),
        ("DONE", -1, None, None, "in_progress"),
    ],
)
def test_state_of_a_task(
    status: str, started: int | None, updated: int | None, completed: int | None, state: str
) -> None:
    """Dates in microseconds after the end."""
    dates = {"started_at": started, "updated_at": updated, "completed_at": completed}
    at = {column: None if step is None else START + step * MICROSECOND for column, step in dates.items()}
    assert task_state({"status": status, "created_at": LONG_AGO, **at}, START) == state


@pytest.mark.parametrize(
    ("user", "is_scored", "has_previous"),
    [
        ({"created_at": START}, False, False),
        ({"created_at": START - MICROSECOND}, True, False),
        ({"created_at": START - 7 * DAY}, True, False),
        ({"created_at": START - 7 * DAY - MICROSECOND}, True, True),
        ({"deactivated_at": START}, True, True),
        ({"deactivated_at": START - MICROSECOND}, False, False),
    ],
)
def test_clients_active_at_the_sunday(user: Row, is_scored: bool, has_previous: bool) -> None:
    rows = client_success_scores(source_of([], user), [SUNDAY], clock=CLOCK)
    assert [row["previous_score"] for row in rows] == ([0 if has_previous else None] if is_scored else [])
    tenant_gone = source_of([], tenants=[tenant(deactivated_at=START - MICROSECOND)])
    assert client_success_scores(tenant_gone, [SUNDAY], clock=CLOCK) == []


def test_insights_of_a_week() -> None:
    events = [(START - 20 * DAY, "task_completed")] * 9 + [(START - 7 * DAY, "task_completed")] * 41
    events += [(START - 7 * DAY - MICROSECOND, "visual_created")] * 10 + [(START, "content_generated")] * 10
    tasks = tasks_of(*[{"status": "PENDING"}] * 2, {"status": "IN_PROGRESS"}, {"status": "SKIPPED"})
    source = source_of(events, onboarding_tasks=tasks)
    rows = {row["rule_id"]: row for row in client_insights(source, [SUNDAY], clock=CLOCK)}
    assert set(rows) == {"weekly_summary", "milestone_task_10", "milestone_task_50", "onboarding_nearly_done"}
    assert rows["weekly_summary"]["numbers"] == {"events": 41, "active_days": 1, "high_value_events": 41}
    assert rows["milestone_task_50"]["numbers"] == {"milestone": 50, "count": 50}
    assert rows["onboarding_nearly_done"]["numbers"] == {"open_tasks": 3}
    source["onboarding_tasks"].append({**tasks[0], "task_id": "fourth"})
    rows = {row["rule_id"]: row for row in client_insights(source, [SUNDAY + 7 * DAY], clock=CLOCK)}
    assert set(rows) == {"weekly_summary", "achievement_created", "milestone_content_10"}


def test_inactive_for_the_week() -> None:
    for last, is_inactive in ((START - 7 * DAY, False), (START - 7 * DAY - MICROSECOND, True)):
        for source in (source_of([(last, "x"), (START, "x")]), source_of([], {"created_at": last})):
            rule_ids = [row["rule_id"] for row in client_insights(source, [SUNDAY], clock=CLOCK)]
            assert ("inactive_7_days" in rule_ids) == is_inactive


def alerts_on(day: date, source: Source) -> list[tuple[str, str, str, date]]:
    rows = client_momentum_alerts(source, day, day, clock=CLOCK)
    return [(row["alert_type"], row["subject_id"], row["severity"], row["opened_on"]) for row in rows]


def silence_on(day: date, source: Source) -> list[tuple[str, str, str, date]]:
    return [alert for alert in alerts_on(day, source) if alert[0] in ("inactivity", "zero_activity")]


@pytest.mark.parametrize(
    ("silent_for", "alert_type", "opened_after"),
    [
        (48 * HOUR, None, None),
        (48 * HOUR + MICROSECOND, "inactivity", 48 * HOUR),
        (72 * HOUR, "inactivity", 48 * HOUR),
        (72 * HOUR + MICROSECOND, "zero_activity", 72 * HOUR),
        (400 * HOUR, "zero_activity", 72 * HOUR),
    ],
)
def test_silence(silent_for: timedelta, alert_type: str | None, opened_after: timedelta | None) -> None:
    last = START - silent_for
    expected = []
    if alert_type is not None and opened_after is not None:
        severity = "warning" if alert_type == "inactivity" else "critical"
        expected = [(alert_type, "", severity, (last + opened_after).date())]
    for source in (source_of([(LONG_AGO, "x"), (last, "x"), (START, "x")]), source_of([], {"created_at": last})):
        assert silence_on(SUNDAY - DAY, source) == expected
    # Activity from before its owner's creation counts, and so is the last there was.
    source = source_of([(last, "x")], {"created_at": START - HOUR})
    assert silence_on(SUNDAY - DAY, source) == expected


def test_stalled_tasks() -> None:
    edge = START - 72 * HOUR
    tasks = tasks_of(
        {"status": "IN_PROGRESS", "started_at": LONG_AGO, "updated_at": edge - MICROSECOND},
        {"status": "IN_PROGRESS", "started_at": edge - MICROSECOND, "updated_at": START},
        {"status": "IN_PROGRESS", "updated_at": edge},
        {"status": "IN_PROGRESS", "started_at": edge - DAY, "updated_at": START - MICROSECOND},
        {"status": "PENDING", "updated_at": edge - DAY},
        {"status": "PENDING", "started_at": edge - DAY},
        {"status": "IN_PROGRESS", "created_at": START - DAY},
    )
    source = source_of([(START - HOUR, "x")], onboarding_tasks=tasks)
    assert alerts_on(SUNDAY - DAY, source) == [
        ("task_stalled", "task 0", "warning", SUNDAY - DAY),
        ("task_stalled", "task 1", "warning", SUNDAY - DAY),
        ("task_stalled", "task 5", "warning", SUNDAY - DAY),
    ]


def test_score_alerts() -> None:
    # Scores of 54 (80, 0, 100), 27 (48, 0, 38), 0 (0, 0, 0) and 0 (0, 0, none), on Sundays.
    source = source_of([*spread(START, 5, 20), *spread(START + 7 * DAY, 3, 12)])
    second, third = SUNDAY + 7 * DAY, SUNDAY + 14 * DAY
    scores = [score_of(source, SUNDAY + weeks * 7 * DAY)["overall_score"] for weeks in range(4)]
    assert scores == [54, 27, 0, 0]

    def score_alerts(day: date) -> list[tuple[str, str, str, date]]:
        return [alert for alert in alerts_on(day, source) if alert[0] in ("score_drop", "churn_risk")]

    assert score_alerts(second - DAY) == []
    for day in (second, third - DAY):
        assert score_alerts(day) == [("score_drop", "", "warning", second), ("churn_risk", "", "critical", second)]
    for day in (third, third + 6 * DAY):
        assert score_alerts(day) == [("score_drop", "", "warning", third), ("churn_risk", "", "critical", second)]
    assert score_alerts(third + 7 * DAY) == []
    silent = source_of(spread(START, 5, 20))
    assert ("score_drop", "", "critical", second) in alerts_on(second, silent)


@pytest.mark.parametrize(
    ("opt_in", "email", "is_sent"),
    [(True, "a@b", True), (True, " \u00a0\t", False), (True, None, False), (False, "a@b", False), (None, "a@b", False)],
)
def test_email_recipients(opt_in: bool | None, email: str | None, is_sent: bool) -> None:
    source = source_of([], {"insights_opt_in": opt_in, "email": email})
    assert len(email_recipients(source, [SUNDAY], clock=CLOCK)) == is_sent


@pytest.mark.parametrize(("seed", "zone"), HOSTILE)
def test_hostile_clients_reach_the_edges(seed: int, zone: str) -> None:
    settings: dict[str, Any] = {"zone": zone, "clock": HOSTILE_CLOCK}
    source = hostile_clients(seed, days=HOSTILE_DAYS, **settings)
    _, bad = split(source, HOSTILE_CLOCK)
    assert max(Counter(table for table, *_ in bad).values()) <= 9
    assert set(Counter(table for table, *_ in bad)) == {"users", "events", "onboarding_tasks", "feedback"}
    assert split(hostile_clients(seed, days=HOSTILE_DAYS, faults=False, **settings), HOSTILE_CLOCK)[1] == []
    sundays = [day for day in days_between(*HOSTILE_DAYS) if day.isoweekday() == 7]
    rows = client_success_scores(source, sundays, **settings)
    assert {39, 40, 59, 60, 79} <= {row["overall_score"] for row in rows}
    assert {row["band"] for row in rows} == {"AT_RISK", "NEEDS_ATTENTION", "GOOD", "EXCELLENT"}
    changes = {row["overall_score"] - row["previous_score"] for row in rows if row["previous_score"] is not None}
    assert {-30, -29, -20, -5, -4, 4, 5} <= changes
    assert any(row["previous_score"] is None for row in rows)
    fired = {row["rule_id"] for row in client_insights(source, sundays, **settings)}
    assert len(fired) == 4 + 9  # every rule
    alerts = client_momentum_alerts(source, *HOSTILE_DAYS, **settings)
    seen = {(row["alert_type"], row["severity"]) for row in alerts}
    assert seen >= {("score_drop", "warning"), ("score_drop", "critical"), ("churn_risk", "critical")}
    assert seen >= {("inactivity", "warning"), ("zero_activity", "critical"), ("task_stalled", "warning")}
    assert any(row["alert_type"] == "churn_risk" and row["metric_date"] - row["opened_on"] > 20 * DAY for row in alerts)
    assert {row["email"] for row in email_recipients(source, sundays, **settings)} >= {"c@example.com", "d@example.com"}
    assert client_engagement(source, *HOSTILE_DAYS, **settings)
