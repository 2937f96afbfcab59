"""tenant_health_scores: from a day's figures to scores, trend and risk. Rule: tenant-health.md, `tenant_health_scores`."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from math import lcm
from typing import cast

import numpy as np
import pandas as pd

from health_pipeline.days import DayRange
from health_pipeline.policy.model import RatioComponent, TargetComponent, TenantHealthPolicy
from health_pipeline.scoring.rounding import Integers, divided_half_up, widened

KEYS = ["metric_date", "tenant_id"]
DEFAULT_ALERT_LEVEL = "DASHBOARD_ONLY"


def tenant_health_scores(figures: pd.DataFrame, days: DayRange, policy: TenantHealthPolicy) -> pd.DataFrame:
    """Rows of tenant_health_scores for the range; grain: metric_date and tenant active at end(D).

    figures: grain as the result, for the range and for the days `policy.trend.lag_days` before each of its days:
    metric_date (midnight), tenant_id, the columns of usage_metrics, adopted_features (tracked features used at least
    once), alert_level (the tenant's own setting, or null).
    """
    scored = figures[[*KEYS, "alert_level"]].join(component_scores(figures, policy))
    scored["overall_score"], scored["coverage"] = overall_scores(scored, policy)
    scored = _with_previous(scored, policy.trend.lag_days)
    first, last = pd.Timestamp(days.first), pd.Timestamp(days.last)
    scored = scored[scored["metric_date"].between(first, last)].reset_index(drop=True)
    scored["trend"] = _trend(scored["score_change"], policy)
    scored["risk_level"] = _risk_level(scored, policy)
    scored["alert_level"] = _alert_level(scored["risk_level"], scored["alert_level"])
    scored["policy_version"] = policy.version
    return scored


def component_scores(figures: pd.DataFrame, policy: TenantHealthPolicy) -> pd.DataFrame:
    """The five component scores as Int64, 0 to 100; null where the source is not mapped or the policy excludes it."""
    rules = policy.components
    tickets = figures["support_tickets"]
    tracked = pd.Series(len(policy.category_of), index=figures.index, dtype="Int64")
    return pd.DataFrame(
        {
            "login_score": _ratio_score(figures["active_users"], figures["total_users"], rules.login_score),
            "case_resolution_score": _ratio_score(
                figures["cases_closed_on_time_30d"], figures["cases_closed_30d"], rules.case_resolution_score
            ),
            "campaign_completion_score": _ratio_score(
                figures["assignments_completed"], figures["assignments_total"], rules.campaign_completion_score
            ),
            "feature_adoption_score": _ratio_score(figures["adopted_features"], tracked, rules.feature_adoption_score),
            "support_ticket_score": (100 - rules.support_ticket_score.points_per_ticket * tickets).clip(lower=0),
        },
        index=figures.index,
    )


def _ratio_score(part: pd.Series, whole: pd.Series, rule: TargetComponent) -> pd.Series:
    """100 x (part / whole) / target, capped at 100 and rounded half up; the rule's own score where whole is 0."""
    measured = whole.notna() & part.notna()
    scale = 10_000 / rule.target
    parts, wholes = (widened(_integers(v), scale.numerator, scale.denominator) for v in (part, whole))
    some = np.where(wholes > 0, wholes, 1)
    points = np.minimum(divided_half_up(parts * scale.numerator, some * scale.denominator), 100)
    result = pd.Series(points.astype(np.int64), index=part.index, dtype="Int64").mask(~measured)
    at_zero = rule.nothing_to_measure if isinstance(rule, RatioComponent) else "exclude"
    return result.mask(measured & (whole == 0).fillna(False), pd.NA if at_zero == "exclude" else at_zero)


def overall_scores(scores: pd.DataFrame, policy: TenantHealthPolicy) -> tuple[pd.Series, pd.Series]:
    """The weighted mean of the measured components, rounded half up (null with none), and their share of all weights."""
    weights = whole_weights(policy.components.weights)
    nothing = widened(np.full(len(scores), 100, dtype=np.int64), sum(weights.values())) * 0
    total, measured = nothing, nothing
    for name, weight in weights.items():
        total = total + weight * _integers(scores[name]).astype(nothing.dtype)
        measured = measured + weight * scores[name].notna().to_numpy().astype(nothing.dtype)
    points = divided_half_up(total, np.where(measured > 0, measured, 1)).astype(np.int64)
    overall = pd.Series(points, index=scores.index, dtype="Int64")
    coverage = pd.Series((measured / sum(weights.values())).astype(np.float64), index=scores.index)
    return overall.mask(measured == 0), coverage


def whole_weights(weights: dict[str, Fraction]) -> dict[str, int]:
    """The same weights as whole numbers in the same proportion."""
    common = lcm(*(weight.denominator for weight in weights.values()))
    return {name: int(weight * common) for name, weight in weights.items()}


def _integers(values: pd.Series) -> Integers:
    """The values with 0 for null."""
    return cast(Integers, values.fillna(0).to_numpy(dtype=np.int64))


def _with_previous(scored: pd.DataFrame, lag_days: int) -> pd.DataFrame:
    """With previous_score, the overall score `lag_days` before, and score_change."""
    before = scored[[*KEYS, "overall_score"]].rename(columns={"overall_score": "previous_score"})
    before["metric_date"] += timedelta(days=lag_days)
    result = scored.merge(before, on=KEYS, how="left", validate="one_to_one")
    result["score_change"] = result["overall_score"] - result["previous_score"]
    return result


def _trend(change: pd.Series, policy: TenantHealthPolicy) -> pd.Series:
    threshold = policy.trend.threshold
    rising, falling = _true(change > threshold), _true(change < -threshold)
    return pd.Series(
        np.select([rising, falling], ["IMPROVING", "DECLINING"], "STABLE"), index=change.index, dtype="str"
    )


def _risk_level(scored: pd.DataFrame, policy: TenantHealthPolicy) -> pd.Series:
    overall, risk = scored["overall_score"], policy.risk
    declining = (scored["trend"] == "DECLINING").to_numpy()
    high = _true(overall < risk.high_below) | (_true(overall < risk.high_if_declining_below) & declining)
    medium = _true(overall < risk.medium_below) | declining
    level = pd.Series(np.select([high, medium], ["HIGH", "MEDIUM"], "LOW"), index=scored.index, dtype="str")
    return level.mask(overall.isna())


def _alert_level(risk_level: pd.Series, setting: pd.Series) -> pd.Series:
    """NONE at LOW risk, else the tenant's own setting, which at MEDIUM is never above DASHBOARD_ONLY."""
    known = setting.where(setting.isin(["NONE", "DASHBOARD_ONLY", "PROACTIVE"]), DEFAULT_ALERT_LEVEL)
    too_loud = (risk_level == "MEDIUM") & (known == "PROACTIVE")
    level = known.mask(too_loud, "DASHBOARD_ONLY").mask(risk_level == "LOW", "NONE")
    return level.mask(risk_level.isna()).astype("str")


def _true(condition: pd.Series) -> np.ndarray:
    return condition.fillna(False).to_numpy(dtype=bool)
