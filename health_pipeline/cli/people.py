"""alerts, insights, emails: what people do, kept in tables that no run rewrites."""

from __future__ import annotations

import click
from rich.progress import Progress

from health_pipeline.connections import resolved_urls
from health_pipeline.emails.delivery import deliver_emails
from health_pipeline.settings import now, read_settings
from health_pipeline.warehouse import actions
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.migrate import migrate


def acknowledge_alert(key: str, by: str, note: str | None) -> None:
    """Acknowledge an alert. Raises UserError for an unknown key."""
    with sql_connection(_warehouse()) as connection:
        actions.acknowledge_alert(connection, key, by, note)
    click.echo(f"Alert {key} is acknowledged by {by}.")


def mark_insight(key: str, action: str, by: str) -> None:
    """Record what was done with an insight. Raises UserError for an unknown key."""
    with sql_connection(_warehouse()) as connection:
        actions.mark_insight(connection, key, action, by)
    click.echo(f"Insight {key} is marked {action} by {by}.")


def send_emails() -> None:
    """Send the newest week's mails that wait, and say how the week stands."""
    settings = read_settings()
    with Progress() as progress:
        task = progress.add_task("mails", total=None)
        delivery = deliver_emails(
            _warehouse(),
            settings.mail,
            settings.calendar,
            now(),
            lambda done, total: progress.update(task, completed=done, total=total),
        )
    states = ", ".join(f"{count} {status}" for status, count in sorted(delivery.statuses.items())) or "none"
    click.echo(f"Week of {delivery.week}: {delivery.sent_now} sent now, {delivery.waiting} waiting; so far {states}.")


def _warehouse() -> str:
    url = resolved_urls(read_settings()).warehouse
    migrate(url)
    return url
