"""The views of tenant health, on figures small enough to work out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest

from health_pipeline.scoring.tenant_health import whole_weights
from health_pipeline.tables.catalogue import SCHEMA
from health_pipeline.tables.tenant_health import PEER_METRICS
from health_pipeline.tables.tenant_health_views import TENANT_HEALTH_VIEWS
from health_pipeline.warehouse.records import record_policy
from health_pipeline_tests.reference.scoring import COMPONENTS, SHIPPED_POLICY
from health_pipeline_tests.support.databases import query
from health_pipeline_tests.support.policies import tenant_health_policy
from health_pipeline_tests.support.rows import fill

DAY = date(2024, 3, 1)
BEFORE = DAY - timedelta(days=1)
NOW = datetime(2024, 3, 2, tzinfo=UTC)
SHIPPED = tenant_health_policy()


def view(url: str, name: str, order: str = "metric_date, tenant_id") -> list[dict[str, Any]]:
    return query(url, f"SELECT * FROM {SCHEMA}.{name} ORDER BY {order}")


@pytest.mark.parametrize("declared", TENANT_HEALTH_VIEWS, ids=lambda declared: declared.name)
def test_columns_and_comments_are_the_declared_ones(warehouse: str, declared: Any) -> None:
    found = query(
        warehouse,
        "SELECT attname, col_description(attrelid, attnum) AS comment FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 ORDER BY attnum",
        f"{SCHEMA}.{declared.name}",
    )
    assert [(row["attname"], row["comment"]) for row in found] == list(declared.columns)
    (comment,) = query(warehouse, "SELECT obj_description(to_regclass(%s)) AS grain", f"{SCHEMA}.{declared.name}")
    assert comment["grain"] == declared.grain


def metric_values(url: str, metric_type: str, day: date = DAY) -> dict[str, tuple[Any, ...]]:
    """value, previous_value, change_percent, direction by tenant."""
    names = ("value", "previous_value", "change_percent", "direction")
    return {
        row["tenant_id"]: tuple(row[name] for name in names)
        for row in view(url, "usage_metric_values")
        if row["metric_type"] == metric_type and row["metric_date"] == day
    }


@pytest.mark.parametrize(
    ("before", "today", "change", "direction"),
    [
        (100, 105, 5.0, "stable"),
        (100, 106, 6.0, "up"),
        (100, 95, -5.0, "stable"),
        (100, 94, -6.0, "down"),
        (20, 21, 5.0, "stable"),
        (60, 57, -5.0, "stable"),
        (40, 40, 0.0, "stable"),
        (1, 0, -100.0, "down"),
        (0, 3, None, None),
        (0, 0, None, None),
    ],
)
def test_direction_of_a_metric(warehouse: str, before: int, today: int, change: float | None, direction: str) -> None:
    fill(
        warehouse,
        "usage_metrics",
        {"metric_date": BEFORE, "tenant_id": "t", "api_calls": before},
        {"metric_date": DAY, "tenant_id": "t", "api_calls": today},
    )
    assert metric_values(warehouse, "API_CALLS") == {"t": (today, before, change, direction)}


def test_a_day_without_one_before_it_has_no_change(warehouse: str) -> None:
    fill(
        warehouse,
        "usage_metrics",
        {"metric_date": DAY, "tenant_id": "new", "active_users": 3},
        {"metric_date": BEFORE, "tenant_id": "gone", "active_users": 3},
        {"metric_date": DAY - timedelta(days=2), "tenant_id": "new", "active_users": 9},
    )
    assert metric_values(warehouse, "MONTHLY_ACTIVE_USERS") == {"new": (3, None, None, None)}


def test_what_is_not_mapped_has_no_value(warehouse: str) -> None:
    row = {"tenant_id": "t", "cases_created": None}
    fill(warehouse, "usage_metrics", {**row, "metric_date": BEFORE, "cases_closed": 4}, {**row, "metric_date": DAY})
    assert metric_values(warehouse, "CASES_CREATED") == {"t": (None, None, None, None)}
    assert metric_values(warehouse, "CASES_CLOSED") == {"t": (None, 4, None, None)}


def test_a_response_rate_is_compared_exactly(warehouse: str) -> None:
    rates = {  # tenant: (completed, total) on both days
        "exactly 5 up": ((1, 3), (7, 20)),  # 33.3… % -> 35 %
        "just above": ((1, 3), (70_000_001, 200_000_000)),
        "exactly 5 down": ((3, 7), (57, 140)),  # 42.857… % -> 40.714… %
        "no assignments": ((1, 2), (0, 0)),
        "none before": ((0, 0), (1, 2)),
        "none completed": ((0, 9), (0, 9)),
    }
    for tenant, days in rates.items():
        for day, (completed, total) in zip((BEFORE, DAY), days, strict=True):
            counts = {"assignments_completed": completed, "assignments_total": total}
            fill(warehouse, "usage_metrics", {"metric_date": day, "tenant_id": tenant, **counts})
    found = metric_values(warehouse, "CAMPAIGN_RESPONSE_RATE")
    assert found["exactly 5 up"] == (35.0, pytest.approx(100 / 3), pytest.approx(5), "stable")
    assert found["just above"][3] == "up"
    assert found["exactly 5 down"] == (pytest.approx(5700 / 140), pytest.approx(300 / 7), pytest.approx(-5), "stable")
    assert found["no assignments"] == (None, 50.0, None, None)
    assert found["none before"] == (50.0, None, None, None)
    assert found["none completed"] == (0.0, 0.0, None, None)


def test_every_metric_type_shows_its_own_column(warehouse: str) -> None:
    columns = {
        "DAILY_ACTIVE_USERS": "daily_active_users",
        "MONTHLY_ACTIVE_USERS": "active_users",
        "CASES_CREATED": "cases_created",
        "CASES_CLOSED": "cases_closed",
        "CASES_CLOSED_ON_TIME": "cases_closed_on_time",
        "CAMPAIGNS_COMPLETED": "campaigns_completed",
        "REPORTS_GENERATED": "reports_generated",
        "SEARCHES_PERFORMED": "searches_performed",
        "API_CALLS": "api_calls",
        "SUPPORT_TICKETS": "support_tickets",
    }
    counts = {column: n for n, column in enumerate(columns.values(), start=1)}
    fill(warehouse, "usage_metrics", {"metric_date": DAY, "tenant_id": "t", **counts})
    found = {row["metric_type"]: row["value"] for row in view(warehouse, "usage_metric_values")}
    expected = {name: counts[column] for name, column in columns.items()}
    assert found == {**expected, "CAMPAIGN_RESPONSE_RATE": None}


def test_adoption_is_summed_up(warehouse: str) -> None:
    flags = [(True, True), (True, False), (False, True), (False, False)]  # enabled, adopted
    for n, (enabled, adopted) in enumerate(flags):
        row = {"metric_date": DAY, "feature_key": str(n), "is_adopted": adopted}
        fill(warehouse, "feature_adoption", {**row, "tenant_id": "some", "is_enabled": enabled})
        fill(warehouse, "feature_adoption", {**row, "tenant_id": "none", "is_enabled": False})
    names = ("tenant_id", "total_features", "enabled_features", "used_features", "adoption_rate")
    found = [tuple(row[name] for name in names) for row in view(warehouse, "feature_adoption_summary")]
    assert found == [("none", 4, 0, 0, None), ("some", 4, 2, 1, 50.0)]


def test_trends_are_null_where_a_day_has_no_score(warehouse: str) -> None:
    scores = {0: 50, 1: 47, 7: None, 90: 20}  # days before: score
    for offset, score in scores.items():
        row = {"metric_date": DAY - timedelta(days=offset), "overall_score": score, "trend": "STABLE"}
        fill(warehouse, "tenant_health_scores", {**row, "tenant_id": "t"})
    fill(warehouse, "tenant_health_scores", {"metric_date": BEFORE, "tenant_id": "other", "overall_score": 1})
    *_, newest = view(warehouse, "tenant_health_trends")
    assert newest == {
        "metric_date": DAY,
        "tenant_id": "t",
        "overall_score": 50,
        "change_1d": 3,
        "change_7d": None,
        "change_30d": None,
        "change_90d": 30,
    }
    assert len(view(warehouse, "tenant_health_trends")) == 5


def test_the_latest_day_is_of_the_newest_partition_alone(warehouse: str) -> None:
    for day, tenants in ((BEFORE, ("gone", "t")), (DAY, ("t", "u"))):
        for tenant in tenants:
            profile = {"metric_date": day, "tenant_id": tenant, "name": f"{tenant} on {day}"}
            renewal = {"renewal_date": DAY - timedelta(days=2) if tenant == "t" else None}
            fill(warehouse, "tenant_profiles", {**profile, **renewal, "industry_sector": "Retail"})
            fill(warehouse, "tenant_health_scores", {"metric_date": day, "tenant_id": tenant, "overall_score": 5})
    found = view(warehouse, "latest_tenant_health")
    names = ("tenant_id", "name", "industry_sector", "overall_score", "days_until_renewal")
    assert [tuple(row[name] for name in names) for row in found] == [
        ("t", f"t on {DAY}", "Retail", 5, -2),
        ("u", f"u on {DAY}", "Retail", 5, None),
    ]


def exact_score(scores: dict[str, int | None], weights: dict[str, Any]) -> Fraction:
    """The weighted mean before rounding."""
    measured = {name: Fraction(str(weights[name])) for name, score in scores.items() if score is not None}
    return sum((weight * (scores[name] or 0) for name, weight in measured.items()), Fraction(0)) / sum(
        measured.values()
    )


def test_drivers_add_up_exactly(warehouse: str) -> None:
    thirds = tenant_health_policy(
        components={name: {"weight": weight} for name, weight in zip(COMPONENTS, (0.1, 0.2, 3, 7, 0), strict=True)}
    )
    for policy in (SHIPPED, thirds):
        record_policy(warehouse, policy, NOW)
    whole, lacking = (1, 2, 3, 5, 8), (None, 33, None, 99, 100)
    cases = {  # tenant: the policy and the component scores of both days
        "shipped": (SHIPPED, whole, (99, 98, 97, 0, 1)),
        "thirds": (thirds, whole, (100, 0, 1, 2, 3)),
        "lacking": (SHIPPED, lacking, whole),
        "lacking thirds": (thirds, lacking, (0, None, 0, None, 7)),
        "new": (SHIPPED, None, whole),
        "unscored before": (SHIPPED, (None,) * 5, whole),
    }
    for tenant, (policy, *days) in cases.items():
        for day, values in zip((BEFORE, DAY), days, strict=True):
            if values is not None:
                scores = dict(zip(COMPONENTS, values, strict=True))
                row = {"metric_date": day, "tenant_id": tenant, "policy_version": policy.version}
                overall = None if set(values) == {None} else 0
                fill(warehouse, "tenant_health_scores", {**row, **scores, "overall_score": overall})
    found = {(row["metric_date"], row["tenant_id"]): row for row in view(warehouse, "health_score_drivers")}
    assert len(found) == 10
    for tenant, (policy, before, today) in cases.items():
        row = found[DAY, tenant]
        weights = whole_weights(policy.components.weights)
        contributions = [row[f"{name}_contribution"] for name in COMPONENTS]
        assert sum(contributions) == row["unrounded_score"]
        expected = exact_score(dict(zip(COMPONENTS, today, strict=True)), weights)
        assert float(row["unrounded_score"]) == pytest.approx(float(expected), abs=1e-12)
        for name, score, contribution in zip(COMPONENTS, today, contributions, strict=True):
            if score is None or not weights[name]:
                assert contribution == 0
        changes = [row[f"{name}_change"] for name in COMPONENTS]
        if before is None or set(before) == {None}:
            assert [*changes, row["unrounded_change"]] == [None] * 6
            continue
        assert sum(changes) == row["unrounded_change"]
        assert row["unrounded_change"] == row["unrounded_score"] - found[BEFORE, tenant]["unrounded_score"]
        for name, change, contribution in zip(COMPONENTS, changes, contributions, strict=True):
            assert change == contribution - found[BEFORE, tenant][f"{name}_contribution"]


def test_drivers_of_the_shipped_policy(warehouse: str) -> None:
    record_policy(warehouse, SHIPPED, NOW)
    scores = dict(zip(COMPONENTS, (63, 100, 50, 10, 7), strict=True))
    row = {"metric_date": DAY, "tenant_id": "t", "policy_version": SHIPPED.version, "overall_score": 53}
    fill(warehouse, "tenant_health_scores", {**row, **scores})
    (found,) = view(warehouse, "health_score_drivers")
    weights = SHIPPED_POLICY["weights"]
    assert {name: float(found[f"{name}_contribution"]) for name in COMPONENTS} == {
        name: pytest.approx(weights[name] * scores[name] / 100) for name in COMPONENTS
    }
    assert float(found["unrounded_score"]) == pytest.approx(52.65)


RETAIL = {"A": 10, "B": 20, "C": 20, "D": 30, "E": 40, "F": 50}  # tenant: overall score


def fill_peers(url: str) -> None:
    """Six tenants in Retail, of which one is larger; G and H elsewhere; Retail × 1-49 is suppressed."""
    for tenant, score in {**RETAIL, "G": 20, "H": None}.items():
        sector = "Retail" if tenant in RETAIL else None
        band = {"F": "50-249", "H": None}.get(tenant, "1-49")
        profile = {"metric_date": DAY, "tenant_id": tenant, "industry_sector": sector, "employee_band": band}
        fill(url, "tenant_profiles", profile)
        fill(url, "tenant_health_scores", {"metric_date": DAY, "tenant_id": tenant, "overall_score": score})
        fill(url, "usage_metrics", {"metric_date": DAY, "tenant_id": tenant})
    figures = {
        ("Retail", "1-49"): None,
        ("Retail", "50-249"): None,
        ("Retail", "ALL"): (6, 20, 25, 37.5),
        ("ALL", "1-49"): (6, 20, 20, 27.5),
        ("ALL", "50-249"): None,
        ("ALL", "ALL"): (7, 20, 20, 35),
    }
    for (sector, band), values in figures.items():
        cohort = {"metric_date": DAY, "metric_name": "overall_score", "industry_sector": sector, "employee_band": band}
        shown = dict(zip(("peer_count", "p25", "median", "p75"), values or (None,) * 4, strict=True))
        fill(url, "peer_benchmarks", {**cohort, **shown, "is_suppressed": values is None})
    ranks = {**dict.fromkeys("ABCDEF", 2), "G": 1, "H": None}  # Retail × ALL, ALL × 1-49
    for tenant, rank in {"A": 0, "B": 30, "C": 30, "D": 60, "E": 80, "F": 100, "G": 40, "H": None}.items():
        place = {"overall_score_cohort": ranks[tenant], "overall_score_rank": rank}
        fill(url, "tenant_peer_ranks", {"metric_date": DAY, "tenant_id": tenant, **place})


def test_a_tenant_beside_its_peers(warehouse: str) -> None:
    fill_peers(warehouse)
    names = (
        "tenant_id",
        "industry_sector",
        "employee_band",
        "peer_count",
        "value",
        "median",
        "quartile",
        "percentile_rank",
    )
    found = [tuple(row[name] for name in names) for row in view(warehouse, "tenant_peer_comparison")]
    retail = ("Retail", "ALL", 6)
    assert found == [
        ("A", *retail, 10, 25, 1, 0.0),
        ("B", *retail, 20, 25, 1, 30.0),
        ("C", *retail, 20, 25, 1, 30.0),
        ("D", *retail, 30, 25, 3, 60.0),
        ("E", *retail, 40, 25, 4, 80.0),
        ("F", *retail, 50, 25, 4, 100.0),
        ("G", "ALL", "1-49", 6, 20, 20, 1, 40.0),
    ]


def test_every_metric_is_beside_its_own_cohort(warehouse: str) -> None:
    profile = {"metric_date": DAY, "tenant_id": "t", "industry_sector": "Retail", "employee_band": "1-49"}
    cohorts = [("ALL", "ALL"), ("ALL", "1-49"), ("Retail", "ALL"), ("Retail", "1-49")]
    scores = {name: 10 + n for n, name in enumerate(PEER_METRICS[:-1])}
    ranks: dict[str, Any] = {}
    for n, name in enumerate(PEER_METRICS):
        ranks |= {f"{name}_cohort": n % 4, f"{name}_rank": None if n == 2 else n + 0.5}
        for m, (sector, band) in enumerate(cohorts):
            cohort = {"metric_date": DAY, "metric_name": name, "industry_sector": sector, "employee_band": band}
            fill(warehouse, "peer_benchmarks", {**cohort, "peer_count": m + 1, "p25": 0, "median": m, "p75": m})
    fill(warehouse, "tenant_profiles", profile)
    fill(warehouse, "tenant_health_scores", {"metric_date": DAY, "tenant_id": "t", **scores})
    fill(
        warehouse,
        "usage_metrics",
        *({"metric_date": DAY, "tenant_id": tenant, "active_users": 1, "total_users": 4} for tenant in ("t", "other")),
    )
    fill(warehouse, "tenant_peer_ranks", {"metric_date": DAY, "tenant_id": "t", **ranks})
    names = ("metric_name", "industry_sector", "employee_band", "peer_count", "value", "median", "percentile_rank")
    found = [tuple(row[name] for name in names) for row in view(warehouse, "tenant_peer_comparison", "percentile_rank")]
    expected = [
        (name, *cohorts[n % 4], n % 4 + 1, scores.get(name, 0.25), n % 4, ranks[f"{name}_rank"])
        for n, name in enumerate(PEER_METRICS)
    ]
    assert found == [*expected[:2], *expected[3:], expected[2]]


def test_a_suppressed_cohort_shows_nobody(warehouse: str) -> None:
    fill_peers(warehouse)
    query(warehouse, "UPDATE health.peer_benchmarks SET is_suppressed = true RETURNING 1")
    assert view(warehouse, "tenant_peer_comparison") == []
