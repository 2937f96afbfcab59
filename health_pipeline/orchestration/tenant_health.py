"""The assets of tenant health: daily."""

from datetime import date
from typing import Any

import dagster as dg
import pandas as pd

from health_pipeline.days import DayRange
from health_pipeline.orchestration.partitions import daily_partitions
from health_pipeline.orchestration.sources import source_key
from health_pipeline.orchestration.system_assets import Outcome, TableAsset, system_assets
from health_pipeline.settings import read_settings
from health_pipeline.systems.context import RunContext
from health_pipeline.systems.tenant_health import TenantHealth, risk_counts, run_tenant_health
from health_pipeline.tables import tenant_health as tables


def tenant_health_assets() -> dg.AssetsDefinition:
    """The tables of tenant health, by day."""
    sources = [source_key(n) for n in ("users", "cases", "campaigns", "campaign_assignments", "support_tickets")]
    tenants, events, entitlements = (source_key(n) for n in ("tenants", "events", "feature_entitlements"))
    profiles, usage, adoption, scores, *_ = (dg.AssetKey(table.name) for table in tables.TENANT_HEALTH_TABLES)
    assets = [
        TableAsset(
            tables.TENANT_PROFILES,
            [tenants],
            "Names and cohorts come from here, so that a day's rows stay traceable when a tenant changes.",
        ),
        TableAsset(tables.USAGE_METRICS, [tenants, events, *sources], "The facts behind most of the component scores."),
        TableAsset(
            tables.FEATURE_ADOPTION, [tenants, events, entitlements], "Shows what a customer pays for and doesn't use."
        ),
        TableAsset(
            tables.TENANT_HEALTH_SCORES,
            [tenants, usage, adoption],
            "Tells whom to call first, and whether it is getting worse.",
        ),
        TableAsset(
            tables.PEER_BENCHMARKS,
            [scores, usage, profiles],
            "Puts a score beside those of like customers, without telling on any of them.",
        ),
        TableAsset(
            tables.TENANT_PEER_RANKS,
            [scores, usage, profiles],
            "Says at once where a tenant stands, which would take a look at all tenants otherwise.",
        ),
    ]
    return system_assets(tables.GROUP, assets, daily_partitions(read_settings()), _run)


def _run(context: RunContext, days: DayRange, names: frozenset[str], tenant: str | None) -> Outcome:
    result = run_tenant_health(context, days, names, tenant)
    return Outcome(
        result.facts, {name: {day: _figures(result, name, day) for day in days} for name in result.rows_per_day}
    )


def _figures(result: TenantHealth, name: str, day: date) -> dict[str, Any]:
    """Row counts; with the scores also risk counts, and how many tenants have no score and why."""
    figures: dict[str, Any] = {"dagster/partition_row_count": result.rows_per_day[name].get(day, 0)}
    if name == tables.TENANT_HEALTH_SCORES.name:
        counts = risk_counts(result.frames[name], day)
        figures |= {f"risk_{level.lower()}": count for level, count in counts.items()}
        reasons = result.unscored.loc[result.unscored["metric_date"] == pd.Timestamp(day), "reason"].value_counts()
        figures["tenants_not_scored"] = {str(reason): int(count) for reason, count in reasons.items()}
    return figures
