"""status: how far the tables are, what is missing, how fresh the source is, and what was set apart."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import dagster as dg
from dagster._core.storage.partition_status_cache import AssetPartitionStatus
from rich.console import Console
from rich.table import Table as Screen

from health_pipeline.cli.preflight import checked_run
from health_pipeline.days import DayRange, merged
from health_pipeline.orchestration.instance import open_instance, report_dead_runs
from health_pipeline.orchestration.partitions import daily_partitions, sunday_partitions
from health_pipeline.settings import Settings, now, read_settings
from health_pipeline.sources.contract import SOURCE_TABLES
from health_pipeline.systems.context import RunContext
from health_pipeline.tables.catalogue import TABLES
from health_pipeline.tables.declare import Table
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.quality import newest_day
from health_pipeline.warehouse.records import quarantine_counts

_MOST_RANGES = 5


def show_status() -> None:
    """Print the state of the deployment."""
    settings = read_settings()
    urls = checked_run(settings)
    console = Console()
    with open_instance(settings) as instance, sql_connection(urls.warehouse) as connection:
        report_dead_runs(instance)
        screen = Screen("table", "newest day", "missing days", "failed days", title="Tables", title_justify="left")
        for table in TABLES.values():
            if table.cadence:
                missing, failed = _unfinished(instance, settings, table)
                screen.add_row(table.name, str(newest_day(connection, table.name) or "none"), missing, failed)
        console.print(screen)
        bad = quarantine_counts(connection)
    context = RunContext.of(settings, urls.source, urls.warehouse, "status", now())
    screen = Screen("source table", "newest fact", "rows set apart", title="Source", title_justify="left")
    with context.reading(is_recorded=False) as reader:
        for source in SOURCE_TABLES.values():
            if not reader.is_mapped(source):
                screen.add_row(source.name, "not mapped", "")
                continue
            newest = reader.newest_fact(source)
            shown = "no rows" if newest is None else f"{newest:%Y-%m-%d %H:%M:%S} UTC"
            screen.add_row(source.name, shown, str(bad.get(source.name, 0)))
    console.print(screen)


def _unfinished(instance: dg.DagsterInstance, settings: Settings, table: Table) -> tuple[str, str]:
    """Partitions that are missing since the first one that is there, and those whose last run failed, as ranges."""
    partitions = daily_partitions(settings) if table.cadence == "daily" else sunday_partitions(settings)
    keys = partitions.get_partition_keys()
    statuses = instance.get_status_by_partition(dg.AssetKey(table.name), keys, partitions) or {}
    done = {key for key, status in statuses.items() if status == AssetPartitionStatus.MATERIALIZED}
    failed = {key for key, status in statuses.items() if status == AssetPartitionStatus.FAILED}
    if not done and not failed:
        return "all", ""
    first = min(done | failed)
    missing = [key for key in keys if key > first and key not in done and key not in failed]
    return _ranges(missing), _ranges(sorted(failed))


def _ranges(keys: Iterable[str]) -> str:
    days = merged(*(DayRange(day, day) for day in map(date.fromisoformat, keys)))
    texts = [str(r.first) if len(r) == 1 else f"{r.first} to {r.last}" for r in days[:_MOST_RANGES]]
    more = sum(len(r) for r in days[_MOST_RANGES:])
    return ", ".join(texts) + (f" and {more} more days" if more else "")
