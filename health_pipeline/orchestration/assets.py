"""The assets: thin threads from a run's partitions to the systems. Each system is one step, so that it reads its source once
and commits its tables together; each of its tables is an asset of its own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from health_pipeline.connections import resolved_urls
from health_pipeline.errors import UserError
from health_pipeline.orchestration.metadata import facts_metadata, table_metadata
from health_pipeline.orchestration.partitions import MAX_DAYS_PER_RUN, daily_partitions, run_days
from health_pipeline.orchestration.sources import source_key
from health_pipeline.settings import now, read_settings
from health_pipeline.systems.context import RunContext
from health_pipeline.systems.tenant_health import TenantHealth, risk_counts, run_tenant_health
from health_pipeline.tables.declare import Table
from health_pipeline.tables.tenant_health import GROUP, TENANT_HEALTH_TABLES
from health_pipeline.warehouse.migrate import migrate
from health_pipeline.warehouse.transient import is_transient

OWNERS = ["team:data-engineering"]
TENANT_TAG = "health/tenant"
RETRIES = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL)

_TENANT_HEALTH_DEPS: dict[str, list[dg.AssetKey]] = {
    "tenant_profiles": [source_key("tenants")],
    "usage_metrics": [
        source_key(name)
        for name in ("tenants", "users", "events", "cases", "campaigns", "campaign_assignments", "support_tickets")
    ],
    "feature_adoption": [source_key(name) for name in ("tenants", "events", "feature_entitlements")],
    "tenant_health_scores": [source_key("tenants"), dg.AssetKey("usage_metrics"), dg.AssetKey("feature_adoption")],
    "peer_benchmarks": [dg.AssetKey(name) for name in ("tenant_health_scores", "usage_metrics", "tenant_profiles")],
}
_WHY: dict[str, str] = {
    "tenant_profiles": "Names and cohorts come from here, so that a day's rows stay traceable when a tenant changes.",
    "usage_metrics": "The facts behind three of the five component scores.",
    "feature_adoption": "Shows what a customer pays for and doesn't use.",
    "tenant_health_scores": "Tells whom to call first, and whether it is getting worse.",
    "peer_benchmarks": "Puts a score beside those of like customers, without telling on any of them.",
}


def table_spec(table: Table, deps: list[dg.AssetKey], why: str, partitions: dg.PartitionsDefinition) -> dg.AssetSpec:
    """The asset of a warehouse table, described by the table's declaration."""
    return dg.AssetSpec(
        table.name,
        deps=deps,
        description=f"{table.grain}\n\n{why}",
        group_name=table.group,
        owners=OWNERS,
        kinds={"postgres", "duckdb"},
        metadata=table_metadata(table),
        partitions_def=partitions,
        skippable=True,
    )


def tenant_health_assets() -> dg.AssetsDefinition:
    """The tables of tenant health, by day."""
    partitions = daily_partitions(read_settings())

    @dg.multi_asset(
        name=GROUP,
        specs=[
            table_spec(table, _TENANT_HEALTH_DEPS[table.name], _WHY[table.name], partitions)
            for table in TENANT_HEALTH_TABLES
        ],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.multi_run(MAX_DAYS_PER_RUN),
        retry_policy=RETRIES,
    )
    def tenant_health(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None] | dg.AssetObservation]:
        started = time.monotonic()
        names = frozenset(key.to_user_string() for key in context.selected_asset_keys)
        tenant = context.run.tags.get(TENANT_TAG)
        with run_errors():
            result = run_tenant_health(run_context(context), run_days(context), names, tenant)
        shared: dict[str, Any] = {
            **facts_metadata(result.facts),
            "duration_seconds": round(time.monotonic() - started, 3),
        }
        if tenant is None:
            _add_daily_metadata(context, result)
        for table in TENANT_HEALTH_TABLES:
            if table.name in names:
                # A run for one tenant leaves the rest of the partition as it was, so it does not materialise it.
                yield (
                    dg.MaterializeResult(asset_key=table.name, metadata=shared)
                    if tenant is None
                    else dg.AssetObservation(asset_key=table.name, metadata=shared)
                )

    return tenant_health


def _add_daily_metadata(context: dg.AssetExecutionContext, result: TenantHealth) -> None:
    """Row counts per day, and risk counts with the scores: in a range run each day gets its own."""
    for day in result.days:
        for name, rows in result.rows_per_day.items():
            if dg.AssetKey(name) in context.selected_asset_keys:
                metadata: dict[str, Any] = {"dagster/partition_row_count": rows.get(day, 0)}
                if name == "tenant_health_scores":
                    counts = risk_counts(result.frames[name], day)
                    metadata |= {f"risk_{level.lower()}": count for level, count in counts.items()}
                context.add_asset_metadata(metadata, asset_key=name, partition_key=day.isoformat())


def run_context(context: dg.AssetExecutionContext) -> RunContext:
    """The run's context; the warehouse is brought to this version first."""
    settings = read_settings()
    urls = resolved_urls(settings)
    migrate(urls.warehouse)
    return RunContext.of(settings, urls.source, urls.warehouse, context.run_id, now())


@contextmanager
def run_errors() -> Iterator[None]:
    """Transient errors go to the retry policy; anything else would fail again, so it fails the run at once."""
    try:
        yield
    except Exception as error:
        if is_transient(error):
            raise
        # A user's error is told in its own words; a fault of ours keeps its traceback as the cause.
        cause = None if isinstance(error, UserError) else error
        text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise dg.Failure(description=text, allow_retries=False) from cause
