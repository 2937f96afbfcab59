"""The references of order health and client success, held against examples worked out by hand, and their hostile data."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
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
from health_pipeline_tests.reference.hostile_orders import hostile_orders
from health_pipeline_tests.reference.order_health import Delivery, order_health, recent_and_baseline
from health_pipeline_tests.reference.order_health import SHIPPED_POLICY as ORDER_POLICY
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


# ---- order health


def customer(**values: Any) -> Row:
    return {"customer_id": "c", "tenant_id": "t", "name": "C", "created_at": LONG_AGO, **values}


def order(delivered_at: date | datetime | None, amount: str | None = "100.00", **values: Any) -> Row:
    """An order delivered at noon of a date."""
    if delivered_at is not None and not isinstance(delivered_at, datetime):
        delivered_at = datetime(delivered_at.year, delivered_at.month, delivered_at.day, 12, tzinfo=UTC)
    total_amount = None if amount is None else Decimal(amount)
    keys = {"tenant_id": "t", "customer_id": "c", "ordered_at": LONG_AGO}
    return {**keys, "delivered_at": delivered_at, "total_amount": total_amount, **values}


def customers_at(day: date, orders: list[Row], zone: str = "UTC", **tables: list[Row]) -> list[Row]:
    numbered = [{"order_id": f"o{n}", **row} for n, row in enumerate(orders)]
    source = {"tenants": [tenant()], "users": [], "events": [], "customers": [customer()], "orders": numbered, **tables}
    return order_health(source, day, day, zone=zone, clock=CLOCK)


def customer_at(day: date, orders: list[Row], zone: str = "UTC") -> Row:
    (row,) = customers_at(day, orders, zone)
    return row


@pytest.mark.parametrize(
    ("day", "days_overdue", "status", "dormancy_since"),
    [
        (date(2024, 2, 14), -1, "HEALTHY", None),
        (date(2024, 2, 15), 0, "HEALTHY", None),
        (date(2024, 2, 16), 1, "AT_RISK_CADENCE", None),
        (date(2024, 3, 30), 44, "AT_RISK_CADENCE", None),
        (date(2024, 3, 31), 45, "DORMANT", date(2024, 3, 31)),
        (date(2024, 4, 20), 65, "DORMANT", date(2024, 3, 31)),
    ],
)
def test_cadence(day: date, days_overdue: int, status: str, dormancy_since: date | None) -> None:
    # Gaps of 10 and 20 days: expected 15 days after 31 January.
    row = customer_at(day, [order(date(2024, 1, 31)), order(date(2024, 1, 1)), order(date(2024, 1, 11))])
    assert row["average_order_interval_days"] == 15.0
    assert row["next_expected_order_date"] == date(2024, 2, 15)
    assert (row["days_overdue"], row["risk_status"], row["dormancy_since"]) == (days_overdue, status, dormancy_since)
    assert (row["delivered_orders"], row["order_lifecycle"]) == (3, "ESTABLISHED")


@pytest.mark.parametrize(
    ("gaps", "interval", "rounded"),
    [
        ([10, 11], 10.5, 11),
        ([11, 12], 11.5, 12),
        ([1, 1, 1, 2], 1.25, 1),
        ([100, 10, 10, 10, 20], 12.5, 13),
        ([1], 1.0, 1),
    ],
)
def test_the_expected_date_comes_from_the_last_five_dates_and_rounds_halves_up(
    gaps: list[int], interval: float, rounded: int
) -> None:
    dates = [date(2024, 1, 1) + sum(gaps[:n]) * DAY for n in range(len(gaps) + 1)]
    row = customer_at(date(2024, 12, 1), [order(day) for day in dates])
    assert row["average_order_interval_days"] == interval
    assert row["next_expected_order_date"] == dates[-1] + rounded * DAY


@pytest.mark.parametrize(
    ("amounts", "recent", "baseline", "status"),
    [
        (["100", "100", "100", "85", "85", "85"], 85.0, 100.0, "HEALTHY"),
        (["100", "100", "100", "85", "85", "84.99"], 84.99666666666667, 100.0, "AT_RISK_REVENUE"),
        (["100", "100", "85", "85", "84"], 84.66666666666667, None, "HEALTHY"),
        (["100", "100", None, "1", "1", "1"], 1.0, None, "HEALTHY"),
        (["100", "100", "100", None, "84", None], 84.0, 100.0, "AT_RISK_REVENUE"),
        (["100", "100", "100", None, None, None], None, 100.0, "HEALTHY"),
        (["0", "0", "0", "0", "0", "0"], 0.0, 0.0, "HEALTHY"),
        (["0.01", "0.01", "0.01", "0", "0", "0"], 0.0, 0.01, "AT_RISK_REVENUE"),
        (["9999", *["100"] * 10, "90", "90", "90"], 90.0, 100.0, "HEALTHY"),
    ],
)
def test_revenue(amounts: list[str | None], recent: float | None, baseline: float | None, status: str) -> None:
    orders = [order(date(2024, 1, 1) + n * DAY, amount) for n, amount in enumerate(amounts)]
    row = customer_at(date(2024, 1, len(amounts)), orders)
    assert (row["recent_average_revenue"], row["baseline_average_revenue"]) == (recent, baseline)
    assert row["risk_status"] == status
    assert (row["revenue_change"] is None) == (recent is None or not baseline)


def test_revenue_change_is_exact_before_it_is_a_float() -> None:
    orders = [order(date(2024, 1, 1 + n), amount) for n, amount in enumerate(["100"] * 3 + ["85"] * 3)]
    assert customer_at(date(2024, 1, 6), orders)["revenue_change"] == -0.15
    cents = [30, 10, 10, 10, 20, 10]
    deliveries = [Delivery(date(2024, 1, 1 + n), amount) for n, amount in enumerate(cents)]
    assert recent_and_baseline(deliveries, ORDER_POLICY) == (Fraction(40, 3), Fraction(50, 3))


def test_deliveries_of_one_date_are_one_order() -> None:
    midnight = datetime(2024, 1, 6, tzinfo=UTC)
    orders = [
        order(midnight - MICROSECOND, None),
        order(midnight, "1.10"),
        order(midnight + 5 * HOUR, None),
        order(midnight + DAY - MICROSECOND, "2.20"),
    ]
    row = customer_at(date(2024, 1, 6), orders)
    assert (row["delivered_orders"], row["last_order_date"]) == (2, date(2024, 1, 6))
    assert row["recent_average_revenue"] == 3.3
    assert customer_at(date(2024, 1, 5), orders)["order_lifecycle"] == "NEW"
    # In Kolkata, 5 h 30 min ahead, all but the last lie on 6 January, and the day ends before the last.
    assert customer_at(date(2024, 1, 6), orders, "Asia/Kolkata")["delivered_orders"] == 1
    assert customer_at(date(2024, 1, 7), orders, "Asia/Kolkata")["last_order_date"] == date(2024, 1, 7)


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ({}, True),
        ({"status": None}, True),
        ({"status": ""}, True),
        ({"status": "dElIvErEd"}, True),
        ({"status": "DELIVERED "}, False),
        ({"status": "CANCELLED"}, False),
        ({"tenant_id": "other"}, False),
        ({"customer_id": "C"}, False),
        ({"delivered_at": None}, False),
        ({"ordered_at": CLOCK}, True),
        ({"ordered_at": CLOCK + MICROSECOND}, False),
        ({"total_amount": Decimal("NaN")}, False),
    ],
)
def test_orders_that_count(values: Row, counts: bool) -> None:
    tenants = [tenant(), tenant(tenant_id="other")]
    (row,) = customers_at(date(2024, 1, 6), [order(date(2024, 1, 5), **values)], tenants=tenants)
    assert row["order_lifecycle"] == ("NEW" if counts else "PROSPECT")
    assert row["risk_status"] == ("HEALTHY" if counts else None)
    assert row["next_expected_order_date"] is None


@pytest.mark.parametrize(
    ("comes_on", "later", "reactivated"),
    [
        (date(2024, 3, 5), [], None),
        (date(2024, 3, 6), [], date(2024, 3, 6)),
        (date(2024, 3, 6), [date(2024, 3, 7)], date(2024, 3, 6)),
        # 1 and 11 January, 6 March: gaps of 10 and 55, so 32.5 days to 8 April, and 45 to 23 May.
        (date(2024, 3, 6), [date(2024, 5, 22)], date(2024, 3, 6)),
        (date(2024, 3, 6), [date(2024, 5, 23)], date(2024, 5, 23)),
    ],
)
def test_reactivation(comes_on: date, later: list[date], reactivated: date | None) -> None:
    # Expected on 21 January, dormant from 6 March on.
    dates = [date(2024, 1, 1), date(2024, 1, 11), comes_on, *later]
    assert customer_at(date(2024, 6, 1), [order(day) for day in dates])["reactivated_date"] == reactivated


def test_customers_active_at_the_day() -> None:
    end = datetime(2024, 1, 7, tzinfo=UTC)
    tenants = [tenant(), tenant(tenant_id="gone", deactivated_at=end - MICROSECOND)]
    customers = [
        customer(customer_id="created last", created_at=end - MICROSECOND),
        customer(customer_id="created at the end", created_at=end),
        customer(customer_id="deactivated last", deactivated_at=end - MICROSECOND),
        customer(customer_id="deactivated at the end", deactivated_at=end),
        customer(customer_id="of a tenant gone", tenant_id="gone"),
    ]
    rows = customers_at(date(2024, 1, 6), [], tenants=tenants, customers=customers)
    assert [row["customer_id"] for row in rows] == ["created last", "deactivated at the end"]


def test_without_orders_there_are_no_figures() -> None:
    source = {"tenants": [tenant()], "users": [], "events": [], "customers": [customer(sales_rep_id="r")]}
    (row,) = order_health(source, date(2024, 1, 1), date(2024, 1, 1), clock=CLOCK)
    assert {column for column, value in row.items() if value is not None} == {
        *("metric_date", "customer_id", "tenant_id", "sales_rep_id"),
    }


@pytest.mark.parametrize(("seed", "zone"), HOSTILE)
def test_hostile_orders_reach_the_edges(seed: int, zone: str) -> None:
    settings: dict[str, Any] = {"zone": zone, "clock": HOSTILE_CLOCK}
    source = hostile_orders(seed, days=HOSTILE_DAYS, **settings)
    _, bad = split(source, HOSTILE_CLOCK)
    assert max(Counter(table for table, *_ in bad).values()) == 9
    assert split(hostile_orders(seed, days=HOSTILE_DAYS, faults=False, **settings), HOSTILE_CLOCK)[1] == []
    rows = order_health(source, *HOSTILE_DAYS, **settings)
    assert {row["risk_status"] for row in rows} == {None, "HEALTHY", "AT_RISK_CADENCE", "AT_RISK_REVENUE", "DORMANT"}
    assert {0, 1, 44, 45} <= {row["days_overdue"] for row in rows}
    assert {0.0, 0.25, 0.5, 0.75} <= {(row["average_order_interval_days"] or 0) % 1 for row in rows}
    changes = [(row["revenue_change"], row["risk_status"]) for row in rows if row["revenue_change"] is not None]
    assert any(change == -0.15 and status == "HEALTHY" for change, status in changes)
    assert any(-0.1501 < change < -0.15 and status == "AT_RISK_REVENUE" for change, status in changes)
    assert any(row["reactivated_date"] == row["metric_date"] for row in rows)
    assert any(row["reactivated_date"] and row["risk_status"] == "DORMANT" for row in rows)
    assert any((row["recent_average_revenue"] or 0) > 10**12 for row in rows)


# ---- client success

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
        assert alerts_on(SUNDAY - DAY, source) == expected
    # Activity from before its owner's creation counts, and so is the last there was.
    source = source_of([(last, "x")], {"created_at": START - HOUR})
    assert alerts_on(SUNDAY - DAY, source) == expected


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
        ("task_stalled", "task 5", "warning", SUNDAY - 2 * DAY),
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
