"""Tenant-health scores: the boundaries of tenant-health.md one by one, and any figures against the reference."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from health_pipeline.days import DayRange
from health_pipeline.policy.model import TenantHealthPolicy
from health_pipeline.scoring.tenant_health import tenant_health_scores
from health_pipeline.tables.tenant_health import TENANT_HEALTH_SCORES
from health_pipeline_tests.reference import scoring as reference
from health_pipeline_tests.reference.scoring import COMPONENTS, SHIPPED_POLICY, half_up
from health_pipeline_tests.support.compare import differences, frame_rows, keyed
from health_pipeline_tests.support.policies import tenant_health_policy

DAY = date(2024, 3, 1)
COUNTS = (
    *("total_users", "active_users", "cases_closed_30d", "cases_closed_on_time_30d"),
    *("assignments_total", "assignments_completed", "support_tickets", "adopted_features"),
)
SHIPPED = tenant_health_policy()
# The score is 100 - tickets: any score can be had.
BY_TICKETS = tenant_health_policy(
    components={
        **{name: {"weight": 0} for name in COMPONENTS if name != "support_ticket_score"},
        "support_ticket_score": {"weight": 1, "points_per_ticket": 1},
    }
)


def figures(*rows: dict[str, Any]) -> pd.DataFrame:
    """Figures of tenant t on DAY where a row doesn't say otherwise; what it doesn't name is not mapped, users excepted."""
    defaults = {
        "metric_date": DAY,
        "tenant_id": "t",
        "alert_level": None,
        **dict.fromkeys(COUNTS),
        "total_users": 0,
        "active_users": 0,
        "adopted_features": 0,
    }
    types = {"metric_date": "datetime64[us]", "tenant_id": "str", "alert_level": "str"}
    return pd.DataFrame([{**defaults, **row} for row in rows]).astype({**dict.fromkeys(COUNTS, "Int64"), **types})


def scored(policy: TenantHealthPolicy, *rows: dict[str, Any]) -> dict[str, Any]:
    """The one row of DAY."""
    (row,) = frame_rows(
        "tenant_health_scores", tenant_health_scores(figures(*rows), DayRange(DAY, DAY), policy)
    ).values()
    return row


def with_score(score: int, previous: int | None = None, **values: Any) -> dict[str, Any]:
    """The row of a tenant with these overall scores on DAY and on the day before."""
    rows = [{"support_tickets": 100 - score, **values}]
    if previous is not None:
        rows.append({"metric_date": DAY - timedelta(days=1), "support_tickets": 100 - previous, **values})
    row = scored(BY_TICKETS, *rows)
    assert (row["overall_score"], row["previous_score"]) == (score, previous)
    return row


@pytest.mark.parametrize(
    ("score", "risk", "risk_when_declining"),
    [
        (0, "HIGH", "HIGH"),
        (39, "HIGH", "HIGH"),
        (40, "MEDIUM", "HIGH"),
        (59, "MEDIUM", "HIGH"),
        (60, "MEDIUM", "MEDIUM"),
        (69, "MEDIUM", "MEDIUM"),
        (70, "LOW", "MEDIUM"),
        (94, "LOW", "MEDIUM"),
    ],
)
def test_risk_at_the_boundaries(score: int, risk: str, risk_when_declining: str) -> None:
    assert with_score(score)["risk_level"] == risk
    assert with_score(score, score + 5)["risk_level"] == risk
    assert with_score(score, score + 6)["risk_level"] == risk_when_declining
    assert with_score(score, max(score - 50, 0))["risk_level"] == risk


def test_risk_at_the_top() -> None:
    assert with_score(100)["risk_level"] == "LOW"
    assert with_score(100, 0)["risk_level"] == "LOW"


@pytest.mark.parametrize(
    ("score", "previous", "change", "trend"),
    [
        (50, 44, 6, "IMPROVING"),
        (50, 45, 5, "STABLE"),
        (50, 50, 0, "STABLE"),
        (50, 55, -5, "STABLE"),
        (50, 56, -6, "DECLINING"),
        (50, None, None, "STABLE"),
    ],
)
def test_a_change_of_exactly_five_is_stable(score: int, previous: int | None, change: int | None, trend: str) -> None:
    row = with_score(score, previous)
    assert (row["score_change"], row["trend"]) == (change, trend)


def test_the_lag_says_which_day_is_the_previous_one() -> None:
    policy = tenant_health_policy(
        components=BY_TICKETS.model_dump()["components"], trend={"lag_days": 7, "threshold": 3}
    )
    week_before = {"metric_date": DAY - timedelta(days=7), "support_tickets": 40}
    day_before = {"metric_date": DAY - timedelta(days=1), "support_tickets": 0}
    row = scored(policy, {"support_tickets": 44}, week_before, day_before)
    assert (row["previous_score"], row["score_change"], row["trend"]) == (60, -4, "DECLINING")


@pytest.mark.parametrize(
    ("score", "setting", "alert"),
    [
        (39, "PROACTIVE", "PROACTIVE"),
        (39, "DASHBOARD_ONLY", "DASHBOARD_ONLY"),
        (39, "NONE", "NONE"),
        (39, None, "DASHBOARD_ONLY"),
        (39, "proactive", "DASHBOARD_ONLY"),
        (40, "PROACTIVE", "DASHBOARD_ONLY"),
        (40, "DASHBOARD_ONLY", "DASHBOARD_ONLY"),
        (40, "NONE", "NONE"),
        (40, None, "DASHBOARD_ONLY"),
        (40, "LOUD", "DASHBOARD_ONLY"),
        (70, "PROACTIVE", "NONE"),
        (70, None, "NONE"),
    ],
)
def test_alert_level(score: int, setting: str | None, alert: str) -> None:
    assert with_score(score, alert_level=setting)["alert_level"] == alert


@pytest.mark.parametrize(
    ("row", "component", "score"),
    [
        # 100 x part / whole / target: exactly half a point goes up, also where half to even would go down.
        ({"active_users": 7, "total_users": 16}, "login_score", 63),  # 62.5
        ({"active_users": 7, "total_users": 400}, "login_score", 3),  # 2.5
        ({"active_users": 1, "total_users": 400}, "login_score", 0),  # 0.357
        ({"active_users": 69, "total_users": 100}, "login_score", 99),  # 98.57
        ({"active_users": 70, "total_users": 100}, "login_score", 100),
        ({"active_users": 100, "total_users": 100}, "login_score", 100),
        ({"active_users": 0, "total_users": 3}, "login_score", 0),
        ({"active_users": 0, "total_users": 0}, "login_score", 0),
        ({"cases_closed_on_time_30d": 9, "cases_closed_30d": 16}, "case_resolution_score", 63),  # 62.5
        ({"cases_closed_on_time_30d": 9, "cases_closed_30d": 80}, "case_resolution_score", 13),  # 12.5
        ({"cases_closed_on_time_30d": 0, "cases_closed_30d": 0}, "case_resolution_score", 100),
        ({"assignments_completed": 17, "assignments_total": 32}, "campaign_completion_score", 63),  # 62.5
        ({"assignments_completed": 17, "assignments_total": 160}, "campaign_completion_score", 13),  # 12.5
        ({"assignments_completed": 0, "assignments_total": 0}, "campaign_completion_score", 100),
        ({"adopted_features": 8}, "feature_adoption_score", 95),  # 95.24
        ({"adopted_features": 9}, "feature_adoption_score", 100),
        ({"adopted_features": 0}, "feature_adoption_score", 0),
        ({"support_tickets": 0}, "support_ticket_score", 100),
        ({"support_tickets": 9}, "support_ticket_score", 10),
        ({"support_tickets": 10}, "support_ticket_score", 0),
        ({"support_tickets": 11}, "support_ticket_score", 0),
        ({}, "case_resolution_score", None),
        ({}, "campaign_completion_score", None),
        ({}, "support_ticket_score", None),
    ],
)
def test_component_scores(row: dict[str, int], component: str, score: int | None) -> None:
    assert scored(SHIPPED, row)[component] == score


def test_targets_that_are_no_whole_numbers_are_exact() -> None:
    # 100 x 29 / 80 / 72.5 % is exactly 50; 100 x 37 / 200 / 0.3 % is far above 100.
    policy = tenant_health_policy(
        components={"login_score": {"target": 72.5}, "case_resolution_score": {"target": 0.3}}
    )
    row = scored(
        policy,
        {"active_users": 29, "total_users": 80, "cases_closed_on_time_30d": 37, "cases_closed_30d": 200},
    )
    assert (row["login_score"], row["case_resolution_score"]) == (50, 100)


@pytest.mark.parametrize("target", [33.333333333333336, 70.12345678901234])
def test_targets_of_many_digits_are_exact(target: float) -> None:
    policy = tenant_health_policy(components={"login_score": {"target": target}})
    assert scored(policy, {"active_users": 50, "total_users": 50})["login_score"] == 100
    third = scored(policy, {"active_users": 1, "total_users": 7})["login_score"]
    assert third == half_up(Fraction(10_000, 7) / reference.exact(target))


def test_the_overall_score_goes_half_up() -> None:
    # 0.2 x 100 + 0.25 x 100 + 0.25 x 100 + 0.15 x 0 + 0.15 x 50 = 77.5
    everybody = {"active_users": 1, "total_users": 1, "cases_closed_30d": 0, "cases_closed_on_time_30d": 0}
    row = scored(SHIPPED, {**everybody, "assignments_total": 0, "assignments_completed": 0, "support_tickets": 5})
    assert (row["overall_score"], row["coverage"]) == (78, 1.0)


def test_weights_that_are_no_whole_numbers_are_exact() -> None:
    # 0.1 and 0.2 are not what binary fractions make of them: (0.1 x 100 + 0.1 x 1 + 0.2 x 0.. ) -> 50.5 goes up.
    weights = {"login_score": 0.1, "support_ticket_score": 0.1}
    policy = tenant_health_policy(
        components={
            **{name: {"weight": weights.get(name, 0)} for name in COMPONENTS},
            "support_ticket_score": {"weight": 0.1, "points_per_ticket": 1},
        }
    )
    row = scored(policy, {"active_users": 1, "total_users": 1, "support_tickets": 99})
    assert (row["login_score"], row["support_ticket_score"], row["overall_score"]) == (100, 1, 51)


def test_what_is_not_mapped_leaves_the_rest_to_count() -> None:
    # logins 20 % x 0 and features 15 % x 100 of 35 %: 42.86
    row = scored(SHIPPED, {"adopted_features": 14})
    assert (row["overall_score"], row["coverage"], row["risk_level"]) == (43, pytest.approx(0.35), "MEDIUM")


def test_a_policy_can_exclude_what_there_is_nothing_to_measure_of() -> None:
    excluded = {"nothing_to_measure": "exclude"}
    policy = tenant_health_policy(
        components={"login_score": excluded, "case_resolution_score": excluded, "campaign_completion_score": excluded}
    )
    nothing = {"cases_closed_30d": 0, "cases_closed_on_time_30d": 0, "assignments_total": 0, "assignments_completed": 0}
    row = scored(policy, {**nothing, "adopted_features": 14, "support_tickets": 5})
    assert [row[name] for name in COMPONENTS] == [None, None, None, 100, 50]
    assert (row["overall_score"], row["coverage"]) == (75, pytest.approx(0.3))


def test_nothing_measured_gives_no_score_no_risk_and_no_alert() -> None:
    policy = tenant_health_policy(
        components={
            "login_score": {"nothing_to_measure": "exclude"},
            "feature_adoption_score": {"weight": 0},
        }
    )
    row = scored(policy, {"alert_level": "PROACTIVE"})
    assert (row["overall_score"], row["coverage"], row["risk_level"], row["alert_level"]) == (None, 0.0, None, None)
    assert (row["score_change"], row["trend"]) == (None, "STABLE")


def test_a_catalogue_without_features_measures_no_adoption() -> None:
    row = scored(tenant_health_policy(features={}), {})
    assert (row["feature_adoption_score"], row["coverage"]) == (None, pytest.approx(0.2))


def test_every_row_names_its_policy() -> None:
    assert scored(SHIPPED, {})["policy_version"] == SHIPPED.version
    assert scored(BY_TICKETS, {})["policy_version"] == BY_TICKETS.version != SHIPPED.version


def expected_components(row: dict[str, Any], rules: reference.Policy) -> dict[str, int | None]:
    """The component scores straight from the table in tenant-health.md."""

    def share(component: str, part: int | None, whole: int | None) -> int | None:
        if part is None or whole is None:
            return None
        if whole == 0:
            fallback = rules["nothing_to_measure"].get(component, "exclude")
            return None if fallback == "exclude" else int(fallback)
        return half_up(
            min(Fraction(100), Fraction(part, whole) / reference.exact(rules["targets"][component]) * 10_000)
        )

    tickets = row["support_tickets"]
    return {
        "login_score": share("login_score", row["active_users"], row["total_users"]),
        "case_resolution_score": share(
            "case_resolution_score", row["cases_closed_on_time_30d"], row["cases_closed_30d"]
        ),
        "campaign_completion_score": share(
            "campaign_completion_score", row["assignments_completed"], row["assignments_total"]
        ),
        "feature_adoption_score": share("feature_adoption_score", row["adopted_features"], len(rules["features"])),
        "support_ticket_score": None if tickets is None else max(0, 100 - rules["points_per_ticket"] * tickets),
    }


def expected_rows(rows: list[dict[str, Any]], rules: reference.Policy, days: DayRange) -> list[dict[str, Any]]:
    """The rows of tenant_health_scores as the reference has them."""
    components = {(row["metric_date"], row["tenant_id"]): expected_components(row, rules) for row in rows}
    overall = {key: reference.overall(scores, rules) for key, scores in components.items()}
    lag = timedelta(days=rules["trend_lag_days"])
    result = []
    for row in rows:
        key = (row["metric_date"], row["tenant_id"])
        if key[0] not in days:
            continue
        score, coverage = overall[key]
        previous, _ = overall.get((key[0] - lag, key[1]), (None, None))
        change = None if score is None or previous is None else score - previous
        trend = reference.trend_of(change, rules)
        risk = reference.risk_level(score, trend, rules)
        result.append(
            {
                "metric_date": key[0],
                "tenant_id": key[1],
                **components[key],
                "overall_score": score,
                "coverage": float(coverage),
                "previous_score": previous,
                "score_change": change,
                "trend": trend,
                "risk_level": risk,
                "alert_level": reference.alert_level(risk, row["alert_level"]),
            }
        )
    return result


decimals = st.one_of(st.integers(0, 40), st.sampled_from([0.1, 0.2, 0.3, 2.5, 12.5, 33.3, 0.05]))
targets = st.one_of(st.integers(1, 120), st.sampled_from([0.1, 2.5, 33.3, 62.5, 99.9]))
fallbacks = st.one_of(st.integers(0, 100), st.just("exclude"))


@st.composite
def policies(draw: st.DrawFn) -> tuple[TenantHealthPolicy, reference.Policy]:
    """The same policy twice: as the package has it, and as the reference does."""
    weights = draw(st.fixed_dictionaries(dict.fromkeys(COMPONENTS, decimals)).filter(lambda w: any(w.values())))
    aims = draw(st.fixed_dictionaries(dict.fromkeys(SHIPPED_POLICY["targets"], targets)))
    at_zero = draw(st.fixed_dictionaries(dict.fromkeys(SHIPPED_POLICY["nothing_to_measure"], fallbacks)))
    high, declining, medium = sorted(draw(st.tuples(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))))
    lag, threshold, points = draw(st.integers(1, 3)), draw(st.integers(0, 30)), draw(st.integers(0, 40))
    components: dict[str, dict[str, Any]] = {name: {"weight": weights[name]} for name in COMPONENTS}
    for name, target in aims.items():
        components[name]["target"] = target
    for name, fallback in at_zero.items():
        components[name]["nothing_to_measure"] = fallback
    components["support_ticket_score"]["points_per_ticket"] = points
    policy = tenant_health_policy(
        components=components,
        trend={"lag_days": lag, "threshold": threshold},
        risk={"high_below": high, "high_if_declining_below": declining, "medium_below": medium},
    )
    rules = {
        **SHIPPED_POLICY,
        "weights": weights,
        "targets": aims,
        "nothing_to_measure": at_zero,
        "points_per_ticket": points,
        "trend_lag_days": lag,
        "trend_threshold": threshold,
        "risk_thresholds": {"high": high, "high_when_declining": declining, "medium": medium},
    }
    return policy, rules


@st.composite
def figure_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Figures of a few tenants on a few days before and in the range, with days that a tenant lacks."""
    # Which optional tables are mapped is the same for all rows.
    has_cases, has_assignments, has_tickets = draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))

    def pair(part: str, whole: str, is_mapped: bool) -> dict[str, int | None]:
        total = draw(st.one_of(st.integers(0, 40), st.sampled_from([400, 1_000, 10_000])))
        done = draw(st.integers(0, total))
        return {part: done, whole: total} if is_mapped else {part: None, whole: None}

    def row(tenant: str, offset: int) -> dict[str, Any]:
        return {
            "metric_date": DAY + timedelta(days=offset),
            "tenant_id": tenant,
            "alert_level": draw(st.sampled_from(["NONE", "DASHBOARD_ONLY", "PROACTIVE", "LOUD", None])),
            **pair("active_users", "total_users", True),
            **pair("cases_closed_on_time_30d", "cases_closed_30d", has_cases),
            **pair("assignments_completed", "assignments_total", has_assignments),
            "support_tickets": draw(st.integers(0, 12)) if has_tickets else None,
            "adopted_features": draw(st.integers(0, 14)),
        }

    offsets = st.sets(st.integers(-3, 1), min_size=1)
    return [row(tenant, offset) for tenant in ("a", "b") for offset in draw(offsets)]


@settings(max_examples=120, deadline=None)
@given(both=policies(), rows=figure_rows())
def test_any_figures_under_any_policy(
    both: tuple[TenantHealthPolicy, reference.Policy], rows: list[dict[str, Any]]
) -> None:
    policy, rules = both
    days = DayRange(DAY, DAY + timedelta(days=1))
    found = tenant_health_scores(figures(*rows), days, policy)
    expected = keyed("tenant_health_scores", expected_rows(rows, rules, days))
    assert differences(frame_rows("tenant_health_scores", found), expected) == []
    assert set(TENANT_HEALTH_SCORES.column_names) <= set(found.columns)
