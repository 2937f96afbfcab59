"""Real runs of the nightly job: ranges, metadata, checks, failures and retries."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import dagster as dg
import pandas as pd
import psycopg2
import pytest

from health_pipeline.days import DayRange
from health_pipeline.orchestration.definitions import defs
from health_pipeline.orchestration.jobs import NIGHTLY, schedules
from health_pipeline.settings import now, read_settings
from health_pipeline.systems import tenant_health
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.reference import quality
from health_pipeline_tests.reference.contract import Source
from health_pipeline_tests.reference.hostile import hostile_source
from health_pipeline_tests.support.compare import Rows
from health_pipeline_tests.support.databases import administer, all_rows, execute, value
from health_pipeline_tests.support.deployment import Deployment, attempts, deployed, failure
from health_pipeline_tests.support.runs import TENANT_HEALTH
from health_pipeline_tests.support.sources import load_source

STEP = "tenant_health"
DAYS = DayRange(date(2024, 3, 1), date(2024, 3, 3))
CHECKS = {
    ("tenant_profiles", "rows_are_tenants_at_d"),
    ("usage_metrics", "no_tenant_missing"),
    ("feature_adoption", "no_tenant_missing"),
    ("tenant_health_scores", "no_tenant_missing"),
    ("tenant_health_scores", "scores_add_up"),
    ("tenant_health_scores", "share_of_high_risk_is_steady"),
}
STANDING = {("tenant_health_scores", "no_day_missing")}


@pytest.fixture(scope="module")
def source() -> Source:
    return hostile_source(1, tenants=12, days=(DAYS.first, DAYS.last), clock=datetime(2024, 3, 20, tzinfo=UTC))


@pytest.fixture
def deployment(
    monkeypatch: pytest.MonkeyPatch, new_database: NewDatabase, warehouse: str, source: Source, tmp_path: Path
) -> Iterator[Deployment]:
    url = load_source("postgresql", source, tmp_path, new_database)
    with deployed(monkeypatch, tmp_path / "home", url, warehouse, new_database()) as deployment:
        yield deployment


def contents(deployment: Deployment) -> dict[str, Rows]:
    return all_rows(deployment.warehouse, STEP)


def check_results(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], bool]:
    return {
        (evaluation.asset_key.to_user_string(), evaluation.check_name): evaluation.passed
        for evaluation in result.get_asset_check_evaluations()
    }


def test_a_range_in_one_run(deployment: Deployment) -> None:
    result = deployment.run(DAYS)
    assert result.success
    assert attempts(result, STEP) == 1
    (run,) = deployment.instance.get_runs()
    assert run.status == dg.DagsterRunStatus.SUCCESS

    rows = contents(deployment)
    for table in TENANT_HEALTH:
        key = dg.AssetKey(table)
        assert deployment.instance.get_materialized_partitions(key) == {day.isoformat() for day in DAYS}
        per_day = Counter(row["metric_date"] for row in rows[table].values())
        found = deployment.metadata(table)
        assert {day: found[day]["dagster/partition_row_count"] for day in DAYS} == per_day
        # What a run met is told with every table, as counts.
        assert found[DAYS.first]["unmapped_tables"] == []
        assert found[DAYS.first]["rows_read"]["tenants"] == value(deployment.source, "SELECT count(*) FROM app.tenants")
        recorded = value(deployment.warehouse, "SELECT count(*) FROM health.quarantined_rows")
        assert found[DAYS.first]["quarantined_rows"] == recorded > 20

    scores = rows["tenant_health_scores"].values()
    for day, figures in deployment.metadata("tenant_health_scores").items():
        levels = Counter(row["risk_level"] or "unscored" for row in scores if row["metric_date"] == day)
        assert {level: figures[f"risk_{level.lower()}"] for level in ("LOW", "MEDIUM", "HIGH", "unscored")} == {
            level: levels[level] for level in ("LOW", "MEDIUM", "HIGH", "unscored")
        }
    assert all(
        check_results(result)[check] for check in CHECKS - {("tenant_health_scores", "share_of_high_risk_is_steady")}
    )
    assert check_results(result).keys() == CHECKS | STANDING


def test_some_tables_of_one_day(deployment: Deployment) -> None:
    """The tables that are not selected are neither written nor marked as materialised."""
    one_day = DayRange(DAYS.last, DAYS.last)
    result = deployment.run(one_day, ["usage_metrics", "peer_benchmarks"])
    assert result.success
    assert {name for name, rows in contents(deployment).items() if rows} == {"usage_metrics", "peer_benchmarks"}
    for table in TENANT_HEALTH:
        expected = {DAYS.last.isoformat()} if table in ("usage_metrics", "peer_benchmarks") else set()
        assert deployment.instance.get_materialized_partitions(dg.AssetKey(table)) == expected


def test_one_tenant_counts_as_no_materialisation(deployment: Deployment, source: Source) -> None:
    good, _ = quality.split(source, now())
    tenant = next(row["tenant_id"] for row in good["tenants"] if row["deactivated_at"] is None)
    result = deployment.run(DAYS, **{"health/tenant": tenant})
    assert result.success
    rows = contents(deployment)
    assert {row["tenant_id"] for row in rows["usage_metrics"].values()} == {tenant}
    for table in TENANT_HEALTH:
        assert deployment.instance.get_materialized_partitions(dg.AssetKey(table)) == set()


def marked(deployment: Deployment) -> dict[str, Rows]:
    """The tables after a first run, with a mark in one of them that a second run would wipe out."""
    assert deployment.run(DAYS).success
    execute(deployment.warehouse, "UPDATE health.usage_metrics SET api_calls = 424242")
    execute(deployment.warehouse, "UPDATE health.tenant_profiles SET name = 'of the first run'")
    return contents(deployment)


def assert_untouched(deployment: Deployment, before: dict[str, Rows]) -> None:
    assert contents(deployment) == before
    assert len(deployment.metadata("usage_metrics")) == len(DAYS)
    statuses = [run.status for run in deployment.instance.get_runs()]
    assert statuses == [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]


def test_too_many_bad_rows_leave_the_old_partition_and_their_records(deployment: Deployment) -> None:
    before = marked(deployment)
    execute(
        deployment.source,
        "INSERT INTO app.users (user_id, tenant_id, created_at)"
        " SELECT 'stray ' || n, 'nowhere', '2024-01-01Z' FROM generate_series(1, 500) AS n",
    )
    result = deployment.run(DAYS)
    assert attempts(result, STEP) == 1
    message = failure(result)
    bad = value(deployment.warehouse, "SELECT count(*) FROM health.quarantined_rows WHERE source_table = 'users'")
    assert bad >= 500
    assert f"users: {bad} of {value(deployment.source, 'SELECT count(*) FROM app.users')} rows" in message
    assert_untouched(deployment, before)
    # None of the checks ran on what was not written.
    assert check_results(result) == {}


def test_rows_that_break_the_declaration_leave_the_old_partition(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = marked(deployment)
    compute = tenant_health.tenant_health_scores

    def broken(*arguments: Any) -> pd.DataFrame:
        scores = compute(*arguments)
        return scores.assign(overall_score=scores["overall_score"] + 1000)

    monkeypatch.setattr(tenant_health, "tenant_health_scores", broken)
    result = deployment.run(DAYS)
    assert attempts(result, STEP) == 1
    assert "tenant_health_scores: computed rows break the table's declaration; overall_score" in failure(result)
    assert_untouched(deployment, before)


def test_an_error_of_the_user_is_not_retried(deployment: Deployment) -> None:
    execute(deployment.source, "ALTER TABLE app.users RENAME created_at TO born_at")
    result = deployment.run(DAYS)
    assert attempts(result, STEP) == 1
    assert "source table users: column created_at was looked for as 'created_at' in app.users" in failure(result)
    assert all(not rows for rows in contents(deployment).values())


def test_a_lock_that_is_held_is_waited_for_in_a_second_attempt(deployment: Deployment) -> None:
    name = urlsplit(deployment.warehouse).path[1:]
    administer(deployment.warehouse, f"ALTER DATABASE {name} SET lock_timeout = '200ms'")
    holder = psycopg2.connect(deployment.warehouse)
    with ThreadPoolExecutor(1) as pool, holder.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('health'), hashtext('usage_metrics'))")
        running = pool.submit(deployment.run, DayRange(DAYS.last, DAYS.last))
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not value(deployment.warehouse, waiting) and not running.done():
            threading.Event().wait(0.02)
        threading.Event().wait(1)
        holder.rollback()
        result = running.result()
    holder.close()
    assert result.success
    assert attempts(result, STEP) == 2
    assert contents(deployment)["usage_metrics"]


TAMPERINGS: list[tuple[str, set[tuple[str, str]]]] = [
    (
        "DELETE FROM health.usage_metrics WHERE tenant_id = (SELECT min(tenant_id) FROM health.usage_metrics)",
        {("usage_metrics", "no_tenant_missing")},
    ),
    (
        "DELETE FROM health.feature_adoption WHERE tenant_id = (SELECT min(tenant_id) FROM health.feature_adoption)",
        {("feature_adoption", "no_tenant_missing")},
    ),
    (
        "UPDATE health.tenant_health_scores SET tenant_id = 'stranger' WHERE tenant_id = (SELECT min(tenant_id)"
        " FROM health.tenant_health_scores)",
        {("tenant_health_scores", "no_tenant_missing")},
    ),
    (
        "UPDATE health.tenant_health_scores SET overall_score = (overall_score + 1) % 101",
        {("tenant_health_scores", "scores_add_up")},
    ),
    (
        "UPDATE health.tenant_health_scores SET risk_level = CASE WHEN metric_date = '2024-03-03' THEN 'HIGH' ELSE 'LOW' END",
        {("tenant_health_scores", "share_of_high_risk_is_steady")},
    ),
    (
        "DELETE FROM health.tenant_profiles WHERE tenant_id = (SELECT min(tenant_id) FROM health.tenant_profiles)",
        {
            ("tenant_profiles", "rows_are_tenants_at_d"),
            ("usage_metrics", "no_tenant_missing"),
            ("feature_adoption", "no_tenant_missing"),
            ("tenant_health_scores", "no_tenant_missing"),
        },
    ),
]


def test_checks_by_themselves_find_what_is_wrong(deployment: Deployment) -> None:
    assert deployment.run(DAYS).success
    backup = "CREATE TABLE public.{0} AS SELECT * FROM health.{0}"
    restore = ("TRUNCATE health.{0}", "INSERT INTO health.{0} SELECT * FROM public.{0}")
    execute(deployment.warehouse, "UPDATE health.tenant_health_scores SET risk_level = 'LOW'")
    for table in TENANT_HEALTH:
        execute(deployment.warehouse, backup.format(table))
    assert {check for check, passed in check_results(deployment.run_checks()).items() if not passed} == set()
    for tampering, found in TAMPERINGS:
        execute(deployment.warehouse, tampering)
        results = check_results(deployment.run_checks())
        assert {check for check, passed in results.items() if not passed} == found, tampering
        for table in TENANT_HEALTH:
            execute(deployment.warehouse, *(statement.format(table) for statement in restore))


_LOAD = """
import json, os, sys
from health_pipeline.orchestration.definitions import defs
defs.resolve_asset_graph()
print(json.dumps({"home": os.path.exists(os.environ["HEALTH_HOME"]), "batch": os.environ["DAGSTER_EVENT_BATCH_SIZE"]}))
"""


@pytest.mark.parametrize("has_urls", [True, False])
def test_definitions_load_in_a_fresh_interpreter_without_connecting(tmp_path: Path, has_urls: bool) -> None:
    """With databases that can't be reached, and without any: nothing is started, nothing written."""
    unreachable = "postgresql://nobody@127.0.0.1:1/none"
    urls = {f"HEALTH_{name}_URL": unreachable for name in ("SOURCE", "WAREHOUSE", "DAGSTER")} if has_urls else {}
    environment = {**urls, "HEALTH_HOME": str(tmp_path / "home"), "PYTHONPATH": str(Path(__file__).parents[2])}
    loaded = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", _LOAD],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(loaded.stdout) == {"home": False, "batch": "500"}
    assert list(tmp_path.iterdir()) == []


SNAPSHOT = {
    "tenant_profiles": {"source/tenants"},
    "usage_metrics": {
        *("source/tenants", "source/users", "source/events", "source/cases", "source/campaigns"),
        *("source/campaign_assignments", "source/support_tickets"),
    },
    "feature_adoption": {"source/tenants", "source/events", "source/feature_entitlements"},
    "tenant_health_scores": {"source/tenants", "usage_metrics", "feature_adoption"},
    "peer_benchmarks": {"tenant_health_scores", "usage_metrics", "tenant_profiles"},
    "tenant_peer_ranks": {"tenant_health_scores", "usage_metrics", "tenant_profiles"},
}


def test_the_assets_of_tenant_health() -> None:
    graph = defs.resolve_asset_graph()
    nodes = {
        key.to_user_string(): graph.get(key)
        for key in graph.materializable_asset_keys
        if graph.get(key).group_name == "tenant_health"
    }
    assert {name: {key.to_user_string() for key in node.parent_keys} for name, node in nodes.items()} == SNAPSHOT
    for name, node in nodes.items():
        assert isinstance(node.partitions_def, dg.DailyPartitionsDefinition)
        assert node.partitions_def.start == datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC"))
        assert node.partitions_def.timezone == "UTC"
        assert node.backfill_policy is not None
        assert node.backfill_policy.max_partitions_per_run == 90
        assert node.owners == ["team:data-engineering"]
        assert node.kinds == {"postgres", "duckdb"}
        assert node.description
        columns = node.metadata["dagster/column_schema"].value.columns
        assert [column.name for column in columns][:2] == [
            "metric_date",
            {"peer_benchmarks": "metric_name"}.get(name, "tenant_id"),
        ]
        assert all(column.description for column in columns)
    checks = {(check.asset_key.to_user_string(), check.name) for check in graph.asset_check_keys}
    assert {check for check in checks if check[0] in TENANT_HEALTH} == CHECKS | STANDING


def test_sources_are_external_assets() -> None:
    graph = defs.resolve_asset_graph()
    sources = {key for key in graph.get_all_asset_keys() if graph.get(key).group_name == "source"}
    assert len(sources) == 12
    assert all(graph.get(key).is_external for key in sources)


def test_the_nightly_job_and_its_schedule() -> None:
    repository = defs.get_repository_def()
    job = repository.get_job(NIGHTLY)
    assert {dg.AssetKey(name) for name in TENANT_HEALTH} <= job.asset_layer.selected_asset_keys
    schedule = repository.get_schedule_def(NIGHTLY)
    assert (schedule.job_name, schedule.cron_schedule) == (NIGHTLY, "0 2 * * *")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


SCHEDULES = {
    "nightly": ("0 2 * * *", True),
    "nightly_sundays": ("0 2 * * 0", True),
    "standing_checks": ("30 0,6,12,18 * * *", True),
    "housekeeping": ("0 5 * * 1", True),
    "deliver_emails": ("0 8 * * 0", False),
}


def test_all_schedules_in_the_pipelines_zone() -> None:
    found = schedules(read_settings({"HEALTH_TIMEZONE": "Pacific/Kiritimati"}))
    assert {s.name: (s.cron_schedule, s.default_status == dg.DefaultScheduleStatus.RUNNING) for s in found} == SCHEDULES
    assert {s.name: s.job_name for s in found} == {name: name for name in SCHEDULES}
    assert {s.execution_timezone for s in found} == {"Pacific/Kiritimati"}


def test_the_sensor_of_missed_nights_runs_by_default() -> None:
    sensor = defs.get_repository_def().get_sensor_def("missed_nights")
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
    assert {job.name for job in sensor.jobs} == {"nightly", "nightly_sundays"}
