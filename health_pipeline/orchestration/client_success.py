"""The assets of client success: daily ones, and weekly ones whose partition is the Sunday that ends the week."""

import base64
from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg

from health_pipeline.days import DayRange
from health_pipeline.orchestration.partitions import daily_partitions, sunday_partitions
from health_pipeline.orchestration.sources import source_key
from health_pipeline.orchestration.system_assets import Outcome, TableAsset, system_assets
from health_pipeline.scoring.heatmap import heatmap_png, month_of
from health_pipeline.settings import read_settings
from health_pipeline.systems.client_success import run_client_success
from health_pipeline.systems.client_weeks import run_client_weeks
from health_pipeline.systems.context import RunContext
from health_pipeline.tables import client_success as tables
from health_pipeline.warehouse.activity import busiest_tenant, events_by_day
from health_pipeline.warehouse.connection import sql_connection

DAYS, WEEKS = "client_days", "client_weeks"


def client_success_assets() -> list[dg.AssetsDefinition]:
    """The tables of client success, by day and by Sunday."""
    settings = read_settings()
    people = [source_key(name) for name in ("tenants", "users", "events")]
    work = [*people, source_key("onboarding_tasks"), source_key("feedback")]
    scores = dg.AssetKey(tables.CLIENT_SUCCESS_SCORES.name)
    insights = dg.AssetKey(tables.CLIENT_INSIGHTS.name)
    engagement = dg.AssetDep(
        tables.CLIENT_ENGAGEMENT.name,
        # The week of a Sunday is the one before it.
        partition_mapping=dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=-1),
    )
    daily = [
        TableAsset(tables.CLIENT_ENGAGEMENT, people, "Shows on which days a client was there, and what for."),
        TableAsset(tables.CLIENT_MOMENTUM_ALERTS, work, "Tells which client needs a call, and since when."),
    ]
    weekly = [
        TableAsset(tables.CLIENT_SUCCESS_SCORES, [*work, engagement], "Says how well each client gets on."),
        TableAsset(tables.CLIENT_INSIGHTS, [*work, scores], "Says what to tell each client this week."),
        TableAsset(tables.CLIENT_SUCCESS_EMAILS, [scores, insights], "The weekly mail to each client who wants it."),
    ]
    return [
        system_assets(DAYS, daily, daily_partitions(settings), _run_days),
        system_assets(WEEKS, weekly, sunday_partitions(settings), _run_weeks),
    ]


def _run_days(context: RunContext, days: DayRange, names: frozenset[str], tenant: str | None) -> Outcome:
    result = run_client_success(context, days, names, tenant)
    figures = _row_counts(result.rows_per_day, list(days))
    for day, alerts in result.alerts_per_day.items():
        counted: dict[str, int] = {}
        for (_, severity), count in alerts.items():
            counted[f"alerts_{severity}"] = counted.get(f"alerts_{severity}", 0) + count
        figures.setdefault(tables.CLIENT_MOMENTUM_ALERTS.name, {}).setdefault(day, {}).update(counted)
    if tables.CLIENT_ENGAGEMENT.name in figures and tenant is None:
        figures[tables.CLIENT_ENGAGEMENT.name][days.last] |= _month_picture(context, days.last)
    return Outcome(result.facts, figures)


def _month_picture(context: RunContext, last_day: date) -> dict[str, Any]:
    """The month up to the day of the tenant that was busiest in it, as a picture for the UI."""
    month = month_of(last_day)
    with sql_connection(context.warehouse_url) as connection:
        tenant_id = busiest_tenant(connection, month)
        if tenant_id is None:
            return {}
        picture = base64.b64encode(heatmap_png(events_by_day(connection, tenant_id, month), last_day)).decode()
    return {
        "busiest_tenant": tenant_id,
        "its_month": dg.MetadataValue.md(f"![events per day, a column per week](data:image/png;base64,{picture})"),
    }


def _run_weeks(context: RunContext, weeks: DayRange, names: frozenset[str], tenant: str | None) -> Outcome:
    result = run_client_weeks(context, weeks, names, tenant)
    figures = _row_counts(result.rows_per_week, result.sundays)
    for sunday, counts in result.counts_per_week.items():
        for table in figures.values():
            table[sunday].update({name.lower(): count for name, count in counts.items()})
    return Outcome(result.facts, figures)


def _row_counts(
    rows: Mapping[str, Mapping[date, int]], partitions: list[date]
) -> dict[str, dict[date, dict[str, Any]]]:
    return {
        name: {day: {"dagster/partition_row_count": counts.get(day, 0)} for day in partitions}
        for name, counts in rows.items()
    }
