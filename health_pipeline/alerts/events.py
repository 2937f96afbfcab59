"""What people are told, and in which words. Pure, no I/O.

An event has a key that stays the same however often it is looked at, so that it is told once. Texts hold no person's data.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from health_pipeline.days import DAY, Calendar, DayRange
from health_pipeline.plain_text import one_line

# Beyond so many events of a kind at once, one message lists the first ones and counts the others.
_MOST_MESSAGES = 5
_MOST_LISTED = 20
_LONGEST_NAME = 80
_LONGEST_REASON = 160
# A tenant that turned while nobody looked is told of when somebody looks again, but not after a month.
_LONGEST_UNSEEN = timedelta(days=31)
_LEAST_RESTATED = 3
_ADDRESS = re.compile(r"[^\s@<>\"'(,;:]+@[^\s@<>\"'),;:]+")


@dataclass(frozen=True)
class Event:
    """Something to tell. since: since when it is so. text: that in a sentence. link: the page of the Dagster UI on it."""

    key: str
    kind: str
    since: datetime
    text: str
    link: str
    tenant_id: str | None = None


@dataclass(frozen=True)
class FailedRun:
    """A run that failed and won't be tried again by itself. root: the first run, of which it may be a retry.

    days: the partitions it was for; None: it has none. reason: what its first error said, if anything.
    """

    root: str
    run_id: str
    job: str
    days: DayRange | None
    failed_at: datetime
    reason: str | None


@dataclass(frozen=True)
class HighTenant:
    """A tenant that is at HIGH risk on `day`. since: the first day of that streak. change: of the score, in points."""

    tenant_id: str
    name: str
    day: date
    since: date
    score: int
    change: int | None


@dataclass(frozen=True)
class Notice:
    """A message about one event, or about several of a kind. identity: a hash of their keys."""

    identity: str
    headline: str
    lines: tuple[str, ...]
    link: str


def failed_run_key(root: str) -> str:
    """The key of a failed run, its retries included."""
    return f"failed_run:{root}"


def failed_run(run: FailedRun, ui_url: str) -> Event:
    """The event of a failed run."""
    days = "" if run.days is None else f" for {run.days.first}" + f" to {run.days.last}" * (len(run.days) > 1)
    reason = f": {run.reason}" if run.reason else ""
    text = f"{run.job} failed{days} at {_spoken(run.failed_at)}{reason}"
    return Event(failed_run_key(run.root), "failed_run", run.failed_at, text, f"{ui_url}/runs/{run.run_id}")


def stopped_source(table: str, newest_fact_at: datetime, ui_url: str) -> Event:
    """The event of a source table that gets nothing any more. One that resumes and stops again is another event."""
    return Event(
        f"stopped_source:{table}:{newest_fact_at.astimezone(UTC).isoformat()}",
        "stopped_source",
        newest_fact_at,
        f"The source table {table} has stopped: its newest fact is of {_spoken(newest_fact_at)}",
        f"{ui_url}/assets/source/{table}",
    )


def high_risk(tenant: HighTenant, known_key: str | None, calendar: Calendar, ui_url: str) -> Event:
    """The event of a tenant that turned HIGH. known_key: the one under which it was told, or begun to be, before."""
    change = "" if tenant.change is None else f" ({tenant.change:+d})"
    name = f"{one_line(tenant.name, _LONGEST_NAME)} ({one_line(tenant.tenant_id, _LONGEST_NAME)})"
    return Event(
        known_key or f"high_risk:{tenant.tenant_id}:{tenant.since}",
        "high_risk",
        calendar.start(tenant.since),
        f"{name} has been at HIGH risk since {tenant.since}; its score of {tenant.day} is {tenant.score}{change}",
        f"{ui_url}/assets/tenant_health_scores?view=partitions&partition={tenant.day}",
        tenant.tenant_id,
    )


def high_since(days: Sequence[tuple[date, str]]) -> date | None:
    """The first day of the HIGH streak that ends with the newest day; None where no other risk level came before it.

    days: a tenant's published days with their risk levels, in any order. Days without a level say nothing and are left out.
    """
    since = None
    for day, risk in sorted(days, reverse=True):
        if risk != "HIGH":
            return since
        since = day
    return None


def first_day_told(newest: date, looked_at: date | None, restate_days: int) -> date:
    """From which day on a tenant that turned HIGH is told of: days that a night may restate, and those after the newest day
    that was looked at before."""
    restated = newest - same_event_span(restate_days)
    unseen = restated if looked_at is None else looked_at + DAY
    return min(restated, max(unseen, newest - _LONGEST_UNSEEN))


def same_event_span(restate_days: int) -> timedelta:
    """By how much the beginning of a HIGH streak may move, or the streak be broken, and still be the same event."""
    return timedelta(days=max(restate_days, _LEAST_RESTATED))


def is_recent(newest: date, last_day: date) -> bool:
    """Whether the newest day is news: the last day that is over, or the one before. A backfill of history tells nobody."""
    return newest >= last_day - DAY


def first_words(text: str) -> str:
    """The first clause of an error of ours, on one line: what follows may name cases. Addresses are left out."""
    clause = re.split(r"; | such as ", text, maxsplit=1)[0]
    return one_line(without_addresses(clause), _LONGEST_REASON)


def without_addresses(text: str) -> str:
    """The text with each email address replaced."""
    return _ADDRESS.sub("(address)", text)


def batches(events: Sequence[Event]) -> Iterator[tuple[Event, ...]]:
    """Which events go into one message each: those of a kind together when there are many, else each alone."""
    for _, same in groupby(sorted(events, key=lambda event: event.kind), key=lambda event: event.kind):
        of_kind = tuple(same)
        if len(of_kind) > _MOST_MESSAGES:
            yield of_kind
        else:
            yield from ((event,) for event in of_kind)


_HEADLINES = {
    "failed_run": ("A run failed", "{} runs failed", "/runs"),
    "stopped_source": ("A source has stopped", "{} sources have stopped", "/assets"),
    "high_risk": ("A tenant turned HIGH", "{} tenants turned HIGH", "/assets/tenant_health_scores"),
}


def notice_of(events: Sequence[Event], ui_url: str) -> Notice:
    """The message about these events of one kind."""
    one, many, page = _HEADLINES[events[0].kind]
    identity = hashlib.sha256("\n".join(sorted(event.key for event in events)).encode()).hexdigest()[:32]
    if len(events) == 1:
        return Notice(identity, one, (events[0].text,), events[0].link)
    lines = [event.text for event in events[:_MOST_LISTED]]
    if len(events) > _MOST_LISTED:
        lines.append(f"and {len(events) - _MOST_LISTED} more")
    return Notice(identity, many.format(len(events)), tuple(lines), ui_url + page)


def _spoken(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
