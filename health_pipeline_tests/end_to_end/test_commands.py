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
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from health_pipeline.embedded import EmbeddedServer
from health_pipeline.orchestration.partitions import MAX_PARTITIONS_PER_RUN
from health_pipeline.tables.tenant_health import TENANT_HEALTH_TABLES
from health_pipeline_tests.support.commands import (
    PROGRAM,
    ROOT,
    assert_one_line,
    end_processes_of,
    environment,
    health_pipeline,
    processes_of,
    start,
)
from health_pipeline_tests.support.databases import query, value

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


_LAUNCH = """mutation($given: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $given) {
  ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
_PROGRESS = "query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }"


def backfill_from_the_ui(url: str, days: set[str]) -> str:
    """Launch a backfill of the tenant-health tables as the UI does; its state once it is over, or after a minute and a half."""
    tables = [{"path": [table.name]} for table in TENANT_HEALTH_TABLES]
    given = {"assetSelection": tables, "partitionNames": sorted(days)}
    launched = asked(url, {"query": _LAUNCH, "variables": {"given": given}})["data"]["launchPartitionBackfill"]
    question = {"query": _PROGRESS, "variables": {"id": launched["backfillId"]}}
    deadline = time.monotonic() + 90
    while True:
        state = str(asked(url, question)["data"]["partitionBackfillOrError"]["status"])
        if state not in ("REQUESTED", "COMPLETING") or time.monotonic() > deadline:
            return state
        time.sleep(0.5)


def test_up_serves_backfills_and_stops_with_everything(demo: Demo) -> None:
    port = free_port()
    server = start({"HEALTH_HOME": demo.home}, "up", "--port", str(port), cwd=demo.home)
    try:
        url = f"http://127.0.0.1:{port}"
        assert "dagster_version" in asked(f"{url}/server_info")
        (location,) = asked(f"{url}/graphql", {"query": _LOCATION})["data"]["repositoriesOrError"]["nodes"]
        assert "nightly" in {job["name"] for job in location["jobs"]}
        states = {schedule["name"]: schedule["scheduleState"]["status"] for schedule in location["schedules"]}
        assert states["nightly"] == "RUNNING"
        # More days than one run takes.
        days = days_between(YESTERDAY - timedelta(days=MAX_PARTITIONS_PER_RUN), YESTERDAY)
        assert backfill_from_the_ui(f"{url}/graphql", days) == "COMPLETED_SUCCESS"
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
