"""Asset checks: whether what stands in the warehouse makes sense. They look at the days of the run, or, run by themselves,
at the newest day."""

from collections.abc import Callable

import dagster as dg
import sqlalchemy as sa

from health_pipeline.connections import resolved_urls
from health_pipeline.days import DayRange
from health_pipeline.orchestration.partitions import run_days
from health_pipeline.settings import now, read_settings
from health_pipeline.systems.audit import tenants_at
from health_pipeline.systems.context import RunContext
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.quality import (
    Finding,
    jumps_in_high_risk,
    missing_tenants,
    newest_day,
    rows_other_than,
    scores_not_adding_up,
)

Query = Callable[[sa.Connection, DayRange], Finding]


def tenant_health_checks() -> list[dg.AssetChecksDefinition]:
    """The checks of the tenant-health tables."""
    return [
        _check("tenant_profiles", "rows_are_tenants_at_d", _rows_are_tenants_at_d, dg.AssetCheckSeverity.ERROR),
        _check("usage_metrics", "no_tenant_missing", missing_tenants("usage_metrics"), dg.AssetCheckSeverity.ERROR),
        _check(
            "feature_adoption", "no_tenant_missing", missing_tenants("feature_adoption"), dg.AssetCheckSeverity.ERROR
        ),
        _check(
            "tenant_health_scores",
            "no_tenant_missing",
            missing_tenants("tenant_health_scores"),
            dg.AssetCheckSeverity.ERROR,
        ),
        _check("tenant_health_scores", "scores_add_up", scores_not_adding_up, dg.AssetCheckSeverity.ERROR),
        _check("tenant_health_scores", "share_of_high_risk_is_steady", jumps_in_high_risk, dg.AssetCheckSeverity.WARN),
    ]


def _rows_are_tenants_at_d(connection: sa.Connection, days: DayRange) -> Finding:
    """Each day has as many rows as the source has tenants active at its end, counted anew from their dates."""
    settings = read_settings()
    urls = resolved_urls(settings)
    context = RunContext.of(settings, urls.source, urls.warehouse, "check", now())
    return rows_other_than(connection, days, tenants_at(context, days))


def _check(asset: str, name: str, query: Query, severity: dg.AssetCheckSeverity) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=asset, name=name, description=(query.__doc__ or "").strip())
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        with sql_connection(resolved_urls(read_settings()).warehouse) as connection:
            days = _checked_days(context, connection, asset)
            if days is None:
                return dg.AssetCheckResult(passed=True, description=f"{asset} has no rows yet")
            finding = query(connection, days)
        return dg.AssetCheckResult(
            passed=not finding.problems,
            severity=severity,
            description=finding.description,
            metadata={"days": f"{days.first} to {days.last}", "problems": finding.problems, **finding.figures},
        )

    return check


def _checked_days(context: dg.AssetCheckExecutionContext, connection: sa.Connection, asset: str) -> DayRange | None:
    if context.run.tags.get("dagster/partition") or context.run.tags.get("dagster/asset_partition_range_start"):
        return run_days(context)
    newest = newest_day(connection, asset)
    return DayRange(newest, newest) if newest else None
