"""Scores, the alerts that scores give, the month's picture and the policy: examples worked by hand, and properties."""

from __future__ import annotations

import struct
import zlib
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from health_pipeline.errors import PolicyError
from health_pipeline.policy.load import load_policy
from health_pipeline.scoring.client_success import (
    client_success_scores,
    component_scores,
    is_churn_risk,
    longest_churn_run,
    score_alerts,
)
from health_pipeline.scoring.heatmap import heatmap_png, month_of

POLICY = load_policy(None).client_success
SUNDAY = date(2024, 3, 3)
COUNTS = {
    **dict.fromkeys(("active_days", "events", "high_value_events", "events_before", "launch_kit_views"), 0),
    **dict.fromkeys(("recent_content", "recent_visuals"), 0),
    **dict.fromkeys(("onboarding_tasks", "onboarding_completed", "onboarding_skipped"), 0),
    **dict.fromkeys(("feedback_answers", "feedback_sum"), 0),
}


def figures(*clients: dict[str, Any], sunday: date = SUNDAY) -> pd.DataFrame:
    """Figures of a Sunday with these values, 0 else; clients are c0, c1, …"""
    rows = [{**COUNTS, **client, "tenant_id": "t", "client_id": f"c{n}"} for n, client in enumerate(clients)]
    frame = pd.DataFrame(rows).astype(dict.fromkeys(COUNTS, "Int64"))
    return frame.assign(metric_date=pd.Timestamp(sunday).as_unit("us"))


def component(name: str, **values: Any) -> int | None:
    score = component_scores(figures(values), POLICY)[name].iloc[0]
    return None if score is pd.NA else int(score)


@pytest.mark.parametrize(
    ("active_days", "events", "high_value", "score"),
    [
        (0, 0, 0, 0),
        (5, 20, 3, 100),
        (7, 500, 90, 100),  # each part has a ceiling
        (5, 0, 0, 50),
        (1, 1, 0, 12),  # 10 + 1.5
        (1, 3, 1, 21),  # 10 + 4.5 + 6.67 = 21.17
        (4, 19, 2, 82),  # 40 + 28.5 + 13.33 = 81.83
        (3, 5, 0, 38),  # 30 + 7.5: half up
    ],
)
def test_engagement(active_days: int, events: int, high_value: int, score: int) -> None:
    found = component("engagement_score", active_days=active_days, events=events, high_value_events=high_value)
    assert found == score


@pytest.mark.parametrize(
    ("tasks", "completed", "skipped", "kit_views", "score"),
    [
        (0, 0, 0, 1, None),
        (3, 0, 3, 1, None),  # all skipped: none that counts
        (3, 3, 0, 0, 80),
        (4, 3, 1, 2, 100),
        (3, 1, 0, 0, 27),  # 26.67
        (32, 1, 0, 0, 3),  # 2.5: half up
        (32, 1, 0, 1, 23),
        (5, 0, 1, 1, 20),
    ],
)
def test_activation(tasks: int, completed: int, skipped: int, kit_views: int, score: int | None) -> None:
    values = {"onboarding_tasks": tasks, "onboarding_completed": completed, "onboarding_skipped": skipped}
    assert component("activation_score", **values, launch_kit_views=kit_views) == score


@pytest.mark.parametrize(
    ("content", "visuals", "score"), [(0, 0, 0), (8, 4, 100), (9, 0, 60), (0, 5, 40), (1, 0, 8), (1, 1, 18), (3, 0, 23)]
)
def test_progress(content: int, visuals: int, score: int) -> None:
    assert component("progress_score", recent_content=content, recent_visuals=visuals) == score


def test_satisfaction_is_the_mean_rounded_half_up() -> None:
    assert component("satisfaction_score", feedback_answers=2, feedback_sum=3) == 2
    assert component("satisfaction_score", feedback_answers=3, feedback_sum=1) == 0
    assert component("satisfaction_score", feedback_answers=1, feedback_sum=0) == 0
    assert component("satisfaction_score") is None


@pytest.mark.parametrize(
    ("this_week", "before", "score"),
    [(2, 2, None), (4, 0, None), (5, 0, 100), (0, 5, 0), (3, 3, 50), (3, 2, 60), (1, 7, 13), (3, 5, 38)],
)
def test_momentum(this_week: int, before: int, score: int | None) -> None:
    assert component("momentum_score", events=this_week, events_before=before) == score


def test_what_is_not_mapped_is_null() -> None:
    unmapped = dict.fromkeys(("onboarding_tasks", "onboarding_completed", "onboarding_skipped"), pd.NA)
    assert component("activation_score", **unmapped, launch_kit_views=1) is None
    assert component("satisfaction_score", feedback_answers=pd.NA, feedback_sum=pd.NA) is None


def test_overall_shares_the_weights_of_what_is_not_measured() -> None:
    all_measured = {
        "active_days": 5,
        "events": 20,
        "high_value_events": 3,
        "events_before": 20,  # 100, momentum 50
        "onboarding_tasks": 2,
        "onboarding_completed": 1,
        "feedback_answers": 1,
        "feedback_sum": 71,  # 40, 71
    }
    scores = client_success_scores(figures({}, all_measured), POLICY)
    assert scores["overall_score"].tolist() == [0, 51]  # 25 + 8 + 0 + 10.65 + 7.5 = 51.15
    assert scores["coverage"].tolist() == [0.5, 1.0]
    # Without activation and satisfaction: (25 x 100 + 25 x 0 + 15 x 50) / 65 = 50.
    without = {**all_measured, "onboarding_tasks": 0, "onboarding_completed": 0, "feedback_answers": 0}
    assert client_success_scores(figures(without), POLICY)["overall_score"].tolist() == [50]


@st.composite
def client_figures(draw: st.DrawFn) -> dict[str, Any]:
    tasks = draw(st.integers(0, 40))
    skipped = draw(st.integers(0, tasks))
    answers = draw(st.integers(0, 9))
    small = st.integers(0, 30)
    return {
        "active_days": draw(st.integers(0, 7)),
        **{name: draw(small) for name in ("events", "high_value_events", "events_before", "launch_kit_views")},
        **{name: draw(small) for name in ("recent_content", "recent_visuals")},
        "onboarding_tasks": tasks,
        "onboarding_skipped": skipped,
        "onboarding_completed": draw(st.integers(0, tasks - skipped)),
        "feedback_answers": answers,
        "feedback_sum": draw(st.integers(0, 100 * answers)),
    }


def half_up(value: Fraction) -> int:
    return int(value + Fraction(1, 2))


def part(points: int, count: int, target: int) -> Fraction:
    return points * min(Fraction(1), Fraction(count, target))


@settings(max_examples=60, deadline=None)
@given(client_figures())
def test_scores_are_the_formulas_in_fractions(client: dict[str, Any]) -> None:
    a, b = client["events"], client["events_before"]
    tasks = client["onboarding_tasks"] - client["onboarding_skipped"]
    answers = client["feedback_answers"]
    kit = 20 if client["launch_kit_views"] else 0
    engagement = part(50, client["active_days"], 5) + part(30, a, 20) + part(20, client["high_value_events"], 3)
    expected = {
        "engagement_score": engagement,
        "activation_score": Fraction(80 * client["onboarding_completed"], tasks) + kit if tasks else None,
        "progress_score": part(60, client["recent_content"], 8) + part(40, client["recent_visuals"], 4),
        "satisfaction_score": Fraction(client["feedback_sum"], answers) if answers else None,
        "momentum_score": 50 + 50 * Fraction(a - b, a + b) if a + b >= 5 else None,
    }
    rounded = {name: None if score is None else half_up(score) for name, score in expected.items()}
    measured = [(POLICY.components.weights[name], score) for name, score in rounded.items() if score is not None]
    row = client_success_scores(figures(client), POLICY).iloc[0]
    assert {name: None if row[name] is pd.NA else row[name] for name in rounded} == rounded
    assert row["overall_score"] == half_up(Fraction(sum(w * s for w, s in measured)) / sum(w for w, _ in measured))
    assert all(0 <= score <= 100 for _, score in measured)


def weeks(*overall: int) -> pd.DataFrame:
    """Scored Sundays, the last on SUNDAY, whose overall score is given: only satisfaction weighs."""
    weights = dict.fromkeys(("engagement_score", "activation_score", "progress_score", "momentum_score"), 0)
    policy = policy_with({"components": {name: {"weight": weight} for name, weight in weights.items()}})
    parts = [
        figures({"feedback_answers": 1, "feedback_sum": score}, sunday=SUNDAY - timedelta(days=7 * weeks_ago))
        for weeks_ago, score in zip(reversed(range(len(overall))), overall, strict=True)
    ]
    return client_success_scores(pd.concat(parts, ignore_index=True), policy)


def policy_with(changes: dict[str, Any]) -> Any:
    """The shipped policy with other weights; where none is left that is always measured, the model would refuse it."""
    components = POLICY.components
    changed = {
        name: getattr(components, name).model_copy(update=values) for name, values in changes["components"].items()
    }
    return POLICY.model_copy(update={"components": components.model_copy(update=changed)})


@pytest.mark.parametrize(
    ("score", "band"),
    [
        *((0, "AT_RISK"), (39, "AT_RISK"), (40, "NEEDS_ATTENTION"), (59, "NEEDS_ATTENTION")),
        *((60, "GOOD"), (79, "GOOD"), (80, "EXCELLENT"), (100, "EXCELLENT")),
    ],
)
def test_bands(score: int, band: str) -> None:
    assert weeks(score)["band"].tolist() == [band]


@pytest.mark.parametrize(
    ("before", "now", "trend"),
    [(50, 55, "RISING"), (50, 54, "STABLE"), (50, 46, "STABLE"), (50, 45, "DECLINING"), (0, 100, "RISING")],
)
def test_a_change_of_five_is_a_trend(before: int, now: int, trend: str) -> None:
    scores = weeks(before, now)
    assert scores["trend"].tolist() == ["STABLE", trend]
    assert scores["previous_score"].iloc[0] is pd.NA
    assert scores["previous_score"].iloc[1] == before


def alerts(*overall: int) -> dict[tuple[date, str], tuple[str, date]]:
    found = score_alerts(weeks(*overall), POLICY)
    return {
        (row["metric_date"].date(), row["alert_type"]): (row["severity"], row["opened_on"].date())
        for row in found.to_dict("records")
    }


def sunday(weeks_ago: int) -> date:
    return SUNDAY - timedelta(days=7 * weeks_ago)


@pytest.mark.parametrize(("fall", "severity"), [(19, None), (20, "warning"), (29, "warning"), (30, "critical")])
def test_a_score_drop(fall: int, severity: str | None) -> None:
    found = alerts(95, 95 - fall)
    assert found == ({} if severity is None else {(SUNDAY, "score_drop"): (severity, SUNDAY)})


def test_two_drops_in_a_row_are_two() -> None:
    assert alerts(95, 75, 50) == {
        (sunday(1), "score_drop"): ("warning", sunday(1)),
        (SUNDAY, "score_drop"): ("warning", SUNDAY),
    }


def test_churn_risk_opens_on_the_first_sunday_of_its_unbroken_run() -> None:
    # 44 declines, but isn't at risk; 39 and 34 are one run; 33 is stable; 28 begins another.
    assert alerts(50, 44, 39, 34, 33, 28) == {
        (sunday(3), "churn_risk"): ("critical", sunday(3)),
        (sunday(2), "churn_risk"): ("critical", sunday(3)),
        (SUNDAY, "churn_risk"): ("critical", SUNDAY),
    }


def test_the_longest_run_of_churn_risk() -> None:
    longest = (44, 39, 34, 29, 24, 19, 14, 9, 4)
    assert longest_churn_run(POLICY) == 8
    assert int(is_churn_risk(weeks(*longest)).sum()) == 8
    assert alerts(*longest)[SUNDAY, "churn_risk"] == ("critical", sunday(7))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=14))
def test_no_run_of_churn_risk_is_longer_than_that(overall: list[int]) -> None:
    run = longest = 0
    for risky in is_churn_risk(weeks(*overall)):
        run = run + 1 if risky else 0
        longest = max(longest, run)
    assert longest <= longest_churn_run(POLICY)


def pixels_of(png: bytes) -> tuple[list[bytes], list[tuple[int, int, int]]]:
    """The rows of palette indexes and the palette of a PNG, its checksums verified."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        name, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size])[0] == zlib.crc32(name + data)
        chunks[name], at = data, at + 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    raw = zlib.decompress(chunks[b"IDAT"])
    rows = [raw[n * (width + 1) : (n + 1) * (width + 1)] for n in range(height)]
    assert all(row[0] == 0 for row in rows)
    palette = chunks[b"PLTE"]
    return [row[1:] for row in rows], [tuple(palette[n : n + 3]) for n in range(0, len(palette), 3)]  # type: ignore[misc]


def test_a_month_as_a_picture() -> None:
    last = date(2024, 3, 13)  # a Wednesday; the 30 days begin on Tuesday, 13 February
    events = {last: 100, date(2024, 2, 13): 1, date(2024, 3, 3): 50, date(2024, 2, 12): 999}
    rows, palette = pixels_of(heatmap_png(events, last))

    def square(week: int, weekday: int) -> int:
        return rows[12 + 27 * weekday + 11][12 + 27 * week + 11]

    assert month_of(last).first == date(2024, 2, 13)
    assert len(rows) == 2 * 12 + 7 * 22 + 6 * 5
    assert [square(0, weekday) for weekday in range(7)] == [0, 0, 2, 1, 1, 1, 1]  # Sunday and Monday lie before
    assert [square(4, weekday) for weekday in range(7)] == [1, 1, 1, 5, 0, 0, 0]  # up to Wednesday, the busiest
    assert square(3, 0) == 3
    assert len(palette) == 6


def test_a_month_without_events_is_a_picture_too() -> None:
    rows, _ = pixels_of(heatmap_png({}, SUNDAY))
    assert {value for row in rows for value in row} == {0, 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alerts: {inactivity_hours: 72}", "inactivity_hours < zero_activity_hours"),
        ("alerts: {score_drop: 31}", "score_drop <= score_drop_critical"),
        ("alerts: {snooze: 1}", "unknown key"),
        ("bands: {good_from: 80}", "excellent_from > good_from"),
        ("trend: {threshold: 0}", "greater than or equal to 1"),
        ("insights: {milestones: [50, 10]}", "must ascend"),
        ("components: {engagement_score: {weight: 0}, progress_score: {weight: 0}}", "at least one must be above 0"),
        ("components: {engagement_score: {events: {target: 0}}}", "greater than or equal to 1"),
        ("weekly_mail: {link: 'javascript:alert(1)'}", "should match pattern"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(f"client_success:\n  {text}\n")
    with pytest.raises(PolicyError, match="client_success") as refused:
        load_policy(file)
    assert message in str(refused.value)
