"""The policy as typed, checked values. Rule: tenant-health.md, "Policy"; order-health.md; client-success.md."""

from __future__ import annotations

import hashlib
import json
import re
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, field_validator, model_validator

from health_pipeline.scoring.peer_benchmarks import PeerRules, SizeBand


def _exact(value: Any) -> Fraction:
    """A number as written in YAML, without binary rounding: 72.5 is 145/2; a third is written "1/3"."""
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return Fraction(str(value))
        except (ValueError, ZeroDivisionError):
            pass
    raise ValueError(f"expected a number, found {value!r}")


def _score_or_exclude(value: Any) -> Any:
    if value == "exclude" or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100):
        return value
    raise ValueError(f"expected a score from 0 to 100 or exclude, found {value!r}")


Exact = Annotated[Fraction, BeforeValidator(_exact), PlainSerializer(str)]
Points = Annotated[int, Field(strict=True, ge=0, le=100)]
Days = Annotated[int, Field(strict=True, ge=1, le=3660)]
Count = Annotated[int, Field(strict=True, ge=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Weighted(Section):
    """weight: percent of the overall score, 0 or more."""

    weight: Exact = Field(ge=0)


class TargetComponent(Weighted):
    """A ratio scaled to its target. target: the percentage that earns 100 points."""

    target: Exact = Field(gt=0)


class RatioComponent(TargetComponent):
    """nothing_to_measure: the score where the denominator is 0, or `exclude`."""

    nothing_to_measure: Annotated[int | Literal["exclude"], BeforeValidator(_score_or_exclude)]


class TicketComponent(Weighted):
    points_per_ticket: Annotated[int, Field(strict=True, ge=0)]


class Components(Section):
    login_score: RatioComponent
    case_resolution_score: RatioComponent
    campaign_completion_score: RatioComponent
    feature_adoption_score: TargetComponent
    support_ticket_score: TicketComponent

    @property
    def weights(self) -> dict[str, Fraction]:
        """Component name -> weight, in the order of the score's columns."""
        return {name: getattr(self, name).weight for name in type(self).model_fields}

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if not sum(self.weights.values()):
            raise ValueError("the weights sum to 0; at least one must be above 0")
        return self


class Trend(Section):
    lag_days: Days
    threshold: Points


class Risk(Section):
    high_below: Points
    high_if_declining_below: Points
    medium_below: Points

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.high_below <= self.high_if_declining_below <= self.medium_below:
            raise ValueError(
                "out of order: expected high_below <= high_if_declining_below <= medium_below, found"
                f" {self.high_below}, {self.high_if_declining_below}, {self.medium_below}"
            )
        return self


class Peers(Section):
    size_bands: tuple[str, ...] = Field(min_length=1)
    min_peers: Count
    min_peers_for_extremes: Count

    @field_validator("size_bands")
    @classmethod
    def _ascending(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        bands = [_size_band(name) for name in names]
        for before, after in pairwise(bands):
            if before.employee_max is None or after.employee_min != before.employee_max + 1:
                raise ValueError(
                    f"band {after.name} is out of order: it must start right after the end of {before.name}"
                )
        return names

    @property
    def rules(self) -> PeerRules:
        bands = tuple(_size_band(name) for name in self.size_bands)
        return PeerRules(bands, self.min_peers, self.min_peers_for_extremes)


def _size_band(name: str) -> SizeBand:
    match = re.fullmatch(r"([1-9]\d*)(?:-(\d+)|\+)", name)
    low, high = (int(match[1]), int(match[2]) if match[2] else None) if match else (1, 0)
    if high is not None and high < low:
        raise ValueError(f"a size band reads like '50-249' or '5000+', but one is {name!r}")
    return SizeBand(name, low, high)


class TenantHealthPolicy(Section):
    components: Components
    trend: Trend
    risk: Risk
    features: dict[str, tuple[str, ...]]
    peers: Peers

    @field_validator("features")
    @classmethod
    def _named_once(cls, features: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        keys = [key for category in features.values() for key in category]
        for key in keys:
            if not key:
                raise ValueError("a feature has an empty name")
            if keys.count(key) > 1:
                raise ValueError(f"feature {key} is named twice")
        return features

    @property
    def category_of(self) -> dict[str, str]:
        """Tracked feature -> category, in the policy's order."""
        return {key: category for category, keys in self.features.items() for key in keys}

    @property
    def version(self) -> str:
        """A hash of everything that can change a score or a benchmark."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class PurchaseModelRules(Section):
    """is_enabled: whether probability_alive and expected_orders_90d are computed. min_repeat_buyers: how many customers
    with two or more orders a tenant needs for a model of its own."""

    is_enabled: Annotated[bool, Field(strict=True)]
    min_repeat_buyers: Count


class OrderHealthPolicy(Section):
    interval_orders: Annotated[int, Field(strict=True, ge=2)]
    recent_orders: Count
    baseline_orders: Count
    baseline_min_known: Count
    dormant_after_days: Days
    cadence_risk_after_days: Days
    revenue_drop_percent: Exact = Field(gt=0, lt=100)
    purchase_model: PurchaseModelRules

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.cadence_risk_after_days > self.dormant_after_days:
            raise ValueError("out of order: expected cadence_risk_after_days <= dormant_after_days")
        if self.baseline_min_known > self.baseline_orders:
            raise ValueError("out of order: expected baseline_min_known <= baseline_orders")
        return self


class Part(Section):
    """A part of a component: `points` when the figure reaches the target, less in proportion below it."""

    points: Points
    target: Count


class EngagementComponent(Weighted):
    active_days: Part
    events: Part
    high_value_events: Part


class ActivationComponent(Weighted):
    task_points: Points
    launch_kit_points: Points


class ProgressComponent(Weighted):
    days: Days
    content_generated: Part
    visuals_created: Part


class SatisfactionComponent(Weighted):
    days: Days


class MomentumComponent(Weighted):
    min_events: Count


class ClientComponents(Section):
    engagement_score: EngagementComponent
    activation_score: ActivationComponent
    progress_score: ProgressComponent
    satisfaction_score: SatisfactionComponent
    momentum_score: MomentumComponent

    @property
    def weights(self) -> dict[str, Fraction]:
        """Component name -> weight, in the order of the score's columns."""
        return {name: getattr(self, name).weight for name in type(self).model_fields}

    @model_validator(mode="after")
    def _always_scored(self) -> Self:
        if not self.engagement_score.weight + self.progress_score.weight:
            raise ValueError(
                "the weights of engagement_score and progress_score sum to 0; at least one must be above 0, because only"
                " these two can always be measured"
            )
        return self


class Bands(Section):
    excellent_from: Points
    good_from: Points
    needs_attention_from: Points

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.excellent_from > self.good_from > self.needs_attention_from:
            raise ValueError("out of order: expected excellent_from > good_from > needs_attention_from")
        return self


class ClientTrend(Section):
    threshold: Annotated[int, Field(strict=True, ge=1, le=100)]


class Insights(Section):
    milestones: tuple[Count, ...]
    onboarding_tasks_left: Count
    valid_days: Days

    @field_validator("milestones")
    @classmethod
    def _ascending(cls, milestones: tuple[int, ...]) -> tuple[int, ...]:
        if list(milestones) != sorted(set(milestones)):
            raise ValueError("must ascend, each number once")
        return milestones


class Alerts(Section):
    inactivity_hours: Count
    zero_activity_hours: Count
    task_stalled_hours: Count
    score_drop: Annotated[int, Field(strict=True, ge=1, le=100)]
    score_drop_critical: Annotated[int, Field(strict=True, ge=1, le=100)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.inactivity_hours >= self.zero_activity_hours:
            raise ValueError("out of order: expected inactivity_hours < zero_activity_hours")
        if self.score_drop > self.score_drop_critical:
            raise ValueError("out of order: expected score_drop <= score_drop_critical")
        return self


class WeeklyMail(Section):
    """product: how the mail calls the application. link: the page that its one link opens."""

    product: str = Field(min_length=1)
    link: str = Field(pattern=r"^https?://[^\s/]+\S*$")


class ClientSuccessPolicy(Section):
    high_value_event_types: tuple[Annotated[str, Field(min_length=1)], ...]
    components: ClientComponents
    bands: Bands
    trend: ClientTrend
    insights: Insights
    alerts: Alerts
    weekly_mail: WeeklyMail


class Policy(Section):
    tenant_health: TenantHealthPolicy
    order_health: OrderHealthPolicy
    client_success: ClientSuccessPolicy
