"""Commands and their arguments. Heavy modules are imported by the command that needs them, so that --help is instant."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from health_pipeline.errors import UserError
from health_pipeline.settings import parsed_date

SYSTEMS = ("tenant_health", "order_health", "client_success")


@contextmanager
def _imports() -> Iterator[None]:
    """Imports inside are not searched for garbage, of which they make none: it took a fifth of a command's start."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Commands(click.Group):
    """Shows a user's error as one line and exits with 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Daily customer-health tables from your application's own data.

    Settings come from the environment (HEALTH_SOURCE_URL, HEALTH_WAREHOUSE_URL, …); with none set, an embedded PostgreSQL
    in .health holds a demo application, the warehouse and Dagster's storage.
    """
    # Read by Dagster whenever it stores an event: in batches, a range run takes a fraction of the time.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "500")


@main.command()
@click.option("--tenants", default=200, show_default=True, type=click.IntRange(1, 20_000), help="Tenants to invent.")
@click.option("--days", default=150, show_default=True, type=click.IntRange(1, 1_000), help="Days of facts to invent.")
@click.option("--seed", default=7, show_default=True, type=click.IntRange(0), help="The same seed gives the same data.")
def demo(tenants: int, days: int, seed: int) -> None:
    """Invent an application, run the pipeline over its last 30 days, and show who is at risk."""
    with _imports():
        from health_pipeline.cli.demo import run_demo

    sys.exit(run_demo(tenants=tenants, days=days, seed=seed))


@main.command()
@click.option("--from", "first", required=True, metavar="DATE", help="The first day, such as 2024-01-31.")
@click.option("--to", "last", required=True, metavar="DATE", help="The last day, included.")
@click.option("--only", type=click.Choice(SYSTEMS), help="One system's tables instead of all.")
@click.option("--tenant", metavar="ID", help="Replace only this tenant's rows (its tenant_id or slug).")
def backfill(first: str, last: str, only: str | None, tenant: str | None) -> None:
    """Materialise a range of days through Dagster, in recorded runs; exit 0 only if every partition is."""
    with _imports():
        from health_pipeline.cli.backfill import run_backfill

    sys.exit(run_backfill(parsed_date("--from", first), parsed_date("--to", last), only, tenant))


@main.command()
def status() -> None:
    """The newest day per table, missing and failed days, source freshness, quarantined rows."""
    with _imports():
        from health_pipeline.cli.status import show_status

    show_status()


@main.command()
def migrate() -> None:
    """Bring the warehouse schema to the current version."""
    from health_pipeline.connections import resolved_urls
    from health_pipeline.orchestration.instance import dagster_home
    from health_pipeline.settings import read_settings
    from health_pipeline.warehouse.migrate import migrate as migrate_warehouse

    settings = read_settings()
    migrate_warehouse(resolved_urls(settings).warehouse)
    # Dagster's own services look for this version's settings there.
    dagster_home(settings)
    click.echo("The warehouse schema health is at the current version.")


@main.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port of the UI.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; the UI has no login.")
def up(port: int, host: str) -> None:
    """Serve the Dagster UI with its daemon and the nightly schedule, until Ctrl-C."""
    from health_pipeline.cli.up import serve

    sys.exit(serve(host, port))


@main.command()
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the warehouse (arguments are handed on, after --), or print how to connect."""
    from health_pipeline.cli.psql import open_psql

    sys.exit(open_psql(arguments))


@main.group()
def alerts() -> None:
    """What staff say about alerts."""


@alerts.command("ack")
@click.argument("key")
@click.option("--by", required=True, metavar="NAME", help="Who takes care of it.")
@click.option("--note", metavar="TEXT", help="What was done.")
def acknowledge(key: str, by: str, note: str | None) -> None:
    """Acknowledge the alert with this KEY (health.momentum_alerts shows it)."""
    from health_pipeline.cli.people import acknowledge_alert

    acknowledge_alert(key, by, note)


@main.group()
def insights() -> None:
    """What clients and staff did with insights."""


@insights.command("mark")
@click.argument("key")
@click.argument("action", type=click.Choice(["read", "dismissed", "acted_on"]))
@click.option("--by", required=True, metavar="NAME", help="Who did it.")
def mark(key: str, action: str, by: str) -> None:
    """Record what was done with the insight with this KEY (health.insight_status shows it)."""
    from health_pipeline.cli.people import mark_insight

    mark_insight(key, action, by)


@main.group()
def emails() -> None:
    """The weekly mails."""


@emails.command("send")
def send() -> None:
    """Send what waits of the newest week, each mail at most once: over HEALTH_SMTP_URL, or as .eml files."""
    from health_pipeline.cli.people import send_emails

    send_emails()
