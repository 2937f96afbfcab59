"""Backfills as a user starts them: refused, failing, killed in the middle."""

from __future__ import annotations

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg2
import pytest
from click.testing import CliRunner

from health_pipeline.cli import main
from health_pipeline.days import DayRange
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.reference.hostile import hostile_source
from health_pipeline_tests.support.commands import (
    assert_one_line,
    health_pipeline,
    start,
)
from health_pipeline_tests.support.databases import all_rows, execute, query, value
from health_pipeline_tests.support.runs import TENANT_HEALTH
from health_pipeline_tests.support.sources import load_source

TODAY = datetime.now(UTC).date()
Result = subprocess.CompletedProcess[str]


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


def cases(folder: Path) -> list[Case]:
    """What a user can get wrong; the first few are also run as processes."""
    texts = {
        "policy": "tenant_health: {risk: {high_below: 61}}",
        "mapping": "tables: {users: {columns: {created_at: born_at}}}",
        "unknown": "tables: {people: {}}",
        "broken": "tables: [",
    }
    files = {name: folder / f"{name}.yaml" for name in texts}
    for name, text in texts.items():
        files[name].write_text(text)
    unreachable = "postgresql://me:topsecret@127.0.0.1:1/none"
    one_day = (FIRST, FIRST)
    return [
        (one_day, {"HEALTH_SOURCE_MAPPING": files["mapping"]}, ("source table users: column created_at", "'born_at'")),
        ((FIRST, TODAY), {}, (f"{TODAY} is not over yet in UTC",)),
        (one_day, {"HEALTH_WAREHOUSE_URL": unreachable}, ("HEALTH_WAREHOUSE_URL", "refused")),
        (one_day, {"HEALTH_POLICY": files["policy"]}, (f"policy {files['policy']}: tenant_health.risk: out of order",)),
        ((LAST, FIRST), {}, (f"--to {FIRST} lies before --from {LAST}",)),
        ((date(2023, 12, 31), FIRST), {}, ("2023-12-31 lies before the first partition 2024-01-01",)),
        (("2024-02-30", FIRST), {}, ("--from must be a date such as", "'2024-02-30'")),
        (one_day, {"HEALTH_TIMEZONE": "Berlin"}, ("HEALTH_TIMEZONE", "'Berlin'")),
        (one_day, {"HEALTH_MAX_BAD_SHARE": "2"}, ("HEALTH_MAX_BAD_SHARE", "'2'")),
        (one_day, {"HEALTH_POLICY": folder / "nowhere.yaml"}, ("nowhere.yaml: can't be read",)),
        (one_day, {"HEALTH_SOURCE_MAPPING": files["unknown"]}, ("tables.people: unknown logical table",)),
        (one_day, {"HEALTH_SOURCE_MAPPING": files["broken"]}, ("broken.yaml: is not valid YAML",)),
        (one_day, {"HEALTH_SOURCE_URL": unreachable}, ("HEALTH_SOURCE_URL", "refused")),
        (one_day, {"HEALTH_DAGSTER_URL": unreachable}, ("HEALTH_DAGSTER_URL", "refused")),
        (one_day, {"HEALTH_SOURCE_URL": "mysql://me:topsecret@host/db"}, ("HEALTH_SOURCE_URL must be",)),
        (one_day, {"HEALTH_SOURCE_URL": "duckdb://nowhere.duckdb"}, ("there is no DuckDB file nowhere.duckdb",)),
        (one_day, {"HEALTH_WAREHOUSE_URL": "duckdb://file"}, ("HEALTH_WAREHOUSE_URL must be",)),
        (one_day, {"HEALTH_DAGSTER_URL": "sqlite:///topsecret"}, ("HEALTH_DAGSTER_URL must be",)),
    ]


def arguments(first: date | str, last: date | str) -> tuple[str, ...]:
    return "backfill", "--from", str(first), "--to", str(last)


def assert_nothing_written(deployment: Deployment) -> None:
    for url in (deployment.warehouse, deployment.dagster):
        tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema IN ('health', 'public')"
        assert value(url, tables) == 0


def test_what_a_user_has_to_mend_is_one_line_and_exit_code_1(deployment: Deployment, tmp_path: Path) -> None:
    def run(case: Case) -> subprocess.CompletedProcess[str]:
        days, settings, _ = case
        return health_pipeline({**deployment.settings, **settings}, *arguments(*days))

    first_cases = cases(tmp_path)[:4]
    with ThreadPoolExecutor(2) as pool:
        for (_, _, parts), result in zip(first_cases, pool.map(run, first_cases), strict=True):
            assert_one_line(result, *parts)
            assert "topsecret" not in result.stderr
    assert_nothing_written(deployment)


def test_whatever_a_user_has_to_mend_nothing_is_written(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, within this process, which is quicker."""
    for days, settings, parts in cases(tmp_path):
        with monkeypatch.context() as patch:
            for name, text in {**deployment.settings, **settings}.items():
                patch.setenv(name, str(text))
            result = CliRunner().invoke(main, arguments(*days), catch_exceptions=False)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1, result.stderr
        assert all(part in result.stderr for part in parts), result.stderr
        assert "topsecret" not in result.stderr
    assert_nothing_written(deployment)


def test_migrate_twice(deployment: Deployment) -> None:
    first = health_pipeline(deployment.settings, "migrate")
    assert (first.returncode, first.stderr) == (0, "")
    assert health_pipeline(deployment.settings, "migrate").stdout == first.stdout


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
                time.sleep(0.002)
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
