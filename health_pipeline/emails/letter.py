"""The weekly mail of a client: from figures, scores and insights to subject, HTML and plain text. Pure, no I/O but templates.

Rule: client-success.md, `client_success_emails`. Everything that comes from the source is escaped by the template engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from health_pipeline.plain_text import one_line
from health_pipeline.policy.model import WeeklyMail
from health_pipeline.scoring.insight_texts import counted, spoken_date
from health_pipeline.scoring.insights import Figures, Insight
from health_pipeline.tables.client_success import COMPONENTS

_LONGEST_NAME = 80
# The words are the client's, not the staff's: nobody likes to read that they are at risk.
_BANDS = {
    "EXCELLENT": ("Excellent", "#17704a"),
    "GOOD": ("Good", "#1d5fbf"),
    "NEEDS_ATTENTION": ("Room to grow", "#9a5b00"),
    "AT_RISK": ("Let’s get going", "#b3372f"),
}
_BARS = {
    "engagement_score": "Engagement",
    "activation_score": "Getting started",
    "progress_score": "Progress",
    "satisfaction_score": "Satisfaction",
    "momentum_score": "Momentum",
}
_FIGURES = (
    ("active_days", "active day", "active days"),
    ("events", "action", "actions"),
    ("high_value_events", "result", "results"),
    ("week_tasks_completed", "task completed", "tasks completed"),
    ("week_content", "piece of content", "pieces of content"),
    ("week_visuals", "visual", "visuals"),
)


@dataclass(frozen=True)
class Person:
    """To whom the mail goes; names as they stand in the source."""

    name: str | None
    tenant_name: str


@dataclass(frozen=True)
class Letter:
    """A rendered mail."""

    subject: str
    html: str
    plain_text: str


@dataclass(frozen=True)
class _Bar:
    label: str
    score: int | None
    colour: str


def weekly_letter(
    figures: Figures, scores: Mapping[str, Any], insights: Sequence[Insight], person: Person, mail: WeeklyMail
) -> Letter:
    """The mail for one row of client_success_scores. figures: the client's row of client_weeks; nulls are None."""
    sunday: date = figures["metric_date"]
    band, colour = _BANDS[scores["band"]]
    content = {
        "name": shown_name(person.name) or "there",
        "tenant": shown_name(person.tenant_name) or "your team",
        "product": mail.product,
        "link": mail.link,
        "week": f"{spoken_date(sunday - timedelta(days=7))} to {spoken_date(sunday - timedelta(days=1))}",
        "score": scores["overall_score"],
        "band": band,
        "colour": colour,
        "change": _change(scores),
        "bars": [_Bar(_BARS[name], scores[name], _colour(scores[name])) for name in COMPONENTS],
        "figures": [(figures[name], one if figures[name] == 1 else many) for name, one, many in _FIGURES],
        "insights": insights,
    }
    html, plain = _templates()
    return Letter(
        subject=f"Your week: {scores['overall_score']} of 100 points",
        html=html.render(content),
        plain_text=plain.render(content),
    )


def shown_name(name: str | None) -> str:
    """A name on one line, cut when overlong."""
    return one_line(name or "", _LONGEST_NAME)


def _change(scores: Mapping[str, Any]) -> str:
    if scores["previous_score"] is None:
        return "Your first weekly score"
    change = scores["overall_score"] - scores["previous_score"]
    if not change:
        return "The same as last week"
    return f"{'Up' if change > 0 else 'Down'} {counted(abs(change), 'point')} since last week"


def _colour(score: int | None) -> str:
    if score is None:
        return "#8a93a3"
    return next(
        colour
        for limit, colour in ((80, "#17704a"), (60, "#1d5fbf"), (40, "#c77700"), (0, "#b3372f"))
        if score >= limit
    )


@cache
def _templates() -> tuple[Template, Template]:
    environment = Environment(
        loader=PackageLoader("health_pipeline.emails"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("weekly.html.j2"), environment.get_template("weekly.txt.j2")
