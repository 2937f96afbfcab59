"""The commands of interface.md, run as a user runs them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from health_pipeline.days import DayRange
from health_pipeline.embedded import EmbeddedServer
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.reference.hostile import hostile_source
from health_pipeline_tests.support.commands import (
    PROGRAM,
    ROOT,
    end_processes_of,
    environment,
    health_pipeline,
    processes_of,
    start,
)
from health_pipeline_tests.support.databases import all_rows, execute, query, value
from health_pipeline_tests.support.runs import TENANT_HEALTH
from health_pipeline_tests.support.sources import load_source

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
Result = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Demo:
    """A HEALTH_HOME in which the demo has run, and what it said."""

    home: Path
    result: Result

    def __call__(self, *arguments: str) -> Result:
        return health_pipeline({"HEALTH_HOME": self.home}, *arguments, cwd=self.home)

    def sql(self, select: str) -> str:
        """What psql prints for a select, bare."""
        result = self("psql", "--", "-Atc", select)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with tempfile.TemporaryDirectory(prefix="health_pipeline_demo_") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        arguments = ("demo", "--tenants", "12", "--days", "40")
        yield Demo(home, health_pipeline({"HEALTH_HOME": home}, *arguments, cwd=home))
        end_processes_of(home)


def days_in(demo: Demo) -> set[str]:
    return set(demo.sql("SELECT DISTINCT metric_date FROM health.tenant_health_scores").split())


def days_between(first: date, last: date) -> set[str]:
    return {(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)}


def test_demo_scores_thirty_days_and_says_what_to_do_next(demo: Demo) -> None:
    assert demo.result.returncode == 0, demo.result.stderr
    assert "Tenants most at risk" in demo.result.stdout
    assert "Risk: " in demo.result.stdout
    assert "make up" in demo.result.stdout
    assert "health-pipeline psql" in demo.result.stdout
    assert processes_of(demo.home) == []
    assert days_in(demo) == days_between(YESTERDAY - timedelta(days=29), YESTERDAY)
    counts = "SELECT count(*) FROM app.{0}"
    server = EmbeddedServer(demo.home)
    try:
        assert value(server.url("application"), counts.format("tenants")) >= 12
        assert value(server.url("application"), counts.format("events")) > 1000
        runs = query(server.url("dagster"), "SELECT status FROM runs")
        assert {row["status"] for row in runs} == {"SUCCESS"}
    finally:
        server.stop()


def test_status_after_the_demo(demo: Demo) -> None:
    result = demo("status")
    assert result.returncode == 0, result.stderr
    lines = {line.split()[1]: line for line in result.stdout.splitlines() if line.startswith("│")}
    for table in ("tenant_profiles", "usage_metrics", "feature_adoption", "tenant_health_scores", "peer_benchmarks"):
        cells = [cell.strip() for cell in lines[table].strip("│").split("│")]
        assert cells == [table, YESTERDAY.isoformat(), "", ""]
    assert lines["events"].split("│")[2].strip().endswith("UTC")
    assert processes_of(demo.home) == []


def test_psql_hands_arguments_and_exit_codes_on(demo: Demo) -> None:
    assert demo("psql", "--", "-c", "select 6 * 7 as answer").stdout.split()[:3] == ["answer", "--------", "42"]
    failed = demo("psql", "--", "-v", "ON_ERROR_STOP=1", "-c", "select * from nowhere")
    assert failed.returncode == 1
    assert "nowhere" in failed.stderr


def test_backfill_of_older_days(demo: Demo) -> None:
    first, last = YESTERDAY - timedelta(days=33), YESTERDAY - timedelta(days=30)
    before = demo.sql("SELECT md5(string_agg(t::text, '|' ORDER BY t)) FROM health.tenant_health_scores AS t")
    result = demo("backfill", "--from", str(first), "--to", str(last), "--only", "tenant_health")
    assert result.returncode == 0, result.stderr
    assert f"4 days materialised: {first} to {last}" in result.stderr
    assert days_in(demo) == days_between(first, YESTERDAY)
    newer = f"SELECT md5(string_agg(t::text, '|' ORDER BY t)) FROM health.tenant_health_scores AS t WHERE metric_date > '{last}'"
    assert demo.sql(newer) == before


def test_the_demo_writes_into_nobodys_database(tmp_path: Path) -> None:
    result = health_pipeline({"HEALTH_HOME": tmp_path / "home", "HEALTH_SOURCE_URL": "postgresql://prod/app"}, "demo")
    assert_one_line(result, "unset HEALTH_SOURCE_URL")
    assert not (tmp_path / "home").exists()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def asked(url: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that the URL gives; asks until the server answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return json.load(response)
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


_LOCATION = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
  jobs { name } schedules { name scheduleState { status } } } } } }"""


def test_up_serves_and_stops_with_everything(demo: Demo) -> None:
    port = free_port()
    server = start({"HEALTH_HOME": demo.home}, "up", "--port", str(port), cwd=demo.home)
    try:
        url = f"http://127.0.0.1:{port}"
        assert "dagster_version" in asked(f"{url}/server_info")
        (location,) = asked(f"{url}/graphql", {"query": _LOCATION})["data"]["repositoriesOrError"]["nodes"]
        assert "nightly" in {job["name"] for job in location["jobs"]}
        states = {schedule["name"]: schedule["scheduleState"]["status"] for schedule in location["schedules"]}
        assert states["nightly"] == "RUNNING"
        server.send_signal(signal.SIGINT)
        assert server.wait(45) == 0
    finally:
        server.kill()
        server.wait()
    deadline = time.monotonic() + 10
    while processes_of(demo.home) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert processes_of(demo.home) == []
    # And the state is there for the next command.
    assert days_in(demo)


def test_another_demo_forgets_the_one_before(demo: Demo) -> None:
    again = demo("demo", "--tenants", "3", "--days", "5")
    assert again.returncode == 0, again.stderr
    assert days_in(demo) == days_between(YESTERDAY - timedelta(days=4), YESTERDAY)
    assert processes_of(demo.home) == []


def assert_one_line(result: Result, *parts: str) -> None:
    """The command failed, and said why in one line."""
    assert result.returncode == 1, (result.stdout, result.stderr)
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    for part in parts:
        assert part in result.stderr


@dataclass(frozen=True)
class Deployment:
    """Databases on the tests' server, as the settings name them."""

    settings: dict[str, str | Path]

    @property
    def source(self) -> str:
        return str(self.settings["HEALTH_SOURCE_URL"])

    @property
    def warehouse(self) -> str:
        return str(self.settings["HEALTH_WAREHOUSE_URL"])

    @property
    def dagster(self) -> str:
        return str(self.settings["HEALTH_DAGSTER_URL"])

    def backfill(self, first: date, last: date, **settings: str | Path) -> Result:
        arguments = ("backfill", "--from", str(first), "--to", str(last), "--only", "tenant_health")
        return health_pipeline({**self.settings, **settings}, *arguments)


FIRST, LAST = date(2024, 2, 1), date(2024, 3, 31)


@pytest.fixture
def deployment(new_database: NewDatabase, tmp_path: Path) -> Deployment:
    """A hostile source, an empty warehouse and an empty Dagster storage."""
    source = hostile_source(
        3, tenants=12, days=(FIRST, FIRST + timedelta(days=3)), clock=datetime(2024, 4, 1, tzinfo=UTC)
    )
    return Deployment(
        {
            "HEALTH_SOURCE_URL": load_source("postgresql", source, tmp_path, new_database),
            "HEALTH_WAREHOUSE_URL": new_database(),
            "HEALTH_DAGSTER_URL": new_database(),
            "HEALTH_HOME": tmp_path / "home",
        }
    )


Case = tuple[tuple[date | str, date | str], dict[str, str | Path], tuple[str, ...]]
"""--from and --to, settings that differ, what the line says."""


def test_what_a_user_has_to_mend_is_one_line_and_nothing_is_written(deployment: Deployment, tmp_path: Path) -> None:
    policy, mapping = tmp_path / "policy.yaml", tmp_path / "mapping.yaml"
    policy.write_text("tenant_health: {risk: {high_below: 61}}")
    mapping.write_text("tables: {users: {columns: {created_at: born_at}}}")
    unknown = tmp_path / "unknown.yaml"
    unknown.write_text("tables: {people: {}}")
    unreachable = "postgresql://me:topsecret@127.0.0.1:1/none"
    day = FIRST
    cases: list[Case] = [
        ((LAST, FIRST), {}, (f"--to {FIRST} lies before --from {LAST}",)),
        ((date(2023, 12, 31), day), {}, ("2023-12-31 lies before the first partition 2024-01-01",)),
        ((day, TODAY), {}, (f"{TODAY} is not over yet in UTC",)),
        (("2024-02-30", day), {}, ("--from must be a date such as", "'2024-02-30'")),
        ((day, day), {"HEALTH_TIMEZONE": "Berlin"}, ("HEALTH_TIMEZONE", "'Berlin'")),
        ((day, day), {"HEALTH_POLICY": policy}, (f"policy {policy}: tenant_health.risk: out of order",)),
        ((day, day), {"HEALTH_SOURCE_MAPPING": mapping}, ("source table users: column created_at", "'born_at'")),
        ((day, day), {"HEALTH_SOURCE_MAPPING": unknown}, (f"mapping {unknown}: tables.people: unknown logical table",)),
        ((day, day), {"HEALTH_SOURCE_URL": unreachable}, ("HEALTH_SOURCE_URL", "refused")),
        ((day, day), {"HEALTH_WAREHOUSE_URL": unreachable}, ("HEALTH_WAREHOUSE_URL", "refused")),
        ((day, day), {"HEALTH_DAGSTER_URL": unreachable}, ("HEALTH_DAGSTER_URL", "refused")),
        ((day, day), {"HEALTH_SOURCE_URL": "mysql://me:topsecret@host/db"}, ("HEALTH_SOURCE_URL must be",)),
        ((day, day), {"HEALTH_WAREHOUSE_URL": "duckdb://file"}, ("HEALTH_WAREHOUSE_URL must be",)),
    ]

    def run(case: Case) -> Result:
        (first, last), settings, _ = case
        return health_pipeline({**deployment.settings, **settings}, "backfill", "--from", str(first), "--to", str(last))

    with ThreadPoolExecutor(2) as pool:
        for (_, _, parts), result in zip(cases, pool.map(run, cases), strict=True):
            assert_one_line(result, *parts)
            assert "topsecret" not in result.stderr
    for url in (deployment.warehouse, deployment.dagster):
        schemas = "SELECT count(*) FROM information_schema.tables WHERE table_schema IN ('health', 'public')"
        assert value(url, schemas) == 0


def test_a_run_that_fails_is_named_and_the_exit_code_tells(deployment: Deployment) -> None:
    execute(
        deployment.source,
        "INSERT INTO app.users (user_id, tenant_id, created_at)"
        " SELECT 'stray ' || n, 'nowhere', '2024-01-01Z' FROM generate_series(1, 500) AS n",
    )
    result = deployment.backfill(FIRST, FIRST + timedelta(days=1))
    assert result.returncode == 1
    assert f"{FIRST} to {FIRST + timedelta(days=1)}" in result.stderr
    assert "of the rows read are bad: users: " in result.stderr
    assert "Traceback" not in result.stderr
    assert value(deployment.warehouse, "SELECT count(*) FROM health.quarantined_rows") >= 500
    assert value(deployment.warehouse, "SELECT count(*) FROM health.tenant_profiles") == 0
    status = health_pipeline(deployment.settings, "status")
    assert status.returncode == 0
    (line,) = [line for line in status.stdout.splitlines() if " usage_metrics " in line]
    assert f"{FIRST} to {FIRST + timedelta(days=1)}" in line


def whole_days(warehouse: str) -> dict[date, int]:
    """Tenants by day, once every table is found to have the same."""
    counts = {
        table: {
            row["metric_date"]: row["tenants"]
            for row in query(
                warehouse, f"SELECT metric_date, count(DISTINCT tenant_id) AS tenants FROM health.{table} GROUP BY 1"
            )
        }
        for table in ("tenant_profiles", "usage_metrics", "feature_adoption", "tenant_health_scores")
    }
    benchmarked = {
        row["metric_date"] for row in query(warehouse, "SELECT DISTINCT metric_date FROM health.peer_benchmarks")
    }
    assert len({tuple(sorted(days.items())) for days in counts.values()}) == 1, counts
    assert benchmarked == set(counts["tenant_profiles"])
    return counts["tenant_profiles"]


def kill_while_writing(deployment: Deployment) -> bool:
    """Begin a backfill and kill it as soon as its transaction holds the tables; False if it was done before."""
    database = value(deployment.warehouse, "SELECT oid::text FROM pg_database WHERE datname = current_database()")
    watcher = psycopg2.connect(deployment.warehouse)
    watcher.autocommit = True
    command = ("backfill", "--from", str(FIRST), "--to", str(LAST), "--only", "tenant_health")
    process = start(deployment.settings, *command)
    try:
        with watcher.cursor() as cursor:
            while process.poll() is None:
                cursor.execute(
                    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory'"
                    " AND granted AND database = %s::oid AND query ILIKE 'COPY%%'",
                    [database],
                )
                if cursor.fetchone()[0]:
                    process.kill()
                    process.wait()
                    return True
        return False
    finally:
        process.kill()
        process.wait()
        watcher.close()


def test_killed_in_the_middle_of_a_backfill(deployment: Deployment) -> None:
    known = DayRange(FIRST, FIRST + timedelta(days=9))
    first_run = deployment.backfill(known.first, known.last)
    assert first_run.returncode == 0, first_run.stderr
    # A kill may come so late that the new rows were committed: whole as well, but then it is tried again.
    for _ in range(5):
        for table in TENANT_HEALTH:
            execute(deployment.warehouse, f"DELETE FROM health.{table} WHERE metric_date > '{known.last}'")
        execute(deployment.warehouse, "UPDATE health.usage_metrics SET api_calls = 424242")
        before = all_rows(deployment.warehouse, "tenant_health")
        assert kill_while_writing(deployment)
        wait_until_alone(deployment.warehouse)
        days = whole_days(deployment.warehouse)
        if all_rows(deployment.warehouse, "tenant_health") == before:
            break
        assert set(days) == set(DayRange(FIRST, LAST))
    else:
        pytest.fail("every kill came too late")
    assert set(days) == set(known)

    again = deployment.backfill(FIRST, LAST)
    assert again.returncode == 0, again.stderr
    assert len(whole_days(deployment.warehouse)) == (LAST - FIRST).days + 1
    assert value(deployment.warehouse, "SELECT count(*) FROM health.usage_metrics WHERE api_calls = 424242") == 0
    statuses = {row["status"] for row in query(deployment.dagster, "SELECT status FROM runs")}
    assert statuses == {"SUCCESS", "FAILURE"}
    status = health_pipeline(deployment.settings, "status")
    assert status.returncode == 0, status.stderr
    (line,) = [line for line in status.stdout.splitlines() if " tenant_health_scores " in line]
    assert [cell.strip() for cell in line.strip("│").split("│")][1] == LAST.isoformat()
    assert line.strip("│").split("│")[3].strip() == ""


def wait_until_alone(url: str) -> None:
    """Until the server has seen that the killed process is gone, and rolled its transaction back."""
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    deadline = time.monotonic() + 20
    while value(url, others):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_second_migrate_says_the_same(deployment: Deployment) -> None:
    first = health_pipeline(deployment.settings, "migrate")
    assert (first.returncode, first.stderr) == (0, "")
    assert health_pipeline(deployment.settings, "migrate").stdout == first.stdout


def test_help_needs_nothing(tmp_path: Path) -> None:
    result = health_pipeline({"HEALTH_HOME": tmp_path / "home", "HEALTH_TIMEZONE": "nowhere"}, "--help")
    assert result.returncode == 0
    for command in ("demo", "backfill", "status", "migrate", "up", "psql"):
        assert command in result.stdout
    assert not (tmp_path / "home").exists()


def test_definitions_validate_from_the_projects_root() -> None:
    """Dagster opens its storage for that, which starts the embedded server: it must go, too."""
    with tempfile.TemporaryDirectory(prefix="health_pipeline_validate_") as folder:
        result = subprocess.run(
            [PROGRAM.with_name("dagster"), "definitions", "validate", "-w", "workspace.yaml"],
            env=environment({"HEALTH_HOME": folder}),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        left = processes_of(Path(folder))
        end_processes_of(Path(folder))
    assert result.returncode == 0, result.stderr
    assert "All code locations passed validation" in result.stderr + result.stdout
    assert left == []
