"""Whole runs of client success: against the reference, in any order of days, the episodes over 60 days, what people write."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from health_pipeline.days import DayRange
from health_pipeline.embedded import EmbeddedServer
from health_pipeline.errors import SettingError, UserError
from health_pipeline.systems.client_success import run_client_success
from health_pipeline.systems.client_weeks import run_client_weeks
from health_pipeline.systems.context import RunContext
from health_pipeline.tables.client_success import DAILY_TABLES, WEEKLY_TABLES
from health_pipeline.warehouse.actions import acknowledge_alert, mark_insight
from health_pipeline.warehouse.activity import busiest_tenant, events_by_day
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline_tests.reference import client_success as reference
from health_pipeline_tests.reference.contract import Row, Source
from health_pipeline_tests.reference.hostile_clients import hostile_clients
from health_pipeline_tests.support.compare import differences, keyed
from health_pipeline_tests.support.databases import administer, execute, insert, query, table_rows, value
from health_pipeline_tests.support.runs import context_for
from health_pipeline_tests.support.sources import load_postgres, load_source

DAILY = frozenset(table.name for table in DAILY_TABLES)
WEEKLY = frozenset(table.name for table in WEEKLY_TABLES)
LONG_AGO = datetime(2023, 1, 1, tzinfo=UTC)
FIRST = date(2024, 3, 1)
WEEK = DayRange(date(2024, 3, 25), date(2024, 3, 31))
SIXTY = DayRange(FIRST, FIRST + timedelta(days=59))
CLOCK = datetime(2024, 5, 2, tzinfo=UTC)
NewDatabase = Callable[..., str]


def at(day: date, hour: float = 12) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hour)


def a_source(clients: int, seed: int) -> Source:
    """Tenants t1 and t2; clients who come and go, fall silent and return, with tasks that stall and go on."""
    rng = random.Random(seed)
    users: list[Row] = []
    events: list[Row] = []
    tasks: list[Row] = []
    for number in range(clients):
        tenant_id, user_id = f"t{1 + number % 2}", f"u{number}"
        owner = {"tenant_id": tenant_id, "user_id": user_id}
        created = at(FIRST, -24 * rng.randrange(100)) if number % 5 else at(FIRST, 24 * rng.randrange(60))
        gone = at(FIRST, 24 * rng.randrange(30, 60)) if number % 7 == 3 else None
        users.append({**owner, "created_at": min(created, gone or created), "deactivated_at": gone})
        users[-1] |= {"name": f"<b>{number}</b>", "email": f"u{number}@example.com", "insights_opt_in": number % 3 > 0}
        moment = -24.0 * 40
        while moment < 24 * 60 and number % 6:
            moment += rng.choice([0.5, 5, 20, 30, 47, 48, 60, 72, 75, 100, 200, 400])
            kind = rng.choice(["login", "page_view", "content_generated", "visual_created", "launch_kit_viewed"])
            if at(FIRST, moment) < CLOCK:
                events.append({**owner, "event_type": kind, "occurred_at": at(FIRST, moment)})
        if number % 4 == 1:
            begun = at(FIRST, 24 * rng.randrange(-9, 40))
            task = {
                **owner,
                "task_id": f"task{number}",
                "status": "IN_PROGRESS",
                "created_at": begun,
                "started_at": begun,
            }
            task |= {"updated_at": begun + timedelta(hours=rng.choice([1, 90, 300]))}
            tasks.append({**task, "completed_at": rng.choice([None, begun + timedelta(days=rng.randrange(3, 20))])})
    tenants = [{"tenant_id": name, "name": f"{name} & Söhne", "created_at": LONG_AGO} for name in ("t1", "t2")]
    return {"tenants": tenants, "users": users, "events": events, "onboarding_tasks": tasks}


@pytest.fixture(scope="module")
def sixty() -> Source:
    return a_source(24, seed=5)


@pytest.fixture(scope="module")
def source_url(server: EmbeddedServer, sixty: Source) -> str:
    administer(server.url("postgres"), "CREATE DATABASE client_source")
    load_postgres(server.url("client_source"), sixty)
    return server.url("client_source")


@pytest.fixture
def context(source_url: str, warehouse: str) -> RunContext:
    """A run into an empty warehouse."""
    return context_for(source_url, warehouse, CLOCK)


@pytest.fixture(scope="module")
def computed(server: EmbeddedServer, migrated_template: str, source_url: str) -> str:
    """The name of a warehouse with the week up to Sunday, 31 March."""
    administer(server.url("postgres"), f"CREATE DATABASE client_week TEMPLATE {migrated_template}")
    context = context_for(source_url, server.url("client_week"), CLOCK)
    run_client_success(context, WEEK, DAILY)
    run_client_weeks(context, WEEK, WEEKLY)
    return "client_week"


@pytest.fixture
def acting(computed: str, new_database: NewDatabase, source_url: str) -> Iterator[tuple[sa.Connection, RunContext]]:
    """A connection to a copy of that warehouse, and runs into it."""
    url = new_database(computed)
    with sql_connection(url) as connection:
        yield connection, context_for(source_url, url, CLOCK)


@pytest.mark.parametrize(
    ("seed", "kind", "zone", "days", "optional"),
    [
        (1, "postgresql", "UTC", (date(2024, 3, 1), date(2024, 3, 4)), ("onboarding_tasks", "feedback")),
        (2, "duckdb", "America/New_York", (date(2024, 3, 9), date(2024, 3, 11)), ("feedback",)),
    ],
)
def test_every_cell_is_that_of_the_reference(
    seed: int,
    kind: str,
    zone: str,
    days: tuple[date, date],
    optional: tuple[str, ...],
    warehouse: str,
    new_database: NewDatabase,
    tmp_path: Path,
) -> None:
    clock = at(days[1], 48)
    source = hostile_clients(seed, clients=5, days=days, zone=zone, clock=clock, optional=optional)
    context = context_for(
        load_source(kind, source, tmp_path, new_database), warehouse, clock, zone=zone, max_bad_share="1"
    )
    sundays = [day for day in DayRange(*days) if day.isoweekday() == 7]
    found_days = run_client_success(context, DayRange(*days), DAILY)
    found_weeks = run_client_weeks(context, DayRange(*days), WEEKLY)
    expected: dict[str, list[Row]] = {
        "client_engagement": reference.client_engagement(source, *days, zone=zone, clock=clock),
        "client_momentum_alerts": reference.client_momentum_alerts(source, *days, zone=zone, clock=clock),
        "client_success_scores": reference.client_success_scores(source, sundays, zone=zone, clock=clock),
        "client_insights": reference.client_insights(source, sundays, zone=zone, clock=clock),
        "client_success_emails": reference.email_recipients(source, sundays, zone=zone, clock=clock),
    }
    for name, rows in expected.items():
        assert rows
        assert differences(table_rows(warehouse, name), keyed(name, rows), ignored=["numbers"]) == []
        counts = {**found_days.rows_per_day, **found_weeks.rows_per_week}[name]
        assert sum(counts.values()) == len(rows)
    insights = {(row["client_id"], row["rule_id"]): row["numbers"] for row in expected["client_insights"]}
    for row in query(warehouse, "SELECT client_id, rule_id, numbers FROM health.client_insights"):
        for name, number in insights[row["client_id"], row["rule_id"]].items():
            assert name == "quiet_since" or row["numbers"][name] == number
    alerts = sum(found_days.alerts_per_day.values(), start=type(found_days.alerts_per_day[days[0]])())
    assert alerts.total() == len(expected["client_momentum_alerts"])
    assert found_days.facts.unknown_event_types


def tables(url: str, *names: str) -> dict[str, Any]:
    return {name: table_rows(url, name) for name in names}


def test_a_range_is_its_days_in_any_order(acting: tuple[sa.Connection, RunContext]) -> None:
    _, context = acting
    at_once = tables(context.warehouse_url, *DAILY, *WEEKLY)
    execute(context.warehouse_url, *(f"DELETE FROM health.{name}" for name in at_once))
    run_client_success(context, DayRange(WEEK.last, WEEK.last), DAILY)
    run_client_weeks(context, DayRange(WEEK.last, WEEK.last), WEEKLY)
    run_client_success(context, DayRange(WEEK.first, WEEK.first), DAILY)
    run_client_success(context, DayRange(date(2024, 3, 26), date(2024, 3, 30)), DAILY)
    assert tables(context.warehouse_url, *DAILY, *WEEKLY) == at_once


def test_one_tenant_is_replaced_alone(acting: tuple[sa.Connection, RunContext]) -> None:
    _, context = acting
    before = tables(context.warehouse_url, *DAILY, *WEEKLY)
    for name in before:
        execute(context.warehouse_url, f"DELETE FROM health.{name} WHERE tenant_id = 't1'")
    assert run_client_success(context, WEEK, DAILY, "t1").rows_per_day["client_momentum_alerts"][WEEK.last] > 0
    run_client_weeks(context, WEEK, WEEKLY, "t1")
    assert tables(context.warehouse_url, *DAILY, *WEEKLY) == before
    with pytest.raises(SettingError, match="no tenant"):
        run_client_weeks(context, WEEK, WEEKLY, "t3")


def test_a_range_without_a_sunday_has_no_week(context: RunContext) -> None:
    with pytest.raises(SettingError, match="no Sunday from 2024-03-04 to 2024-03-09"):
        run_client_weeks(context, DayRange(date(2024, 3, 4), date(2024, 3, 9)), WEEKLY)


def episodes_day_by_day(source: Source) -> Iterator[Row]:
    """Episodes as somebody would note them who looks at the reference's alerts every day."""
    by_day: dict[date, dict[tuple[Any, ...], str]] = {day: {} for day in SIXTY}
    for alert in reference.client_momentum_alerts(source, SIXTY.first, SIXTY.last, clock=CLOCK):
        key = tuple(alert[name] for name in ("client_id", "alert_type", "subject_id", "opened_on"))
        by_day[alert["metric_date"]][key] = alert["severity"]
    going_on: dict[tuple[Any, ...], Row] = {}
    for day, alerts in by_day.items():
        for key in [key for key in going_on if key not in alerts]:
            yield {**going_on.pop(key), "resolved_on": day, "status": "resolved"}
        for key, severity in alerts.items():
            names = ("client_id", "alert_type", "subject_id", "opened_on")
            going_on[key] = {**dict(zip(names, key, strict=True)), "last_seen_on": day, "severity": severity}
    for episode in going_on.values():
        yield {**episode, "resolved_on": None, "status": "open"}


EPISODE = ("client_id", "alert_type", "subject_id", "opened_on")


def test_episodes_over_sixty_days(context: RunContext, sixty: Source) -> None:
    run_client_success(context, SIXTY, DAILY)
    expected = keyed("momentum_alerts", episodes_day_by_day(sixty), key=EPISODE)
    found = keyed("momentum_alerts", query(context.warehouse_url, "SELECT * FROM health.momentum_alerts"), key=EPISODE)
    assert differences(found, expected) == []
    assert {row["alert_type"] for row in expected.values()} >= {"inactivity", "zero_activity", "task_stalled"}
    assert {row["status"] for row in expected.values()} == {"open", "resolved"}
    keys = [row["alert_key"] for row in found.values()]
    assert len(set(keys)) == len(keys)
    # Nobody has two open alerts for one silence.
    silences = "SELECT metric_date, client_id FROM health.client_momentum_alerts WHERE alert_type LIKE '%activity'"
    rows = query(context.warehouse_url, silences)
    assert len({tuple(row.values()) for row in rows}) == len(rows)
    open_now = query(context.warehouse_url, "SELECT * FROM health.open_alerts")
    still_open = [row for row in expected.values() if row["status"] == "open"]
    assert sum(row["open_alerts"] for row in open_now) == len(still_open)
    assert sum(row["critical_alerts"] for row in open_now) == sum(r["severity"] == "critical" for r in still_open)
    assert {row["metric_date"] for row in open_now} == {SIXTY.last}


def alert(day: date, client_id: str, opened_on: date, **values: Any) -> Row:
    row = {"metric_date": day, "tenant_id": "t", "client_id": client_id, "alert_type": "task_stalled", "subject_id": ""}
    return {**row, "severity": "warning", "opened_on": opened_on, **values}


def test_a_day_on_which_nothing_is_open_resolves(warehouse: str, new_database: NewDatabase, sixty: Source) -> None:
    """That it was computed is recorded, though it has no rows."""
    source_url, day = new_database(), date(2024, 3, 5)
    load_postgres(source_url, {**sixty, "users": [], "events": []})
    insert(warehouse, "client_momentum_alerts", [alert(day, "c", FIRST)])
    assert value(warehouse, "SELECT status FROM health.momentum_alerts") == "open"
    context = context_for(source_url, warehouse, CLOCK)
    run_client_success(context, DayRange(day + timedelta(days=1), day + timedelta(days=2)), DAILY)
    found = query(warehouse, "SELECT status, last_seen_on, resolved_on FROM health.momentum_alerts")
    assert found == [{"status": "resolved", "last_seen_on": day, "resolved_on": day + timedelta(days=1)}]
    assert query(warehouse, "SELECT * FROM health.open_alerts") == []


def test_the_worst_severity_of_an_episode_counts(warehouse: str) -> None:
    days = [date(2024, 3, 5 + n) for n in range(3)]
    severities = ("warning", "critical", "warning")
    insert(
        warehouse,
        "client_momentum_alerts",
        [alert(d, "c", FIRST, severity=s) for d, s in zip(days, severities, strict=True)],
    )
    insert(warehouse, "client_momentum_alerts", [alert(d, "c", d, alert_type="score_drop") for d in days])
    found = query(
        warehouse, "SELECT alert_type, severity, opened_on, resolved_on FROM health.momentum_alerts ORDER BY 1, 3"
    )
    assert [tuple(row.values()) for row in found] == [
        ("score_drop", "warning", days[0], days[1]),
        ("score_drop", "warning", days[1], days[2]),
        ("score_drop", "warning", days[2], None),
        ("task_stalled", "critical", FIRST, None),
    ]


def statuses(connection: sa.Connection) -> dict[str, str]:
    rows = connection.execute(sa.text("SELECT alert_key, status FROM health.momentum_alerts"))
    return dict(rows.tuples().all())


def test_alerts_are_acknowledged_once_and_for_good(acting: tuple[sa.Connection, RunContext]) -> None:
    connection, context = acting
    before = statuses(connection)
    key = next(key for key, status in before.items() if status == "open")
    acknowledge_alert(connection, key, " Ann ", "called them; 'DROP TABLE' & <b>")
    assert statuses(connection) == {**before, key: "acknowledged"}
    with pytest.raises(UserError, match=f"alert {key} was acknowledged already, by Ann on "):
        acknowledge_alert(connection, key, "Bob", None)
    connection.commit()
    tenant = query(context.warehouse_url, "SELECT tenant_id FROM health.alert_actions")[0]["tenant_id"]
    counted = query(context.warehouse_url, f"SELECT * FROM health.open_alerts WHERE tenant_id = '{tenant}'")
    assert counted[0]["acknowledged_alerts"] == 1
    actions = table_rows(context.warehouse_url, "alert_actions")
    # Running the days again, and others before, changes neither the key nor what people wrote.
    run_client_success(context, DayRange(date(2024, 3, 20), date(2024, 3, 31)), DAILY)
    assert table_rows(context.warehouse_url, "alert_actions") == actions
    row = query(context.warehouse_url, "SELECT * FROM health.momentum_alerts WHERE alert_key = %s", key)[0]
    assert (row["status"], row["acknowledged_by"]) == ("acknowledged", "Ann")
    assert row["note"] == "called them; 'DROP TABLE' & <b>"


def test_what_can_be_no_action_is_refused(acting: tuple[sa.Connection, RunContext]) -> None:
    connection, _ = acting
    for key in ("", "2024-03-31-0123456789abcdef", "'; DROP TABLE x; --", "2024-02-30-0123456789abcdef"):
        with pytest.raises(UserError, match="momentum_alerts shows the keys"):
            acknowledge_alert(connection, key, "Ann", None)
        with pytest.raises(UserError, match="insight_status shows the keys"):
            mark_insight(connection, key, "read", "Ann")
    with pytest.raises(UserError, match="must not be blank"):
        acknowledge_alert(connection, next(iter(statuses(connection))), " ", None)


def test_insights_are_marked_once_each_and_for_good(acting: tuple[sa.Connection, RunContext]) -> None:
    connection, context = acting
    key = connection.scalar(sa.text("SELECT min(insight_key) FROM health.insight_status"))
    assert isinstance(key, str)
    for action in ("read", "acted_on"):
        mark_insight(connection, key, action, "Ann")
    with pytest.raises(UserError, match=f"insight {key} was marked as read already, by Ann"):
        mark_insight(connection, key, "read", "Bob")
    with pytest.raises(UserError, match="read, dismissed, acted_on, but not as 'loved'"):
        mark_insight(connection, key, "loved", "Ann")
    connection.commit()
    actions = table_rows(context.warehouse_url, "insight_actions")
    assert len(actions) == 2
    run_client_weeks(context, DayRange(date(2024, 3, 31), date(2024, 3, 31)), WEEKLY)
    assert table_rows(context.warehouse_url, "insight_actions") == actions
    row = query(context.warehouse_url, "SELECT * FROM health.insight_status WHERE insight_key = %s", key)[0]
    assert (row["read_by"], row["dismissed_by"], row["acted_on_by"]) == ("Ann", None, "Ann")


def test_thirty_dense_days_per_client(context: RunContext, sixty: Source) -> None:
    run_client_success(context, DayRange(date(2024, 3, 10), date(2024, 4, 20)), frozenset({"client_engagement"}))
    rows = query(context.warehouse_url, "SELECT * FROM health.client_activity_heatmap")
    clients = {
        row["client_id"] for row in query(context.warehouse_url, "SELECT client_id FROM health.client_engagement")
    }
    days = set(DayRange(date(2024, 3, 22), date(2024, 4, 20)))
    assert {(row["client_id"], row["activity_date"]) for row in rows} == {(c, d) for c in clients for d in days}
    assert len(rows) == len(clients) * 30
    counted = {(row["client_id"], row["activity_date"]): row["events"] for row in rows if row["events"]}
    expected = [row for row in sixty["events"] if row["occurred_at"].date() in days]
    users = {user["user_id"]: user for user in sixty["users"]}
    known = [row for row in expected if users[row["user_id"]]["created_at"].date() <= row["occurred_at"].date()]
    assert sum(counted.values()) == len(known)
    month = DayRange(date(2024, 3, 22), date(2024, 4, 20))
    with sql_connection(context.warehouse_url) as connection:
        tenant_id = busiest_tenant(connection, month)
        by_day = events_by_day(connection, tenant_id or "", month)
    per_tenant = [row for row in known if row["tenant_id"] == tenant_id]
    assert sum(by_day.values()) == len(per_tenant) >= len(known) / 2


def test_what_is_not_mapped_is_null(warehouse: str, new_database: NewDatabase, sixty: Source) -> None:
    source_url = new_database()
    without = {name: sixty[name] for name in ("tenants", "users", "events")}
    load_postgres(source_url, {**without, "events": [{**row, "session_id": "s"} for row in without["events"]]})
    context = context_for(source_url, warehouse, CLOCK)
    run_client_success(context, WEEK, DAILY)
    run_client_weeks(context, WEEK, WEEKLY)
    engagement = query(warehouse, "SELECT DISTINCT sessions, duration_seconds FROM health.client_engagement")
    assert engagement == [{"sessions": 1, "duration_seconds": None}]
    scores = query(warehouse, "SELECT DISTINCT activation_score, satisfaction_score FROM health.client_success_scores")
    assert scores == [{"activation_score": None, "satisfaction_score": None}]
    assert value(warehouse, "SELECT count(*) FROM health.client_insights WHERE insight_type = 'tip'") == 0
    assert value(warehouse, "SELECT count(*) FROM health.client_momentum_alerts WHERE alert_type = 'task_stalled'") == 0


def test_the_outbox_is_rendered_and_escaped(acting: tuple[sa.Connection, RunContext]) -> None:
    connection, _ = acting
    rows = connection.execute(sa.text("SELECT * FROM health.client_success_emails")).mappings().all()
    assert rows
    for row in rows:
        number = row["client_id"].removeprefix("u")
        assert f"Hi &lt;b&gt;{number}&lt;/b&gt;, here is your week" in row["html"]
        assert "&amp; Söhne" in row["html"]
        assert f"Hi <b>{number}</b>," in row["plain_text"]
    scores = connection.execute(sa.text("SELECT client_id, overall_score FROM health.client_success_scores")).tuples()
    assert {row["client_id"]: row["subject"] for row in rows}.items() <= {
        (client_id, f"Your week: {score} of 100 points") for client_id, score in scores
    }
    assert json.dumps([row["plain_text"] for row in rows]).count("u1@example.com") == 0
