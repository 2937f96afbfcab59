"""The views of the tenant-health system. Rule: tenant-health.md. Their SQL stands in warehouse/views/NAME.sql."""

from __future__ import annotations

from health_pipeline.tables.declare import View
from health_pipeline.tables.tenant_health import GROUP, TENANT_HEALTH_SCORES

_METRIC_DATE = ("metric_date", "The day D.")
_TENANT_ID = ("tenant_id", "The tenant.")


def _score_columns() -> tuple[tuple[str, str], ...]:
    return tuple(
        (c.name, c.description) for c in TENANT_HEALTH_SCORES.columns if c.name not in TENANT_HEALTH_SCORES.key
    )


def _driver_columns() -> tuple[tuple[str, str], ...]:
    parts = [name for name, _ in _score_columns()[:5]]
    return (
        *((f"{name}_contribution", f"Points that {name} gives to the score; 0 where not measured.") for name in parts),
        ("unrounded_score", "The sum of the contributions: overall_score before rounding."),
        *((f"{name}_change", f"Points that {name} gives to the change since the day before.") for name in parts),
        ("unrounded_change", "The sum of the changes. Null, as they are, where the day before has no score."),
    )


TENANT_HEALTH_VIEWS = (
    View(
        "usage_metric_values",
        "A metric of a tenant on a day, beside the day before.",
        (
            _METRIC_DATE,
            _TENANT_ID,
            ("metric_type", "The metric."),
            ("value", "Its value; a percentage for CAMPAIGN_RESPONSE_RATE. Null: not mapped, or nothing to divide by."),
            ("previous_value", "The value of the day before. Null where that day has none."),
            ("change_percent", "Change in percent of previous_value. Null where that is null or 0."),
            ("direction", "up, down, or stable within 5 % either way. Null without change_percent."),
        ),
        GROUP,
        for_tenants=True,
    ),
    View(
        "feature_adoption_summary",
        "A tenant on a day, with its tracked features counted.",
        (
            _METRIC_DATE,
            _TENANT_ID,
            ("total_features", "Tracked features."),
            ("enabled_features", "Of those, enabled."),
            ("used_features", "Adopted and enabled."),
            ("adoption_rate", "100 x used / enabled. Null with none enabled."),
        ),
        GROUP,
        for_tenants=True,
    ),
    View(
        "tenant_health_trends",
        "A tenant's score on a day, with its change over 1, 7, 30 and 90 days.",
        (
            _METRIC_DATE,
            _TENANT_ID,
            ("overall_score", "The score."),
            *(
                (f"change_{n}d", f"Change since {n} days before. Null where that day has no score.")
                for n in (1, 7, 30, 90)
            ),
        ),
        GROUP,
        for_tenants=True,
    ),
    View(
        "latest_tenant_health",
        "A tenant of the newest partition.",
        (
            _METRIC_DATE,
            _TENANT_ID,
            ("name", "The tenant's name."),
            ("slug", "The tenant's slug."),
            ("industry_sector", "The tenant's sector. Null: unknown."),
            ("employee_count", "The tenant's size. Null: unknown."),
            *_score_columns(),
            ("renewal_date", "The day on which the contract renews."),
            ("days_until_renewal", "Days from metric_date to it; negative when past."),
            ("newest_event_at", "The source's newest event when the day was computed last."),
            ("newest_facts", "The same for each source table that it was computed from, by table."),
            (
                "stopped_sources",
                "Source tables that had stopped by then: lower scores may only say that. Null: none had.",
            ),
        ),
        GROUP,
    ),
    View(
        "health_score_drivers",
        "A tenant's score on a day, taken apart into what each component gives to it and to its change.",
        (_METRIC_DATE, _TENANT_ID, ("overall_score", "The score."), *_driver_columns()),
        GROUP,
    ),
    View(
        "tenant_peer_comparison",
        "A metric of a tenant on a day, in its narrowest cohort that is published.",
        (
            _METRIC_DATE,
            _TENANT_ID,
            ("metric_name", "The metric."),
            ("industry_sector", "The cohort's sector."),
            ("employee_band", "The cohort's size band."),
            ("peer_count", "Tenants in the cohort with a value, this one included."),
            ("value", "The tenant's value."),
            ("median", "The cohort's median."),
            ("quartile", "1 to 4: up to p25, up to the median, up to p75, above."),
            ("percentile_rank", "Share of the other peers below the tenant, ties counting half, 0 to 100."),
        ),
        GROUP,
    ),
)
