"""Insights: when each rule fires, and what it says: real figures, singular and plural right."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from health_pipeline.policy.load import load_policy
from health_pipeline.scoring import insight_texts as texts
from health_pipeline.scoring.insights import Insight, client_insights, insight_row

RULES = load_policy(None).client_success.insights
SUNDAY = date(2024, 3, 3)
QUIET: dict[str, Any] = {
    "metric_date": SUNDAY,
    "tenant_id": "t",
    "client_id": "c",
    "last_event_days": 3,
    "created_days": 400,
    **dict.fromkeys(("active_days", "events", "high_value_events"), 0),
    **{f"{span}_{name}": 0 for span in ("week", "total") for name in ("tasks_completed", "content", "visuals")},
    **dict.fromkeys(("onboarding_tasks", "onboarding_completed", "onboarding_skipped"), 0),
}


def fired(**values: Any) -> dict[str, Insight]:
    return {insight.rule_id: insight for insight in client_insights({**QUIET, **values}, RULES)}


def said(rule_id: str, **values: Any) -> str:
    insight = fired(**values)[rule_id]
    return f"{insight.title}. {insight.body}"


def test_a_quiet_week_says_nothing() -> None:
    assert fired() == {}


@pytest.mark.parametrize(
    ("days", "events", "high_value", "body"),
    [
        (1, 1, 0, "You were active on 1 day this week and took 1 action."),
        (3, 1234, 0, "You were active on 3 days this week and took 1,234 actions."),
    ],
)
def test_weekly_summary(days: int, events: int, high_value: int, body: str) -> None:
    insight = fired(active_days=days, events=events, high_value_events=high_value)["weekly_summary"]
    assert (insight.insight_type, insight.body) == ("weekly_summary", body)
    assert insight.numbers == {"active_days": days, "events": events, "high_value_events": high_value}


def test_weekly_summary_counts_results() -> None:
    said_with_results = said("weekly_summary", active_days=2, events=9, high_value_events=4)
    assert said_with_results.endswith("such as finished tasks or new content: 4.")


@pytest.mark.parametrize(
    ("content", "visuals", "made"),
    [
        (1, 0, "1 piece of content"),
        (2, 0, "2 pieces of content"),
        (0, 1, "1 visual"),
        (0, 2, "2 visuals"),
        (1, 2, "1 piece of content and 2 visuals"),
    ],
)
def test_achievement(content: int, visuals: int, made: str) -> None:
    assert f"You made {made} this week." in said("achievement_created", week_content=content, week_visuals=visuals)


@pytest.mark.parametrize(
    ("total", "of_week", "reached"),
    [
        (9, 9, []),
        (10, 1, [10]),
        (11, 1, []),
        (12, 3, [10]),
        (49, 1, []),
        (50, 1, [50]),
        (100, 100, [10, 50, 100]),
        (100, 51, [50, 100]),
        (101, 1, []),
    ],
)
@pytest.mark.parametrize(("kind", "name"), [("task", "tasks_completed"), ("content", "content"), ("visual", "visuals")])
def test_milestones(kind: str, name: str, total: int, of_week: int, reached: list[int]) -> None:
    found = fired(**{f"total_{name}": total, f"week_{name}": of_week})
    assert [rule for rule in found if "milestone" in rule] == [f"milestone_{kind}_{number}" for number in reached]
    assert all(insight.numbers["count"] == total for rule, insight in found.items() if "milestone" in rule)


def test_a_milestone_names_the_number_and_the_count() -> None:
    assert said("milestone_task_10", total_tasks_completed=12, week_tasks_completed=5) == (
        "Milestone reached: 10 tasks completed. You have completed 12 tasks in all. Congratulations!"
    )
    assert texts.milestone("visual", 1, 1)[0] == "Milestone reached: 1 visual created"


@pytest.mark.parametrize(("days", "fires"), [(7, False), (8, True)])
def test_inactive_when_the_last_event_lies_before_the_week(days: int, fires: bool) -> None:
    assert ("inactive_7_days" in fired(last_event_days=days)) is fires
    assert ("inactive_7_days" in fired(last_event_days=None, created_days=days)) is fires


def test_inactive_says_since_when() -> None:
    assert "Your last activity was on 24 February 2024." in said("inactive_7_days", last_event_days=8)
    never = said("inactive_7_days", last_event_days=None, created_days=63)
    assert "You joined on 31 December 2023, and there has been no activity yet." in never


@pytest.mark.parametrize(
    ("tasks", "completed", "skipped", "title"),
    [
        (3, 3, 0, None),
        (4, 3, 0, "Almost there: 1 onboarding task to go"),
        (5, 1, 1, "Almost there: 3 onboarding tasks to go"),
        (4, 0, 0, None),
        (0, 0, 0, None),
        (None, None, None, None),
    ],
)
def test_onboarding_nearly_done(tasks: Any, completed: Any, skipped: Any, title: str | None) -> None:
    found = fired(onboarding_tasks=tasks, onboarding_completed=completed, onboarding_skipped=skipped)
    assert [insight.title for insight in found.values()] == ([] if title is None else [title])


def test_onboarding_counts_what_is_done() -> None:
    assert "completed 1 task." in said("onboarding_nearly_done", onboarding_tasks=2, onboarding_completed=1)
    assert "completed 4 tasks." in said("onboarding_nearly_done", onboarding_tasks=5, onboarding_completed=4)
    assert "already" not in said("onboarding_nearly_done", onboarding_tasks=2)


def test_a_row_of_the_table() -> None:
    insight = fired(active_days=1, events=2)["weekly_summary"]
    row = insight_row({**QUIET}, insight, RULES)
    assert row["valid_until"] == date(2024, 3, 10)
    assert json.loads(row["numbers"]) == {"active_days": 1, "events": 2, "high_value_events": 0}


counts = st.integers(0, 20_000)


@given(active_days=st.integers(1, 7), events=counts, week_content=counts, week_visuals=counts, total=counts)
def test_texts_say_only_figures_that_were_counted(total: int, **values: int) -> None:
    values["total_content"] = total + values["week_content"]
    for rule_id, insight in fired(**values).items():
        milestone = rule_id.rpartition("_")[2]
        known = {f"{number:,}" for number in values.values()} | {milestone}
        assert set(re.findall(r"\d[\d,]*", f"{insight.title} {insight.body}")) <= known
        assert not re.search(r"\b1 (days|actions|pieces|visuals|tasks)\b", insight.body)
        assert not re.search(r"\b(\d*[02-9]|\d[\d,]*1) (day|action|piece|visual|task)\b", insight.body)
