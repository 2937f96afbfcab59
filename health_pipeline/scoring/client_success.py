"""client_success_scores, and the alerts that scores give: from a client's figures. Rule: client-success.md.

All scores are exact: integers, and fractions of integers rounded half up.
"""

from __future__ import annotations

from datetime import timedelta
from math import lcm
from typing import cast

import numpy as np
import pandas as pd

from health_pipeline.policy.model import ClientSuccessPolicy, Part
from health_pipeline.scoring.rounding import Integers, divided_half_up
from health_pipeline.scoring.tenant_health import whole_weights

KEYS = ["metric_date", "tenant_id", "client_id"]
WEEK = timedelta(days=7)


def client_success_scores(figures: pd.DataFrame, policy: ClientSuccessPolicy) -> pd.DataFrame:
    """Rows of client_success_scores; grain: as `figures`, the columns of client_weeks for Sundays a week apart.

    previous_score is null at the first of these Sundays.
    """
    scores = pd.concat([figures[KEYS], component_scores(figures, policy)], axis=1)
    weights = whole_weights(policy.components.weights)
    total = np.zeros(len(scores), dtype=np.int64)
    measured = np.zeros(len(scores), dtype=np.int64)
    for name, weight in weights.items():
        total += weight * _integers(scores[name])
        measured += weight * scores[name].notna().to_numpy(dtype=np.int64)
    scores["overall_score"] = pd.Series(divided_half_up(total, measured), index=scores.index, dtype="Int64")
    scores["coverage"] = measured / sum(weights.values())
    scores["band"] = _band(scores["overall_score"], policy)
    before = scores[[*KEYS, "overall_score"]].rename(columns={"overall_score": "previous_score"})
    before["metric_date"] += WEEK
    scores = scores.merge(before, on=KEYS, how="left", validate="one_to_one")
    change = (scores["overall_score"] - scores["previous_score"]).fillna(0)
    threshold = policy.trend.threshold
    scores["trend"] = np.select([change >= threshold, change <= -threshold], ["RISING", "DECLINING"], "STABLE")
    return scores


def component_scores(figures: pd.DataFrame, policy: ClientSuccessPolicy) -> pd.DataFrame:
    """The five component scores as Int64, 0 to 100; null where there is nothing to measure."""
    rules = policy.components
    active_days, events = figures["active_days"], figures["events"]
    kit = rules.activation_score.launch_kit_points * (_integers(figures["launch_kit_views"]) > 0)
    counting_tasks = figures["onboarding_tasks"] - figures["onboarding_skipped"]
    two_weeks = events + figures["events_before"]
    return pd.DataFrame(
        {
            "engagement_score": _parts(
                (active_days, rules.engagement_score.active_days),
                (events, rules.engagement_score.events),
                (figures["high_value_events"], rules.engagement_score.high_value_events),
            ),
            "activation_score": _ratio(
                rules.activation_score.task_points * _integers(figures["onboarding_completed"])
                + kit * _integers(counting_tasks),
                counting_tasks,
                at_least=1,
            ),
            "progress_score": _parts(
                (figures["recent_content"], rules.progress_score.content_generated),
                (figures["recent_visuals"], rules.progress_score.visuals_created),
            ),
            "satisfaction_score": _ratio(_integers(figures["feedback_sum"]), figures["feedback_answers"], at_least=1),
            # 50 + 50 x (a - b) / (a + b) is 100 x a / (a + b).
            "momentum_score": _ratio(100 * _integers(events), two_weeks, at_least=rules.momentum_score.min_events),
        },
        index=figures.index,
    )


def _parts(*parts: tuple[pd.Series, Part]) -> pd.Series:
    """The sum of points x min(1, figure / target), rounded half up, at most 100."""
    common = lcm(*(part.target for _, part in parts))
    total = np.zeros(len(parts[0][0]), dtype=np.int64)
    for figure, part in parts:
        total += part.points * (common // part.target) * np.minimum(_integers(figure), part.target)
    return pd.Series(np.minimum(divided_half_up(total, common), 100), index=parts[0][0].index, dtype="Int64")


def _ratio(numerator: Integers, denominator: pd.Series, at_least: int) -> pd.Series:
    """numerator / denominator, rounded half up, at most 100; null where the denominator is null or below `at_least`."""
    measured = (denominator >= at_least).fillna(False).to_numpy(dtype=bool)
    points = np.minimum(divided_half_up(numerator, np.where(measured, _integers(denominator), 1)), 100)
    return pd.Series(points, index=denominator.index, dtype="Int64").mask(~measured)


def _integers(values: pd.Series) -> Integers:
    """The values with 0 for null."""
    return cast(Integers, values.fillna(0).to_numpy(dtype=np.int64))


def _band(overall: pd.Series, policy: ClientSuccessPolicy) -> np.ndarray:
    bands = policy.bands
    limits = [overall >= bands.excellent_from, overall >= bands.good_from, overall >= bands.needs_attention_from]
    return np.select(
        [limit.to_numpy(dtype=bool) for limit in limits], ["EXCELLENT", "GOOD", "NEEDS_ATTENTION"], "AT_RISK"
    )


def longest_churn_run(policy: ClientSuccessPolicy) -> int:
    """How many Sundays in a row can be AT_RISK and DECLINING at most: each falls by the trend's threshold, from below
    the limit of AT_RISK, and none falls below 0."""
    return (policy.bands.needs_attention_from - 1) // policy.trend.threshold + 1


def is_churn_risk(scores: pd.DataFrame) -> pd.Series:
    """Whether a row of client_success_scores is one of a churn_risk."""
    return (scores["band"] == "AT_RISK") & (scores["trend"] == "DECLINING")


def score_alerts(scores: pd.DataFrame, policy: ClientSuccessPolicy) -> pd.DataFrame:
    """The score_drop and churn_risk alerts that a Sunday's score gives rise to; grain: metric_date (the Sunday),
    client, alert_type. Columns: these, tenant_id, severity, opened_on.

    scores: rows of client_success_scores, a client's Sundays without a gap, back to the beginning of every churn_risk.
    """
    ordered = scores.sort_values([*KEYS[1:], "metric_date"], ignore_index=True)
    rules = policy.alerts
    fall = (ordered["previous_score"] - ordered["overall_score"]).fillna(0).astype("int64")
    drops = ordered.loc[fall >= rules.score_drop, KEYS].assign(alert_type="score_drop")
    drops["severity"] = np.where(fall[drops.index] >= rules.score_drop_critical, "critical", "warning")
    drops["opened_on"] = drops["metric_date"]
    at_risk = is_churn_risk(ordered)
    run = (~at_risk).cumsum()
    runs = ordered.loc[at_risk, KEYS].assign(alert_type="churn_risk", severity="critical", run=run[at_risk])
    runs["opened_on"] = runs.groupby([*KEYS[1:], "run"])["metric_date"].transform("min")
    return pd.concat([drops, runs.drop(columns="run")], ignore_index=True)
