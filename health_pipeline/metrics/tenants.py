"""Which tenants are active on which days. Rule: source-contract.md, "Points in time"."""

from __future__ import annotations

import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange
from health_pipeline.metrics.intervals import day_table


def tenant_lives(tenants: ir.Table, calendar: Calendar, days: DayRange) -> ir.Table:
    """From when to when tenants are active; grain: tenant_id; created_day, deactivated_day (indexes; null: never)."""
    return tenants.select(
        "tenant_id",
        created_day=calendar.day_index(tenants.created_at, days),
        deactivated_day=calendar.day_index(tenants.deactivated_at, days),
    )


def tenant_days(tenants: ir.Table, calendar: Calendar, days: DayRange) -> ir.Table:
    """The tenants at D for every day D; grain: one row per metric_date and tenant_id active at end(D)."""
    grid = tenant_lives(tenants, calendar, days).cross_join(day_table(days))
    alive = (grid.created_day <= grid.day) & (grid.deactivated_day.isnull() | (grid.deactivated_day > grid.day))
    return grid.filter(alive).select("metric_date", "tenant_id")
