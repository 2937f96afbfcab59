"""status: how far the tables are, what is missing, how fresh the source is, what was set apart, whom nobody told."""

from __future__ import annotations

from collections.abc import Mapping, Set
from datetime import datetime

import dagster as dg
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table as Screen

from health_pipeline.cli.preflight import checked_run
from health_pipeline.orchestration.instance import open_instance
from health_pipeline.orchestration.nights import NIGHTLY_JOBS
from health_pipeline.orchestration.partition_states import listed, partition_states
from health_pipeline.orchestration.workers import report_dead_runs
from health_pipeline.settings import Settings, now, read_settings
from health_pipeline.sources.contract import SOURCE_TABLES
from health_pipeline.systems.context import RunContext
from health_pipeline.tables.catalogue import TABLES
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.operations import stopped_sources, undelivered_notifications, unscored_counts
from health_pipeline.warehouse.quality import newest_day
from health_pipeline.warehouse.records import quarantine_counts


def show_status() -> None:
    """Print the state of the deployment."""
    settings, clock = read_settings(), now()
    urls = checked_run(settings)
    console = Console()
    with open_instance(settings) as instance, sql_connection(urls.warehouse) as connection:
        report_dead_runs(instance)
        console.print(_tables(instance, connection, settings, clock))
        set_apart, stopped = quarantine_counts(connection), stopped_sources(connection)
        lines = [
            f"tenants without a score on the newest day: {_counted(unscored_counts(connection))}",
            f"notifications not known to be delivered: {_counted(undelivered_notifications(connection))}",
        ]
    context = RunContext.of(settings, urls.source, urls.warehouse, "status", clock)
    console.print(_sources(context, set_apart, stopped))
    for line in lines:
        console.print(line, highlight=False)


def _tables(instance: dg.DagsterInstance, connection: sa.Connection, settings: Settings, clock: datetime) -> Screen:
    screen = Screen("table", "newest day", "missing days", "failed days", title="Tables", title_justify="left")
    newest = {job.cadence: job.due(settings, clock).newest for job in NIGHTLY_JOBS}
    for table in TABLES.values():
        if table.cadence:
            states = partition_states(instance, settings, table.name, newest[table.cadence])
            has_any = states.materialized or states.failed or states.running
            missing = listed(states.missing) if has_any else "all"
            screen.add_row(
                table.name, str(newest_day(connection, table.name) or "none"), missing, listed(states.failed)
            )
    return screen


def _sources(context: RunContext, set_apart: Mapping[str, int], stopped: Set[str]) -> Screen:
    screen = Screen("source table", "newest fact", "state", "rows set apart", title="Source", title_justify="left")
    with context.reading(is_recorded=False) as reader:
        facts = reader.newest_facts(source.name for source in SOURCE_TABLES.values() if reader.is_mapped(source))
        for source in SOURCE_TABLES.values():
            if source.name not in facts:
                screen.add_row(source.name, "not mapped", "", "")
                continue
            newest = facts[source.name]
            shown = "no rows" if newest is None else f"{newest:%Y-%m-%d %H:%M:%S} UTC"
            state = "stopped" if source.name in stopped else ""
            screen.add_row(source.name, shown, state, str(set_apart.get(source.name, 0)))
    return screen


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
