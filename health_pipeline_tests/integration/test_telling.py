"""The sensor that tells people: what of real runs, records and scores it tells of, and that it tells once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import psycopg2
import pytest
from sqlalchemy.exc import DBAPIError

from health_pipeline.alerts.findings import tenants_turned_high
from health_pipeline.days import DayRange
from health_pipeline.errors import SourceError
from health_pipeline.orchestration.instance import PROCESS_TAG
from health_pipeline.orchestration.notify import notification_sensor
from health_pipeline.orchestration.system_assets import run_errors
from health_pipeline.settings import now, read_settings
from health_pipeline.warehouse.connection import committing_connection
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.support.databases import execute, query
from health_pipeline_tests.support.deployment import Deployment, deployed
from health_pipeline_tests.support.mail_server import MailServer, running_mail_server
from health_pipeline_tests.support.rows import fill
from health_pipeline_tests.support.web_server import WebServer, reply, running_web_server

NEWEST = read_settings({}).last_day(now())


def ago(days: int) -> date:
    return NEWEST - timedelta(days=days)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with running_web_server() as server:
        yield server


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    with running_mail_server() as (handler, url):
        monkeypatch.setenv("HEALTH_ALERT_MAIL", "ops@acme.example")
        monkeypatch.setenv("HEALTH_SMTP_URL", url)
        monkeypatch.setenv("HEALTH_MAIL_FROM", "health@acme.example")
        yield handler


@pytest.fixture(scope="module")
def dagster_template(new_module_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with Dagster's empty tables: to make them takes seconds."""
    url = new_module_database()
    with pytest.MonkeyPatch.context() as patch, deployed(patch, tmp_path_factory.mktemp("home"), url, url, url):
        return urlsplit(url).path.removeprefix("/")


@pytest.fixture
def deployment(
    monkeypatch: pytest.MonkeyPatch,
    new_database: NewDatabase,
    dagster_template: str,
    warehouse: str,
    web: WebServer,
    tmp_path: Path,
) -> Iterator[Deployment]:
    """One whose source is empty, so that its runs fail, with a webhook."""
    monkeypatch.setenv("HEALTH_ALERT_WEBHOOK", web.url())
    monkeypatch.setenv("HEALTH_UI_URL", "https://ui.example/")
    with deployed(
        monkeypatch, tmp_path / "home", new_database(), warehouse, new_database(dagster_template)
    ) as deployment:
        yield deployment


def look(deployment: Deployment, cursor: str | None = None) -> tuple[str, str | None]:
    """One evaluation, as the daemon has it made; what it says and its cursor."""
    with dg.build_sensor_context(instance=deployment.instance, cursor=cursor) as context:
        found = notification_sensor(read_settings()).evaluate_tick(context)
    assert not found.run_requests
    return found.skip_message or "", found.cursor


def scores(url: str, tenant: str, levels: str, alert_level: str = "PROACTIVE") -> None:
    """Scores of a tenant."""
    fill(url, "tenant_health_scores", *score_rows(tenant, levels, alert_level))


def score_rows(tenant: str, levels: str, alert_level: str = "PROACTIVE") -> list[dict[str, Any]]:
    """The last days, the newest last: H, M, L for the risk, 0 without a score, a blank for no row."""
    risks = {"H": ("HIGH", 35), "M": ("MEDIUM", 65), "L": ("LOW", 90), "0": (None, None)}
    return [
        {
            "metric_date": ago(len(levels) - 1 - n),
            "tenant_id": tenant,
            "overall_score": risks[level][1],
            "risk_level": risks[level][0],
            "alert_level": alert_level if level in "HM" else None,
        }
        for n, level in enumerate(levels)
        if level != " "
    ]


def freshness(url: str, run: str, newest: datetime, is_stopped: bool, table: str = "events", ago: int = 0) -> None:
    at = now() - timedelta(minutes=ago)
    names = {"run_id": run, "system": "tenant_health", "source_table": table, "recorded_at": at}
    fill(url, "source_freshness", {**names, "newest_fact_at": newest, "is_stopped": is_stopped})


def told(url: str) -> dict[str, str]:
    return {
        row["event_key"]: row["status"]
        for row in query(url, "SELECT event_key, status FROM health.notifications WHERE channel = 'webhook'")
    }


def test_a_failed_night_a_stopped_source_and_a_tenant(deployment: Deployment, web: WebServer, mail: MailServer) -> None:
    assert not deployment.run(DayRange(ago(1), ago(0))).success
    (run,) = deployment.instance.get_runs()
    newest_fact = now() - timedelta(days=2)
    freshness(deployment.warehouse, "r", newest_fact, is_stopped=True)
    scores(deployment.warehouse, "t1", "LLH")
    fill(deployment.warehouse, "tenant_profiles", {"metric_date": NEWEST, "tenant_id": "t1", "name": "Acme <Corp>"})
    said, cursor = look(deployment)
    assert said == "events: 3; mail sent: 3, webhook sent: 3"
    assert cursor == NEWEST.isoformat()
    failed, tenant, source = web.texts
    lines = failed.split("\n")
    assert lines[0] == "*A run failed*"
    assert lines[1].startswith(f"nightly failed for {ago(1)} to {NEWEST} at 20")
    assert lines[1].endswith("UTC: source table tenants: was looked for as app.tenants, but there is no such table")
    assert lines[2] == f"https://ui.example/runs/{run.run_id}"
    assert f"Acme &lt;Corp&gt; (t1) has been at HIGH risk since {NEWEST}; its score of {NEWEST} is 35\n" in tenant
    assert f"The source table events has stopped: its newest fact is of {newest_fact:%Y-%m-%d %H:%M} UTC\n" in source
    assert [str(message["Subject"]) for message in mail.received] == [
        "A run failed",
        "A tenant turned HIGH",
        "A source has stopped",
    ]
    assert "s3cret" not in str(query(deployment.warehouse, "SELECT * FROM health.notifications")) + str(web.texts)
    # Once.
    assert look(deployment, cursor) == ("events: 2; nothing to tell", cursor)
    assert (len(web.texts), len(mail.received)) == (3, 3)


def test_nobody_to_tell(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    assert notification_sensor(read_settings()).default_status == dg.DefaultSensorStatus.RUNNING
    monkeypatch.delenv("HEALTH_ALERT_WEBHOOK")
    assert notification_sensor(read_settings()).default_status == dg.DefaultSensorStatus.STOPPED
    assert look(deployment)[0] == "Nobody to tell: set HEALTH_ALERT_WEBHOOK or HEALTH_ALERT_MAIL."
    assert told(deployment.warehouse) == {}


def test_a_webhook_that_is_down_is_tried_again(deployment: Deployment, web: WebServer) -> None:
    scores(deployment.warehouse, "t1", "LLH")
    web.answer = lambda hook: reply(hook, 500)
    said, cursor = look(deployment)
    assert said.endswith("webhook refused: 1; webhook: 500 Internal Server Error")
    web.answer = lambda hook: reply(hook, 200)
    look(deployment, cursor)
    assert len(web.texts) == 1
    execute(deployment.warehouse, "UPDATE health.notifications SET reserved_at = reserved_at - interval '61 seconds'")
    look(deployment, cursor)
    assert told(deployment.warehouse) == {f"high_risk:t1:{NEWEST}": "sent"}
    assert len(web.texts) == 2


def failing(deployment: Deployment, cause: Exception | None = None, **tags: str) -> str:
    """A real run of a job of ours that fails by a fault that isn't a user's, or by a user error with a cause; its id."""

    @dg.op
    def breaks() -> None:
        with run_errors():
            if cause is not None:
                raise SourceError("the source can't be reached (HEALTH_SOURCE_URL): timed out; see ann@b.c") from cause
            raise ValueError("Key (email)=(ann@example.com) is twice")

    @dg.job(name="deliver_emails", config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}})
    def job() -> None:
        breaks()

    return job.execute_in_process(instance=deployment.instance, tags=tags, raise_on_error=False).run_id


def test_a_fault_is_told_by_its_kind_alone(deployment: Deployment, web: WebServer) -> None:
    failing(deployment)
    look(deployment)
    assert web.texts[0].split("\n")[1].endswith("UTC: ValueError")


def test_a_fault_that_passed_by_no_try_is_told_in_our_words(deployment: Deployment, web: WebServer) -> None:
    failing(deployment, DBAPIError("", None, psycopg2.OperationalError("server closed the connection")))
    look(deployment)
    assert web.texts[0].split("\n")[1].endswith("UTC: the source can't be reached (HEALTH_SOURCE_URL): timed out")


# Dagster announces another try of a run with these, as it does by itself of one whose process died.
TRIED_AGAIN = {"dagster/max_retries": "1", "dagster/retry_on_asset_or_op_failure": "true"}


def test_a_run_is_told_when_it_is_not_retried_any_more(deployment: Deployment, web: WebServer) -> None:
    first = failing(deployment, **TRIED_AGAIN)
    look(deployment)
    assert told(deployment.warehouse) == {}
    deployment.instance.add_run_tags(first, {"dagster/auto_retry_run_id": "next"})
    of_first = {"dagster/root_run_id": first, "dagster/parent_run_id": first}
    last = failing(deployment, **of_first, **TRIED_AGAIN | {"dagster/max_retries": "0"})
    look(deployment)
    assert told(deployment.warehouse) == {f"failed_run:{first}": "sent"}
    assert web.texts[0].split("\n")[2].endswith(last)
    # A person's own try of the same fails, too: no news.
    failing(deployment, **of_first)
    look(deployment)
    assert len(web.texts) == 1


def test_a_retry_that_never_came_is_not_waited_for(
    deployment: Deployment, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(deployment, **TRIED_AGAIN)
    clock = now()
    for minutes, messages in ((14, 0), (16, 1)):
        monkeypatch.setattr("health_pipeline.orchestration.notify.now", lambda: clock + timedelta(minutes=minutes))  # noqa: B023
        look(deployment)
        assert len(web.texts) == messages


def test_runs_that_nobody_is_told_of(deployment: Deployment, web: WebServer) -> None:
    """One that was mended before anybody looked, and one of a command, whose user sees it fail."""
    mended = failing(deployment)

    @dg.job(name="deliver_emails", config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}})
    def works() -> None:
        return

    assert works.execute_in_process(instance=deployment.instance, tags={"dagster/root_run_id": mended}).success
    failing(deployment, **{PROCESS_TAG: "here:1"})
    look(deployment)
    assert web.texts == []


def test_a_source_that_resumes_and_stops_again(deployment: Deployment, web: WebServer) -> None:
    url, monday, friday = deployment.warehouse, now() - timedelta(days=6), now() - timedelta(days=2)
    freshness(url, "r1", monday, is_stopped=True, ago=30)
    look(deployment)
    freshness(url, "r2", monday, is_stopped=True, ago=20)
    look(deployment)
    assert len(web.texts) == 1
    freshness(url, "r3", friday, is_stopped=False, ago=10)
    look(deployment)
    assert len(web.texts) == 1
    freshness(url, "r4", friday, is_stopped=True, ago=5)
    look(deployment)
    assert len(web.texts) == 2
    # What runs found long ago is no news.
    freshness(url, "r1", monday, is_stopped=True, table="users", ago=5 * 24 * 60)
    look(deployment)
    assert len(web.texts) == 2


@pytest.mark.parametrize(
    ("levels", "alert_level", "is_told"),
    [
        ("LH", "PROACTIVE", True),
        ("LHHHH", "PROACTIVE", True),
        ("LHHHHH", "PROACTIVE", False),
        ("H", "PROACTIVE", False),
        ("HH", "PROACTIVE", False),
        ("L0H", "PROACTIVE", True),
        ("L          H", "PROACTIVE", True),
        ("H  0 H", "PROACTIVE", False),
        ("LM", "PROACTIVE", False),
        ("LH", "DASHBOARD_ONLY", False),
        ("LH", "NONE", False),
    ],
)
def test_which_tenants_are_told_of(
    levels: str, alert_level: str, is_told: bool, warehouse: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores(warehouse, "t1", levels, alert_level)
    with committing_connection(warehouse) as connection:
        assert bool(tenants_turned_high(connection, read_settings({}), NEWEST, None)) == is_told


def test_tenants_of_random_histories(warehouse: str) -> None:
    """Held against the rule in words, tenant by tenant."""
    rng = random.Random(5)
    histories = {f"t{n:03}": "".join(rng.choices("HHHML0 ", k=rng.randint(1, 12))) for n in range(250)}
    rows = [row for tenant, levels in histories.items() for row in score_rows(tenant, levels)]
    fill(warehouse, "tenant_health_scores", *rows)
    for looked_at in (None, ago(1), ago(8)):
        earliest = min(ago(3), looked_at + timedelta(days=1)) if looked_at else ago(3)
        expected = set()
        for tenant, levels in histories.items():
            known = [(ago(len(levels) - 1 - n), level) for n, level in enumerate(levels) if level in "HML"]
            calm = [day for day, level in known if level != "H"]
            if levels[-1] == "H" and calm:
                since = min(day for day, _ in known if day > max(calm))
                if since >= earliest:
                    expected.add(f"high_risk:{tenant}:{since}")
        with committing_connection(warehouse) as connection:
            events = tenants_turned_high(connection, read_settings({}), NEWEST, looked_at)
        assert {event.key for event in events} == expected
        assert len(expected) > 20


def test_a_restatement_does_not_tell_again(deployment: Deployment, web: WebServer) -> None:
    url = deployment.warehouse
    # The streak begins later, earlier, is broken, ends and comes back.
    for levels in ("LLLHHH", "LLLLHH", "LLHHHH", "LLLLLH", "LLLHLH", "LLLHLL", "LLLLLH"):
        execute(url, "DELETE FROM health.tenant_health_scores")
        scores(url, "t1", levels)
        look(deployment)
        assert told(url) == {f"high_risk:t1:{ago(2)}": "sent"}
    assert len(web.texts) == 1
    # The same tenant, weeks after it was told of.
    execute(url, "UPDATE health.notifications SET since = since - interval '20 days', event_key = 'long ago'")
    look(deployment)
    assert told(url) == {"long ago": "sent", f"high_risk:t1:{NEWEST}": "sent"}


def test_a_backfill_of_history_tells_nobody(deployment: Deployment, web: WebServer) -> None:
    scores(deployment.warehouse, "t1", "LLLH  ")
    assert look(deployment) == ("events: 0; nothing to tell", None)
    scores(deployment.warehouse, "t2", "LLH ")
    look(deployment)
    assert list(told(deployment.warehouse)) == [f"high_risk:t2:{ago(1)}"]


def test_what_turned_while_nobody_looked(deployment: Deployment, web: WebServer) -> None:
    scores(deployment.warehouse, "t1", "LLHHHHHHHH")
    assert look(deployment, ago(2).isoformat())[1] == NEWEST.isoformat()
    assert told(deployment.warehouse) == {}
    look(deployment, ago(9).isoformat())
    assert told(deployment.warehouse) == {f"high_risk:t1:{ago(7)}": "sent"}


def test_many_tenants_at_once(deployment: Deployment, web: WebServer) -> None:
    rows: list[dict[str, Any]] = []
    for n in range(300):
        common = {"tenant_id": f"t{n}", "alert_level": "PROACTIVE"}
        rows.append({**common, "metric_date": ago(1), "overall_score": 90, "risk_level": "LOW"})
        rows.append({**common, "metric_date": NEWEST, "overall_score": n % 40, "risk_level": "HIGH"})
    fill(deployment.warehouse, "tenant_health_scores", *rows)
    look(deployment)
    (text,) = web.texts
    assert text.startswith("*300 tenants turned HIGH*\n")
    assert "is 0\n" in text.split("\n", 1)[1]
    assert "and 280 more" in text
    assert len(told(deployment.warehouse)) == 300
