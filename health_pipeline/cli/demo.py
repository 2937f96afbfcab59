"""demo: from nothing to scored tenants. An invented application, real runs, and what they say."""

from __future__ import annotations

from datetime import date, timedelta

import dagster as dg
import sqlalchemy as sa
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from health_pipeline.cli.backfill import backfill_days
from health_pipeline.cli.preflight import checked_run
from health_pipeline.cli.summary import show_summary
from health_pipeline.connections import resolved_urls
from health_pipeline.days import DayRange
from health_pipeline.errors import SettingError
from health_pipeline.orchestration.instance import open_instance
from health_pipeline.settings import Settings, now, read_settings
from health_pipeline.tables.catalogue import GROUPS, SCHEMA, TABLES
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.migrate import migrate

SHOWN_DAYS = 30


def run_demo(*, tenants: int, days: int, seed: int) -> int:
    """Fill the embedded application database, materialise its last days, show the result; returns the exit code."""
    settings = _embedded_settings()
    console = Console()
    last = min(settings.last_day(now()), now().date() - timedelta(days=1))
    with console.status("Starting the embedded PostgreSQL …"):
        urls = resolved_urls(settings)
        migrate(urls.warehouse)
    _fill_application(console, urls.source, tenants=tenants, days=days, seed=seed, last=last)
    checked_run(settings)
    first = max(settings.start_date, last - timedelta(days=min(SHOWN_DAYS, days) - 1))
    with open_instance(settings) as instance:
        _forget_earlier_demo(instance, urls.warehouse)
        code = backfill_days(console, instance, DayRange(first, last), GROUPS, None)
    if code == 0:
        with sql_connection(urls.warehouse) as connection:
            show_summary(console, connection)
    return code


def _embedded_settings() -> Settings:
    settings = read_settings()
    given = {
        "HEALTH_SOURCE_URL": settings.source_url,
        "HEALTH_SOURCE_MAPPING": settings.source_mapping,
        "HEALTH_WAREHOUSE_URL": settings.warehouse_url,
        "HEALTH_DAGSTER_URL": settings.dagster_url,
    }
    for name, value in given.items():
        if value is not None:
            raise SettingError(
                f"the demo writes invented data and only into the embedded databases; unset {name} to run it"
            )
    return settings


def _fill_application(console: Console, url: str, *, tenants: int, days: int, seed: int, last: date) -> None:
    from health_pipeline.demo.generate import generate
    from health_pipeline.demo.load import load

    with console.status(f"Inventing an application with {tenants} tenants and {days} days of facts …"):
        tables = generate(tenants=tenants, days=days, seed=seed, last_day=last)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} rows"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("application data", total=sum(table.num_rows for table in tables.values()))
        load(url, tables, progress=lambda _, rows: progress.advance(task, rows))


def _forget_earlier_demo(instance: dg.DagsterInstance, warehouse_url: str) -> None:
    """Days of an earlier demo are of another invented application: they go, here and in Dagster's records."""
    computed = [table.name for table in TABLES.values() if table.cadence] + ["quarantined_rows"]
    with sql_connection(warehouse_url) as connection:
        connection.execute(sa.text("TRUNCATE " + ", ".join(f"{SCHEMA}.{name}" for name in computed)))
    instance.wipe_assets([dg.AssetKey(table.name) for table in TABLES.values() if table.cadence])
