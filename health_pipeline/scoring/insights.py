"""client_insights: which rules fire for a client's week. Rule: client-success.md, `client_insights`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from health_pipeline.policy.model import Insights
from health_pipeline.scoring import insight_texts as texts

# A client's figures at a Sunday: a row of client_weeks as plain values, metric_date a date.
Figures = Mapping[str, Any]
_WEEK_DAYS = 7


@dataclass(frozen=True)
class Insight:
    """A rule that fired. numbers: the figures behind the text."""

    rule_id: str
    insight_type: str
    priority: str
    title: str
    body: str
    numbers: Mapping[str, int | str]


def client_insights(figures: Figures, rules: Insights) -> Iterator[Insight]:
    """The insights of one client at one Sunday, the most important ones first."""
    yield from _inactive(figures)
    yield from _onboarding(figures, rules.onboarding_tasks_left)
    yield from _milestones(figures, rules.milestones)
    yield from _achievement(figures)
    yield from _summary(figures)


def insight_row(figures: Figures, insight: Insight, rules: Insights) -> dict[str, Any]:
    """A row of client_insights."""
    return {
        "metric_date": figures["metric_date"],
        "tenant_id": figures["tenant_id"],
        "client_id": figures["client_id"],
        "rule_id": insight.rule_id,
        "insight_type": insight.insight_type,
        "title": insight.title,
        "body": insight.body,
        "priority": insight.priority,
        "valid_until": figures["metric_date"] + timedelta(days=rules.valid_days),
        "numbers": json.dumps(insight.numbers, sort_keys=True),
    }


def _inactive(figures: Figures) -> Iterator[Insight]:
    """The last event, or the creation with none, lies before the week."""
    sunday: date = figures["metric_date"]
    ever_active = figures["last_event_days"] is not None
    days_ago = figures["last_event_days"] if ever_active else figures["created_days"]
    if days_ago <= _WEEK_DAYS:
        return
    since = sunday - timedelta(days=days_ago)
    title, body = texts.inactive_since(since) if ever_active else texts.never_active(since)
    numbers: dict[str, int | str] = {"quiet_since": since.isoformat(), "was_ever_active": ever_active}
    yield Insight("inactive_7_days", "recommendation", "HIGH", title, body, numbers)


def _onboarding(figures: Figures, most_left: int) -> Iterator[Insight]:
    tasks, completed, skipped = (figures[f"onboarding_{name}"] for name in ("tasks", "completed", "skipped"))
    if tasks is None:
        return
    left = tasks - completed - skipped
    if 1 <= left <= most_left:
        numbers = {"open_tasks": left, "completed_tasks": completed, "skipped_tasks": skipped}
        yield Insight(
            "onboarding_nearly_done", "tip", "MEDIUM", *texts.onboarding_nearly_done(left, completed), numbers
        )


def _milestones(figures: Figures, milestones: tuple[int, ...]) -> Iterator[Insight]:
    for kind, name in (("task", "tasks_completed"), ("content", "content"), ("visual", "visuals")):
        total, of_week = figures[f"total_{name}"], figures[f"week_{name}"]
        for number in milestones:
            if total - of_week < number <= total:
                rule_id = f"milestone_{kind}_{number}"
                numbers = {"milestone": number, "count": total, "count_of_week": of_week}
                yield Insight(rule_id, "milestone", "MEDIUM", *texts.milestone(kind, number, total), numbers)


def _achievement(figures: Figures) -> Iterator[Insight]:
    content, visuals = figures["week_content"], figures["week_visuals"]
    if content or visuals:
        numbers = {"content_generated": content, "visual_created": visuals}
        yield Insight(
            "achievement_created", "achievement", "LOW", *texts.achievement_created(content, visuals), numbers
        )


def _summary(figures: Figures) -> Iterator[Insight]:
    numbers = {name: figures[name] for name in ("active_days", "events", "high_value_events")}
    if numbers["events"]:
        yield Insight("weekly_summary", "weekly_summary", "LOW", *texts.weekly_summary(**numbers), numbers)
