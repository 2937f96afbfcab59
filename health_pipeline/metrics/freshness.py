"""Whether a source table has stopped: nothing came for longer than it ever kept silent, where there always was something.

A score that falls because logins no longer arrive looks like a tenant that no longer logs in; this tells them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

STOPPED_AFTER = timedelta(hours=36)
# Beside a weekend, a table that keeps silent for longer than this isn't one in which there always is something.
LONGEST_USUAL_SILENCE = timedelta(hours=72)
LOOKBACK = timedelta(days=28)
LEAST_HISTORY = timedelta(days=7)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Freshness:
    """A source table at a run's clock. newest_fact: its newest fact that isn't of the future, UTC; None: it has none."""

    newest_fact: datetime | None
    is_stopped: bool


def is_silent(newest_fact: datetime | None, clock: datetime) -> bool:
    """Whether nothing has come for so long that it may have stopped."""
    return newest_fact is not None and clock - newest_fact >= STOPPED_AFTER


def is_stopped(newest_fact: datetime, clock: datetime, busy_hours: Sequence[datetime]) -> bool:
    """Whether the table has stopped: silent for 36 hours, and for longer than at any time in the 28 days up to its newest fact.

    busy_hours: the beginnings of the hours of these 28 days in which there was a fact, in any order. Never for a table with
    less than a week of history, or one that kept silent for more than 72 hours, a long weekend: there isn't always something.
    """
    hours = sorted(set(busy_hours))
    if not is_silent(newest_fact, clock) or not hours or newest_fact - hours[0] < LEAST_HISTORY:
        return False
    longest = max((after - before - _HOUR for before, after in pairwise(hours)), default=timedelta())
    return longest <= LONGEST_USUAL_SILENCE and clock - newest_fact > longest
