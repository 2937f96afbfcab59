"""Asset checks: whether what stands in the warehouse makes sense. Those of a night's tables look at the days of the run, or,
run by themselves, at the newest day; the standing ones look at all days."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date

import dagster as dg
import sqlalchemy as sa

from health_pipeline.connections import resolved_urls
from health_pipeline.days import DayRange
from health_pipeline.orchestration.nights import NIGHTLY_JOBS
from health_pipeline.orchestration.partition_states import listed, partition_states
from health_pipeline.orchestration.partitions import run_days
from health_pipeline.orchestration.system_assets import RETRIES, run_errors
from health_pipeline.settings import now, read_settings
from health_pipeline.systems.audit import tenants_at
from health_pipeline.systems.context import RunContext
from health_pipeline.tables.catalogue import TABLES
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.quality import (
    Finding,
    jumps_in_high_risk,
    missing_tenants,
    newest_day,
    rows_other_than,
    scores_not_adding_up,
)

# The table that people look at first, for each system.
_TABLE_OF_SYSTEM = {
    "tenant_health": "tenant_health_scores",
    "order_health": "customer_order_health",
    "client_success": "client_success_scores",
}
_NO_DAY_MISSING = "no_day_missing"
STANDING_CHECKS = tuple(dg.AssetCheckKey(dg.AssetKey(table), _NO_DAY_MISSING) for table in _TABLE_OF_SYSTEM.values())

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


def standing_checks() -> list[dg.AssetChecksDefinition]:
    """A check per system that no day of any of its tables is missing or failed."""
    return [_no_day_missing(system, table) for system, table in _TABLE_OF_SYSTEM.items()]


def _no_day_missing(system: str, asset: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name=_NO_DAY_MISSING,
        description=f"Every day and Sunday that is due is there in every table of {system}, since its first one; none failed.",
    )
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        settings = read_settings()
        newest = {job.cadence: job.due(settings, now()).newest for job in NIGHTLY_JOBS}
        found = {
            table.name: partition_states(context.instance, settings, table.name, newest[table.cadence])
            for table in TABLES.values()
            if table.group == system and table.cadence
        }
        missing = {name: states.missing for name, states in found.items() if states.missing}
        failed = {name: states.failed for name, states in found.items() if states.failed}
        return dg.AssetCheckResult(
            passed=not missing and not failed,
            severity=dg.AssetCheckSeverity.ERROR,
            description=_listed_by_table(missing, failed),
            metadata={
                "missing": sum(len(days) for days in missing.values()),
                "failed": sum(len(days) for days in failed.values()),
            },
        )

    return check


def _listed_by_table(missing: Mapping[str, Iterable[date]], failed: Mapping[str, Iterable[date]]) -> str:
    parts = [
        f"{name}: {listed(days)} {kind}"
        for kind, tables in (("missing", missing), ("failed", failed))
        for name, days in tables.items()
    ]
    return "; ".join(parts) or "every day is there"


def _rows_are_tenants_at_d(connection: sa.Connection, days: DayRange) -> Finding:
    """Each day has as many rows as the source has tenants active at its end, counted anew from their dates."""
    settings = read_settings()
    urls = resolved_urls(settings)
    context = RunContext.of(settings, urls.source, urls.warehouse, "check", now())
    return rows_other_than(connection, days, tenants_at(context, days))


def _check(asset: str, name: str, query: Query, severity: dg.AssetCheckSeverity) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=asset, name=name, description=(query.__doc__ or "").strip(), retry_policy=RETRIES)
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        with run_errors(), sql_connection(resolved_urls(read_settings()).warehouse) as connection:
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
