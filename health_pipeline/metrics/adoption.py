"""feature_adoption: which tracked features a tenant may use and uses, per day. Rule: tenant-health.md, `feature_adoption`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange, index_in
from health_pipeline.metrics.intervals import Moments, counts_by_day, intervals
from health_pipeline.metrics.steps import WINDOW_DAYS
from health_pipeline.metrics.tenants import tenant_days

_KEYS = ["tenant_id", "feature_key"]


@dataclass(frozen=True)
class UseBase:
    """Uses that were counted before: rows of uses_until(as_of). as_of lies WINDOW_DAYS or more before the days computed."""

    as_of: date
    rows: ir.Table

    def as_daily_uses(self, days: DayRange) -> ir.Table:
        """As uses on the base's day, which lies before every window of the days."""
        day = (self.as_of - days.first).days
        assert day <= -WINDOW_DAYS
        return self.rows.select(*_KEYS, "uses", "first_used_at", "last_used_at", day=ibis.literal(day, "int64")).select(
            *_KEYS, "day", "uses", "first_used_at", "last_used_at"
        )


_FIGURES = ("usage_count", "usage_count_30d", "entitlements")


def feature_adoption(
    tenants: ir.Table,
    events: ir.Table,
    entitlements: ir.Table | None,
    category_of: Mapping[str, str],
    calendar: Calendar,
    days: DayRange,
    base: UseBase | None = None,
) -> ir.Table:
    """Rows of feature_adoption for every day of the range; grain: metric_date, tenant active at end(D), tracked feature.

    events: as daily_events counts them; every use of a tracked feature before end(days.last), but for those of the base.
    entitlements None: every feature is enabled.
    """
    features = _features(category_of)
    daily = _daily_uses(events, features, days)
    if base is not None:
        daily = daily.union(base.as_daily_uses(days), distinct=False)
    pieces = [
        intervals(daily, _KEYS, "usage_count", daily.day, None, daily.uses),
        intervals(daily, _KEYS, "usage_count_30d", daily.day, daily.day + WINDOW_DAYS, daily.uses),
    ]
    if entitlements is not None:
        enabled = calendar.day_index(entitlements.enabled_at, days)
        disabled = calendar.day_index(entitlements.disabled_at, days)
        pieces.append(intervals(entitlements, _KEYS, "entitlements", enabled, disabled))
    pairs = tenants.select("tenant_id").cross_join(features.select("feature_key"))
    counted = counts_by_day(pieces, pairs, _FIGURES, days, Moments(daily, "first_used_at", "last_used_at"))
    rows = tenant_days(tenants, calendar, days).inner_join(counted, ["metric_date", "tenant_id"])
    rows = rows.inner_join(features, "feature_key")
    return rows.select(
        "metric_date",
        "tenant_id",
        "feature_key",
        "category",
        is_enabled=ibis.literal(True) if entitlements is None else rows.entitlements > 0,
        is_adopted=rows.usage_count >= 1,
        first_used_at=rows.first_used_at,
        last_used_at=rows.last_used_at,
        usage_count=rows.usage_count,
        usage_count_30d=rows.usage_count_30d,
    )


def uses_until(events: ir.Table, category_of: Mapping[str, str], as_of: date) -> ir.Table:
    """Uses of tracked features before end(as_of); grain: tenant_id and feature_key; uses, first_used_at, last_used_at.

    events: as daily_events counts them; as_of must not lie before their earliest day.
    """
    daily = _daily_uses(events, _features(category_of), DayRange(as_of, as_of))
    return daily.group_by(_KEYS).agg(
        uses=daily.uses.sum(), first_used_at=daily.first_used_at.min(), last_used_at=daily.last_used_at.max()
    )


def _features(category_of: Mapping[str, str]) -> ir.Table:
    return ibis.memtable(
        {"feature_key": list(category_of), "category": list(category_of.values())},
        schema={"feature_key": "string", "category": "string"},
    )


def _daily_uses(events: ir.Table, features: ir.Table, days: DayRange) -> ir.Table:
    """Uses of tracked features up to the end of the range; grain: tenant, feature and day."""
    uses = events.semi_join(features, "feature_key").filter(lambda t: t.feature_key.notnull())
    uses = uses.mutate(day=index_in(uses.day, days)).filter(lambda t: t.day < len(days))
    return uses.group_by([*_KEYS, "day"]).agg(
        uses=uses.row_count.sum(), first_used_at=uses.first_at.min(), last_used_at=uses.last_at.max()
    )
