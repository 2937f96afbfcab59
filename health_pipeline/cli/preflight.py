"""What a command checks before it starts a run, so that a user's error is one line and nothing is written."""

from __future__ import annotations

from health_pipeline.connections import Urls, resolved_urls
from health_pipeline.settings import Settings, now
from health_pipeline.systems.common import tenant_named
from health_pipeline.systems.context import RunContext
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.migrate import migrate


def checked_run(settings: Settings, tenant: str | None = None) -> Urls:
    """The URLs, once policy, mapping, source and both databases are known to work; the warehouse is migrated.

    Raises UserError for the first of them that doesn't.
    """
    urls = resolved_urls(settings)
    context = RunContext.of(settings, urls.source, urls.warehouse, "check", now())
    with sql_connection(urls.warehouse):
        pass
    with sql_connection(urls.dagster, "HEALTH_DAGSTER_URL", "Dagster's storage"):
        pass
    with context.reading(is_recorded=False) as reader:
        if tenant is not None:
            tenant_named(reader, tenant)
    migrate(urls.warehouse)
    return urls
