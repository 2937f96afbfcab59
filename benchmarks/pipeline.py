"""The pipeline itself: the real Dagster job for the tenant-health tables, in a process that is warm."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from benchmarks.databases import execute, recreate
from benchmarks.measuring.stages import Point, StageClock
from benchmarks.plan import Plan
from health_pipeline.days import DayRange
from health_pipeline.tables.catalogue import SCHEMA
from health_pipeline.tables.tenant_health import TENANT_HEALTH_TABLES

_NAMES = [table.name for table in TENANT_HEALTH_TABLES]
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def pipeline_runs(plan: Plan, clock: StageClock) -> Iterator[dict[str, int]]:
    """Run the range again and again; before each, the warehouse is as a night finds it: with the day before, and no later one.

    Leaves the database plan.prepared behind, which is that state, and in the warehouse the rows of the last run.
    """
    # Checks are put together when definitions are loaded, so the clock comes first.
    clock.attach(_points())
    from health_pipeline.orchestration.instance import open_instance
    from health_pipeline.settings import read_settings

    with open_instance(read_settings()) as instance:
        recreate(plan.server, _name(plan.warehouse))
        _run(instance, plan.day_before)
        recreate(plan.server, plan.prepared, template=_name(plan.warehouse))
        while True:
            restore_warehouse(plan)
            clock.costs = {}
            with clock.stage("Dagster"):
                _run(instance, plan.days)
            yield written_rows(plan)


def restore_warehouse(plan: Plan) -> None:
    """Let the warehouse be as it was before the range, and the server at rest."""
    recreate(plan.server, _name(plan.warehouse), template=plan.prepared)
    execute(plan.server, "CHECKPOINT")


def written_rows(plan: Plan) -> dict[str, int]:
    """Rows of the range in the warehouse, by table."""
    query = f"SELECT count(*) FROM {SCHEMA}.{{}} WHERE metric_date BETWEEN %(first)s AND %(last)s"
    return {name: execute(plan.warehouse, query.format(name), plan.parameters)[0][0] for name in _NAMES}


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]


def _run(instance: dg.DagsterInstance, days: DayRange) -> None:
    from health_pipeline.orchestration.definitions import defs
    from health_pipeline.orchestration.jobs import NIGHTLY
    from health_pipeline.orchestration.partitions import range_tags

    # As cli/backfill.py runs it.
    result = defs.resolve_job_def(NIGHTLY).execute_in_process(
        instance=instance,
        tags=range_tags(days),
        asset_selection=[dg.AssetKey(name) for name in _NAMES],
        run_config=_QUIET,
    )
    assert result.success


def _points() -> list[Point]:
    """Where the stages are in the pipeline."""
    from health_pipeline.orchestration import checks, system_assets
    from health_pipeline.orchestration import tenant_health as assets
    from health_pipeline.sources.counted import CountedRows
    from health_pipeline.sources.postgres import PostgresConnector
    from health_pipeline.sources.reader import SourceReader
    from health_pipeline.systems import tenant_health as system
    from health_pipeline.systems.context import RunContext
    from health_pipeline.warehouse.writer import Writer

    return [
        Point(system_assets, "migrate", "migrate"),
        Point(checks, "_rows_are_tenants_at_d", "asset checks"),
        Point(checks, "scores_not_adding_up", "asset checks"),
        Point(checks, "jumps_in_high_risk", "asset checks"),
        Point(checks, "missing_tenants", "asset checks", "factory"),
        Point(assets, "run_tenant_health", "compute"),
        Point(RunContext, "reading", "read", "context"),
        Point(PostgresConnector, "load", "read"),
        Point(PostgresConnector, "load_aside", "read", "factory"),
        Point(SourceReader, "read", "check rows"),
        Point(CountedRows, "groups", "check rows"),
        Point(SourceReader, "check_share", "check rows"),
        Point(system, "writing", "write", "context"),
        Point(system, "meanwhile", "write", "context"),
        Point(Writer, "replace", "write"),
        Point(system, "_write_records", "write"),
        Point(system, "record_policy", "write"),
        Point(system, "_kept", "compute"),
        Point(system, "_of_adoption", "compute", "generator"),
        Point(system, "validated", "validate"),
        Point(system, "as_arrow", "write"),
    ]
