"""Scoring (tenant-health.md, `tenant_health_scores`, Policy): the shipped policy and the rules that need no data."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

Policy = dict[str, Any]

SHIPPED_POLICY: Policy = {
    "weights": {
        "login_score": 20,
        "case_resolution_score": 25,
        "campaign_completion_score": 25,
        "feature_adoption_score": 15,
        "support_ticket_score": 15,
    },
    "targets": {
        "login_score": 70,
        "case_resolution_score": 90,
        "campaign_completion_score": 85,
        "feature_adoption_score": 60,
    },
    # A fixed score, or "exclude".
    "nothing_to_measure": {"login_score": 0, "case_resolution_score": 100, "campaign_completion_score": 100},
    "points_per_ticket": 10,
    "trend_lag_days": 1,
    "trend_threshold": 5,
    "risk_thresholds": {"high": 40, "high_when_declining": 60, "medium": 70},
    "features": {
        "CASE_MANAGEMENT": "core",
        "INVESTIGATION_CHECKLISTS": "core",
        "ANONYMOUS_REPORTING": "core",
        "EMPLOYEE_PORTAL": "core",
        "POLICY_MANAGEMENT": "core",
        "AI_ASSISTANT": "advanced",
        "CUSTOM_DASHBOARDS": "advanced",
        "SCHEDULED_REPORTS": "advanced",
        "CAMPAIGN_MANAGEMENT": "campaigns",
        "COI_DISCLOSURES": "campaigns",
        "ATTESTATIONS": "campaigns",
        "HRIS_INTEGRATION": "integrations",
        "SSO": "integrations",
        "API_ACCESS": "integrations",
    },
    # (name, smallest, largest or None), by size.
    "size_bands": [
        ("1-49", 1, 49),
        ("50-249", 50, 249),
        ("250-999", 250, 999),
        ("1000-4999", 1000, 4999),
        ("5000+", 5000, None),
    ],
    "min_peers": 5,
    "min_peers_for_extremes": 10,
}

COMPONENTS = tuple(SHIPPED_POLICY["weights"])


def half_up(value: Fraction) -> int:
    """The nearest integer, halves up."""
    return (value + Fraction(1, 2)).__floor__()


def exact(number: Any) -> Fraction:
    """A policy's number as the decimal that was written."""
    return Fraction(str(number))


def overall(components: dict[str, int | None], policy: Policy) -> tuple[int | None, Fraction]:
    """The overall score (None with nothing measured) and the coverage."""
    weights = {name: exact(weight) for name, weight in policy["weights"].items()}
    measured = {name: score for name, score in components.items() if score is not None}
    measured_weight = sum((weights[name] for name in measured), Fraction(0))
    coverage = measured_weight / sum(weights.values())
    if measured_weight == 0:
        return None, coverage
    return half_up(sum(weights[name] * score for name, score in measured.items()) / measured_weight), coverage


def trend_of(change: int | None, policy: Policy) -> str:
    """IMPROVING, DECLINING or STABLE (also without a change)."""
    threshold = exact(policy["trend_threshold"])
    if change is not None and change > threshold:
        return "IMPROVING"
    if change is not None and change < -threshold:
        return "DECLINING"
    return "STABLE"


def risk_level(score: int | None, trend: str, policy: Policy) -> str | None:
    """HIGH, MEDIUM or LOW; None without a score."""
    limits = {name: exact(limit) for name, limit in policy["risk_thresholds"].items()}
    if score is None:
        return None
    if score < limits["high"] or (score < limits["high_when_declining"] and trend == "DECLINING"):
        return "HIGH"
    if score < limits["medium"] or trend == "DECLINING":
        return "MEDIUM"
    return "LOW"


def alert_level(risk: str | None, setting: str | None) -> str | None:
    """NONE at LOW risk, else the tenant's own setting, never above DASHBOARD_ONLY at MEDIUM."""
    if risk is None:
        return None
    if risk == "LOW" or setting == "NONE":
        return "NONE"
    if risk == "HIGH" and setting == "PROACTIVE":
        return "PROACTIVE"
    return "DASHBOARD_ONLY"
