"""The asset of order health: daily."""

import dagster as dg

from health_pipeline.days import DayRange
from health_pipeline.orchestration.partitions import daily_partitions
from health_pipeline.orchestration.sources import source_key
from health_pipeline.orchestration.system_assets import Outcome, TableAsset, system_assets
from health_pipeline.settings import read_settings
from health_pipeline.systems.context import RunContext
from health_pipeline.systems.order_health import run_order_health
from health_pipeline.tables.order_health import CUSTOMER_ORDER_HEALTH, GROUP


def order_health_assets() -> dg.AssetsDefinition:
    """The table of order health, by day."""
    asset = TableAsset(
        CUSTOMER_ORDER_HEALTH,
        [source_key(name) for name in ("tenants", "customers", "orders")],
        "Tells a sales rep which buyers went quiet, and what revenue is at stake.",
    )
    return system_assets(GROUP, [asset], daily_partitions(read_settings()), _run)


def _run(context: RunContext, days: DayRange, names: frozenset[str], tenant: str | None) -> Outcome:
    facts = run_order_health(context, days, names, tenant).facts
    figures = {
        day: {"dagster/partition_row_count": counts.get("customers", 0), **counts}
        for day, counts in facts.counts_per_day.items()
    }
    return Outcome(facts, {CUSTOMER_ORDER_HEALTH.name: figures})
