"""Running tenant health from a source into a warehouse, without Dagster."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

from health_pipeline.days import DayRange
from health_pipeline.settings import read_settings
from health_pipeline.systems.context import RunContext
from health_pipeline.systems.tenant_health import TenantHealth, run_tenant_health
from health_pipeline.tables.tenant_health import TENANT_HEALTH_TABLES

TENANT_HEALTH = frozenset(table.name for table in TENANT_HEALTH_TABLES)


def context_for(
    source: str, warehouse: str, clock: datetime, *, zone: str = "UTC", run_id: str = "run", **settings: str | Path
) -> RunContext:
    """The context of a run; settings are named as in the environment, without HEALTH_ and in small letters."""
    environment: dict[str, Any] = {f"HEALTH_{name.upper()}": str(given) for name, given in settings.items()}
    return RunContext.of(
        read_settings({"HEALTH_TIMEZONE": zone, **environment}), source, warehouse, run_id=run_id, clock=clock
    )


def run(
    context: RunContext, first: date, last: date, names: frozenset[str] = TENANT_HEALTH, tenant: str | None = None
) -> TenantHealth:
    """One run over a range of days."""
    return run_tenant_health(context, DayRange(first, last), names, tenant)
