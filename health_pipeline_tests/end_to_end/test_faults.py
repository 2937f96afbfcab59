"""Faults done for real, in small: `python -m reliability` does them at length. Kills while rows are copied: test_backfill.py."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import ibis
import ibis.expr.types as ir
import psycopg2
import pyarrow as pa
import pytest
import sqlalchemy as sa
from adbc_driver_postgresql import dbapi

from health_pipeline.days import DayRange
from health_pipeline.postgres_urls import connection_uri
from health_pipeline.settings import now
from health_pipeline.sources.postgres import PostgresConnector
from health_pipeline.tables.frames import arrow_schema
from health_pipeline.tables.records import FEATURE_USE_BASE
from health_pipeline.warehouse.connection import arrow_connection, sql_connection
from health_pipeline.warehouse.migrate import migrate
from health_pipeline.warehouse.transient import is_transient
from health_pipeline_tests.conftest import NewDatabase, databases
from health_pipeline_tests.reference.hostile import hostile_source
from health_pipeline_tests.support.commands import health_pipeline
from health_pipeline_tests.support.databases import administer, execute, query, value
from health_pipeline_tests.support.deployment import Deployment, attempts, deployed
from health_pipeline_tests.support.runs import context_for, run
from health_pipeline_tests.support.sources import load_postgres
from reliability.commands import Backfill
from reliability.contents import COMMITTED_TOGETHER, Contents, contents, differences
from reliability.databases import end_connections
from reliability.proxy import CuttingProxy
from reliability.server import Server
from reliability.stages import COMMITTING, Watch

STEP = "tenant_health"
TABLES = COMMITTED_TOGETHER[STEP]
DAYS = DayRange(date(2024, 2, 28), date(2024, 3, 2))
CLOCK = datetime(2024, 3, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def victim(server_home: Path) -> Iterator[Server]:
    """A server that tests may harm."""
    server = Server(server_home / "victim")
    server.keep_log_in_small_files()
    administer(server.url("postgres"), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
    yield server
    server.stop()


@pytest.fixture
def new_on_victim(victim: Server) -> Iterator[NewDatabase]:
    """Makes databases on it."""
    with databases(victim) as create:
        yield create


@pytest.fixture(scope="module")
def source(victim: Server) -> str:
    """A hostile source, on the server that is harmed."""
    load_postgres(victim.url("application"), hostile_source(3, tenants=12, days=(DAYS.first, DAYS.last), clock=CLOCK))
    return victim.url("application")


@dataclass(frozen=True)
class Undisturbed:
    """What a run writes that nothing disturbs, and how many bytes it and its source exchange."""

    rows: Contents
    source_bytes: int


@pytest.fixture(scope="module")
def undisturbed(victim: Server, source: str) -> Undisturbed:
    """Besides leaves the database `warehouse` migrated, and empty."""
    administer(victim.url("postgres"), "CREATE DATABASE undisturbed")
    for name in ("warehouse", "undisturbed"):
        migrate(victim.url(name))
    with CuttingProxy(source) as proxy:
        run(context_for(proxy.url, victim.url("undisturbed"), now()), DAYS.first, DAYS.last)
    return Undisturbed(written(victim.url("undisturbed")), proxy.bytes_passed)


@pytest.fixture
def expected(undisturbed: Undisturbed) -> Contents:
    return undisturbed.rows


def written(url: str) -> Contents:
    return contents(url, TABLES)


@pytest.fixture
def deployment(
    monkeypatch: pytest.MonkeyPatch, source: str, new_on_victim: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> Iterator[Deployment]:
    """Source and warehouse on the server that is harmed, Dagster's storage on the one that all tests share."""
    # Steps are tried again as often as in production, but not as late.
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda *_: 1.0)
    with deployed(monkeypatch, tmp_path / "home", source, new_on_victim("warehouse"), new_database()) as deployment:
        yield deployment


def run_harmed(
    deployment: Deployment, is_time: Callable[[], bool], harm: Callable[[], object]
) -> dg.ExecuteInProcessResult:
    """A run that something is done to as soon as it is time for it."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(deployment.run, DAYS)
        while not running.done() and not is_time():
            time.sleep(0.01)
        harm()
        return running.result(60)


def is_somebody_waiting(url: str, kind: str) -> bool:
    """Whether somebody waits for a lock of the kind in the database."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND wait_event = %s"
    )
    return bool(value(url, waiting, kind))


def test_a_restart_under_a_run_that_writes(deployment: Deployment, expected: Contents, victim: Server) -> None:
    """The run holds locks and the snapshot of its source then; it gets both again."""
    holder = psycopg2.connect(deployment.warehouse)
    with holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('health'), hashtext('usage_metrics'))")
    result = run_harmed(
        deployment,
        lambda: is_somebody_waiting(deployment.warehouse, "advisory"),
        lambda: victim.restart("immediate", seconds_down=1.5),
    )
    holder.close()
    assert result.success
    assert attempts(result, STEP) > 1
    assert differences(written(deployment.warehouse), expected) == []


def test_connections_that_are_lost_in_the_middle_of_a_run(
    deployment: Deployment, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First that to the source while it is read, then that of an asset check."""
    holder = psycopg2.connect(deployment.warehouse)
    with holder.cursor() as cursor:
        # Only the check reads this view.
        cursor.execute("ALTER VIEW health.health_score_drivers SET (security_barrier = true)")

    def end_the_check() -> None:
        end_connections(deployment.warehouse, "wait_event_type = 'Lock' AND wait_event = 'relation'")
        holder.rollback()

    # Of so few rows most bytes are of the opening of two sessions, and a second one that fails to open is done without.
    with CuttingProxy(deployment.source, undisturbed.source_bytes * 6 // 7) as proxy:
        monkeypatch.setenv("HEALTH_SOURCE_URL", proxy.url)
        result = run_harmed(deployment, lambda: is_somebody_waiting(deployment.warehouse, "relation"), end_the_check)
    holder.close()
    assert result.success
    assert (attempts(result, STEP), proxy.cuts) == (2, 1)
    restarted = [event for event in result.all_events if event.event_type == dg.DagsterEventType.STEP_RESTARTED]
    assert len(restarted) == 2
    assert all(check.passed for check in result.get_asset_check_evaluations() if check.check_name == "scores_add_up")
    assert differences(written(deployment.warehouse), undisturbed.rows) == []


def test_a_warehouse_without_room(
    undisturbed: Undisturbed, source: str, new_on_victim: NewDatabase, victim: Server
) -> None:
    """The server's words are told, and nobody tries again; the old rows stay, and a run finishes once there is room."""
    url = new_on_victim("undisturbed")
    days = DayRange(date(2024, 3, 1), date(2024, 3, 20))
    context = context_for(source, url, now())
    # Pages nearly empty, so that few rows need much room.
    execute(url, "ALTER TABLE health.feature_adoption_2024_03 SET (fillfactor = 10)")
    victim.limit_file_size(2**20)
    try:
        with pytest.raises(dbapi.Error, match="could not extend file") as error:
            run(context, days.first, days.last)
    finally:
        victim.limit_file_size(None)
    assert not is_transient(error.value)
    assert differences(written(url), undisturbed.rows) == []
    run(context, days.first, days.last)
    assert value(url, "SELECT count(DISTINCT metric_date) FROM health.feature_adoption") == len(days) + 2


def test_two_runs_over_the_same_days_at_once(source: str, expected: Contents, new_on_victim: NewDatabase) -> None:
    """Each row is written once, and each change of a score recorded once."""
    url = new_on_victim("undisturbed")
    execute(url, "UPDATE health.tenant_health_scores SET overall_score = 1 WHERE overall_score > 1")
    changed = value(url, "SELECT count(*) FROM health.tenant_health_scores WHERE overall_score = 1")
    context = context_for(source, url, now())
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(run, replace(context, run_id=name), DAYS.first, DAYS.last) for name in "ab"]:
            done.result(60)
    restatements = query(url, "SELECT count(*) AS scores FROM health.score_restatements GROUP BY run_id")
    assert restatements == [{"scores": changed}]
    computed = [name for name in TABLES if name != "score_restatements"]
    assert differences(contents(url, computed), expected) == []


SWAP = (
    "WITH two AS (SELECT min(tenant_id) AS a, max(tenant_id) AS b FROM app.users) UPDATE app.{0} AS rows"
    " SET tenant_id = CASE tenant_id WHEN a THEN b ELSE a END FROM two WHERE tenant_id IN (a, b)"
)


def swap(url: str) -> None:
    """Let two tenants have done what the other one did: one transaction over three tables."""
    execute(url, *(SWAP.format(table) for table in ("events", "cases", "support_tickets")))


def test_a_source_that_changes_while_it_is_read(
    source: str, expected: Contents, new_on_victim: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run sees one state of the source, and never some tables of one and some of another."""
    changing, other = new_on_victim("application"), new_on_victim("warehouse")
    swap(changing)
    run(context_for(changing, other, now(), max_bad_share="1"), DAYS.first, DAYS.last)
    states = (expected, written(other))
    assert differences(*states)
    changes, load = 0, PostgresConnector.load
    seen: list[int] = []

    def counted_load(connector: PostgresConnector, rows: ir.Table, *how: object) -> ir.Table:
        seen.append(changes)
        return load(connector, rows, *how)

    monkeypatch.setattr(PostgresConnector, "load", counted_load)
    is_over = threading.Event()

    def change() -> None:
        nonlocal changes
        while not is_over.is_set():
            swap(changing)
            changes += 1

    with ThreadPoolExecutor(1) as pool:
        changing_on = pool.submit(change)
        try:
            for _ in range(2):
                seen.clear()
                url = new_on_victim("warehouse")
                run(context_for(changing, url, now(), max_bad_share="1"), DAYS.first, DAYS.last)
                assert len(set(seen)) > 2
                assert written(url) in states
        finally:
            is_over.set()
            changing_on.result(20)


SLOW_COMMIT = (
    "CREATE FUNCTION public.wait_a_second() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END'",
    "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON health.feature_use_bases DEFERRABLE INITIALLY DEFERRED"
    " FOR EACH ROW EXECUTE FUNCTION public.wait_a_second()",
)


def test_killed_as_it_commits(
    source: str, expected: Contents, new_on_victim: NewDatabase, new_database: NewDatabase, tmp_path: Path
) -> None:
    """The server goes on committing for a process that is no more: all rows are there, but nobody has recorded it. The days
    are shown as failed, and the next run finishes."""
    warehouse, dagster = new_on_victim("warehouse"), new_database()
    execute(warehouse, *SLOW_COMMIT)
    settings = {
        "HEALTH_SOURCE_URL": source,
        "HEALTH_WAREHOUSE_URL": warehouse,
        "HEALTH_DAGSTER_URL": dagster,
        "HEALTH_HOME": str(tmp_path / "home"),
    }
    with Watch(source, warehouse, dagster) as watch:
        killed = Backfill(settings, DAYS, tmp_path / "killed.log", "--only", STEP)
        assert watch.until(killed, COMMITTING)
        killed.kill()
    assert killed.wait() < 0
    wait_until_alone(warehouse)
    assert differences(written(warehouse), expected) == []
    assert query(dagster, "SELECT status FROM runs") == [{"status": "STARTED"}]

    status = health_pipeline(settings, "status")
    (line,) = [line for line in status.stdout.splitlines() if " usage_metrics " in line]
    assert line.strip("│").split("│")[3].strip() == f"{DAYS.first} to {DAYS.last}"

    next_one = Backfill(settings, DAYS, tmp_path / "next.log", "--only", STEP)
    assert next_one.wait() == 0, next_one.output
    assert differences(written(warehouse), expected) == []
    assert [row["status"] for row in query(dagster, "SELECT status FROM runs ORDER BY id")] == ["FAILURE", "SUCCESS"]


def wait_until_alone(url: str) -> None:
    """Until the server has seen that the killed process is gone."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 20
    while value(url, others):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_source_that_ends_idle_transactions(source: str, new_on_victim: NewDatabase) -> None:
    """A run computes for longer than many servers let a transaction be idle."""
    url = new_on_victim("application")
    name = url.partition("?")[0].rpartition("/")[2]
    administer(url, f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '50ms'")
    connector = PostgresConnector(url, 60, 600)
    time.sleep(0.3)
    users = ibis.table({"user_id": "string"}, name="users", database="app")
    assert connector.load(users).count().execute() == value(source, "SELECT count(*) FROM app.users")
    connector.close()


Work = Callable[[str, Callable[[], object]], object]


def copies_rows(url: str, harm: Callable[[], object]) -> None:
    schema = arrow_schema(FEATURE_USE_BASE)

    def rows() -> Iterator[pa.RecordBatch]:
        for number in range(60):
            if number == 5:
                harm()
            row = {"tenant_id": "x" * 1000, "feature_key": "f", "first_used_at": CLOCK, "last_used_at": CLOCK}
            yield from pa.Table.from_pylist([row] * 1000, schema).to_batches()

    with arrow_connection(url) as connection, connection.cursor() as cursor:
        batches = pa.RecordBatchReader.from_batches(schema, rows())
        cursor.adbc_ingest(FEATURE_USE_BASE.name, batches, mode="append", db_schema_name="health")


def commits(url: str, harm: Callable[[], object]) -> None:
    with arrow_connection(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()
        harm()


def runs_sql(url: str, harm: Callable[[], object]) -> None:
    with sql_connection(url) as connection:
        connection.execute(sa.text("SELECT 1"))
        harm()
        connection.execute(sa.text("SELECT 1"))


def reads_a_source(url: str, harm: Callable[[], object]) -> None:
    connector = PostgresConnector(url, 60, 600)
    try:
        harm()
        connector.load(ibis.table({"relname": "string"}, name="pg_class", database="pg_catalog"))
    finally:
        connector.close()


WORK: list[Work] = [copies_rows, commits, runs_sql, reads_a_source]


def assert_transient(work: Work, url: str, harm: Callable[[], object]) -> None:
    with pytest.raises(Exception) as error:  # noqa: PT011 - of which kind it is depends on the driver
        work(url, harm)
    assert is_transient(error.value), error.value


def test_a_connection_that_is_gone_without_a_word_is_given_up(victim: Server) -> None:
    with CuttingProxy(victim.url("warehouse")) as proxy:
        connection = psycopg2.connect(connection_uri("HEALTH_WAREHOUSE_URL", proxy.url + "?keepalives_count=9"))
        with socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as end:
            names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            found = [end.getsockopt(socket.IPPROTO_TCP, name) for name in names]
        connection.close()
    assert found == [60, 10, 9, 120_000]


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize("work", WORK)
def test_every_lost_connection_is_worth_another_try(work: Work, new_on_victim: NewDatabase, victim: Server) -> None:
    url = new_on_victim("warehouse")
    assert_transient(work, url, lambda: end_connections(url))
    assert_transient(work, url, lambda: victim.restart("immediate"))
    with CuttingProxy(url) as proxy:
        assert_transient(work, proxy.url, lambda: proxy.cut_after(3))


@pytest.mark.usefixtures("undisturbed")
@pytest.mark.parametrize("work", WORK)
def test_a_server_that_takes_nobody_is_worth_another_try(
    work: Work, new_on_victim: NewDatabase, victim: Server
) -> None:
    url = new_on_victim("warehouse")
    name = url.partition("?")[0].rpartition("/")[2]
    administer(victim.url("postgres"), f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    administer(victim.url("postgres"), "DROP ROLE IF EXISTS plain", "CREATE ROLE plain LOGIN")
    assert_transient(work, url.replace("postgres:@", "plain:@"), lambda: None)
    gone = url.replace("/victim/", "/nowhere/")
    assert gone != url
    assert_transient(work, gone, lambda: None)
    assert_transient(work, "postgresql://plain@127.0.0.1:1/none", lambda: None)
    with pytest.raises(Exception, match="does not exist") as error:
        work(victim.url("no_such_database"), lambda: None)
    assert not is_transient(error.value)
