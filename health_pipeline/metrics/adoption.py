"""feature_adoption: which tracked features a tenant may use and uses, per day. Rule: tenant-health.md, `feature_adoption`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange, index_in
from health_pipeline.metrics.intervals import (
    Moments,
    counts_by_day,
    counts_by_stretch,
    earlier,
    from_day_on,
    on_each_day,
    within,
)
from health_pipeline.metrics.steps import WINDOW_DAYS
from health_pipeline.metrics.tenants import tenant_lives

_KEYS = ["tenant_id", "feature_key"]
_PAIR = ["pair"]


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


@dataclass(frozen=True)
class FeatureUse:
    """Feature adoption by stretches of days on which nothing changes, a few for each tenant and feature, however many days.

    stretches: tenant_id, feature_key, pair (both as a number, in their order), day and until (indexes into `days`; while the
    tenant is active), and what was used so far.
    """

    days: DayRange
    stretches: ir.Table
    category_of: Mapping[str, str]
    is_all_enabled: bool

    def rows(self, days: DayRange) -> ir.Table:
        """Rows of feature_adoption for some of the days, and their pair; grain: metric_date, tenant active at end(D), tracked
        feature, in this order."""
        rows = on_each_day(self.stretches, self.days, days).inner_join(_features(self.category_of), "feature_key")
        return rows.select(
            "metric_date",
            "tenant_id",
            "feature_key",
            "category",
            is_enabled=ibis.literal(True) if self.is_all_enabled else rows.entitlements > 0,
            is_adopted=rows.usage_count >= 1,
            first_used_at=rows.first_used_at,
            last_used_at=rows.last_used_at,
            usage_count=rows.usage_count,
            usage_count_30d=rows.usage_count_30d,
            pair=rows.pair,
        ).order_by(["metric_date", "pair"])

    def adopted_features(self) -> ir.Table:
        """How many features a tenant has adopted; grain: metric_date and tenant_id, active or not."""
        used = self.stretches.filter(self.stretches.usage_count >= 1)
        first = used.group_by(["tenant_id", "pair"]).agg(day=used.day.min())
        adopted = from_day_on(first, ["tenant_id"], first.day, adopted_features=1)
        tenants = self.stretches.select("tenant_id").distinct()
        return counts_by_day(adopted, tenants, ["adopted_features"], self.days).drop("day")


def feature_use(
    tenants: ir.Table,
    events: ir.Table,
    entitlements: ir.Table | None,
    category_of: Mapping[str, str],
    calendar: Calendar,
    days: DayRange,
    base: UseBase | None = None,
) -> FeatureUse:
    """What feature_adoption is made of, for every day of the range, every tenant and tracked feature.

    events: as daily_events counts them; every use of a tracked feature before end(days.last), but for those of the base.
    entitlements None: every feature is enabled.
    """
    pairs = _pairs(tenant_lives(tenants, calendar, days), category_of)
    names = pairs.select(*_KEYS, "pair")
    daily = _daily_uses(events.inner_join(names, _KEYS), _PAIR, days)
    if base is not None:
        before = base.as_daily_uses(days).inner_join(names, _KEYS)
        daily = daily.union(before.select(daily.columns), distinct=False)
    moments = Moments("first_used_at", "last_used_at")
    changes = [
        *from_day_on(daily, _PAIR, daily.day, moments, usage_count=daily.uses, usage_count_30d=daily.uses),
        *from_day_on(daily, _PAIR, daily.day + WINDOW_DAYS, usage_count_30d=-daily.uses),
    ]
    if entitlements is not None:
        rights = entitlements.inner_join(names, _KEYS)
        enabled = calendar.day_index(rights.enabled_at, days)
        disabled = calendar.day_index(rights.disabled_at, days)
        changes += within(rights, _PAIR, enabled, disabled, entitlements=1)
    counted = counts_by_stretch(changes, pairs.select(_PAIR), _FIGURES, days)
    of_life = counted.inner_join(pairs, _PAIR)
    stretches = of_life.mutate(
        day=ibis.greatest(of_life.day, of_life.created_day), until=earlier(of_life.until, of_life.deactivated_day)
    ).drop("created_day", "deactivated_day")
    stretches = stretches.filter(stretches.day < stretches.until)
    return FeatureUse(days, stretches, category_of, is_all_enabled=entitlements is None)


def uses_until(events: ir.Table, category_of: Mapping[str, str], as_of: date) -> ir.Table:
    """Uses of tracked features before end(as_of); grain: tenant_id and feature_key; uses, first_used_at, last_used_at.

    events: as daily_events counts them; as_of must not lie before their earliest day.
    """
    tracked = events.semi_join(_features(category_of), "feature_key")
    daily = _daily_uses(tracked, _KEYS, DayRange(as_of, as_of))
    return daily.group_by(_KEYS).agg(
        uses=daily.uses.sum(), first_used_at=daily.first_used_at.min(), last_used_at=daily.last_used_at.max()
    )


def _features(category_of: Mapping[str, str]) -> ir.Table:
    """The tracked features; grain: feature_key; category, and place in the order of the keys."""
    keys = sorted(category_of)
    return ibis.memtable(
        {"feature_key": keys, "category": [category_of[key] for key in keys], "place": range(len(keys))},
        schema={"feature_key": "string", "category": "string", "place": "int64"},
    )


def _pairs(lives: ir.Table, category_of: Mapping[str, str]) -> ir.Table:
    """Tenants and tracked features; grain: pair, a number, which is grouped and sorted faster than two texts.

    Pairs are in the order of tenant_id and feature_key. Columns: these two and what `lives` has.
    """
    in_order = lives.mutate(tenant=ibis.row_number().over(order_by="tenant_id"))
    grid = in_order.cross_join(_features(category_of).drop("category"))
    return grid.mutate(pair=grid.tenant * len(category_of) + grid.place).drop("tenant", "place")


def _daily_uses(uses: ir.Table, keys: Sequence[str], days: DayRange) -> ir.Table:
    """Uses of tracked features up to the end of the range; grain: what the keys tell apart, and day."""
    uses = uses.mutate(day=index_in(uses.day, days)).filter(lambda t: t.day < len(days))
    return uses.group_by([*keys, "day"]).agg(
        uses=uses.row_count.sum(), first_used_at=uses.first_at.min(), last_used_at=uses.last_at.max()
    )
