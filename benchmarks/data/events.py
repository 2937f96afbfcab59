"""Events in the order of time, in pieces of a few days, so that any number of them takes little memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import pyarrow as pa

from benchmarks.data.people import People
from benchmarks.data.sizes import Dataset
from benchmarks.data.text import hex_ids
from benchmarks.data.work import FEATURES
from health_pipeline.demo.contract import as_table
from health_pipeline.demo.sampling import BoolArray, FloatArray, IntArray, masked, pick, time_of_day, words

_USES, _EVENTS = 21, 22
_DAYS_PER_PIECE = 5
_WEEKDAYS = np.array([1.1, 1.15, 1.15, 1.1, 0.95, 0.3, 0.25])
# Share of all events, and how many of them are the use of a feature.
_TYPES: dict[str, tuple[float, float]] = {
    "login": (17, 0.0),
    "page_view": (30, 0.0),
    "feature_used": (22, 1.0),
    "search_performed": (9, 0.0),
    "api_call": (8, 0.5),
    "report_generated": (4, 0.7),
    "task_completed": (4, 0.3),
    "content_generated": (2, 0.3),
    "visual_created": (1, 0.0),
    "export_downloaded": (1.5, 0.0),
    "settings_updated": (1, 0.0),
    "feedback_given": (0.3, 0.0),
    "voice_interaction": (0.1, 0.0),
    "theme_switched": (0.1, 0.0),  # a type that nobody has told the pipeline about
}
_UNTRACKED = "BETA_TIMELINE"


def events(dataset: Dataset, people: People) -> Iterator[pa.Table]:
    """The table events, in pieces."""
    uses, uses_from = _feature_uses(dataset)
    weights = _WEEKDAYS[dataset.window.weekdays]
    total = dataset.count(dataset.size.events)
    until = np.round(np.cumsum(weights) / weights.sum() * total).astype(np.int64)
    per_day = np.diff(until, prepend=0)
    for first in range(0, dataset.days, _DAYS_PER_PIECE):
        counts = per_day[first : first + _DAYS_PER_PIECE]
        features = np.cumsum(uses * (uses_from <= first), axis=1)
        yield _piece(dataset, people, first, counts, int(until[first] - per_day[first]), features)


def _feature_uses(dataset: Dataset) -> tuple[FloatArray, IntArray]:
    """Per tenant and feature, with a last column for an untracked one: how much it is used, and from which day on."""
    rng = dataset.random(_USES)
    shape = (dataset.size.tenants, len(FEATURES))
    popularity = np.linspace(1.0, 0.15, len(FEATURES))
    used = rng.random(shape) < 0.35 + 0.6 * popularity
    weights = used * popularity * rng.lognormal(0.0, 0.8, shape)
    weights[:, 0] += 0.1
    late = rng.random(shape) < 0.2
    late[:, 0] = False
    first_day = np.where(late, rng.integers(0, dataset.days, shape), -1)
    untracked = weights.sum(axis=1, keepdims=True) * 0.01
    return np.hstack([weights, untracked]), np.hstack([first_day, np.full((len(weights), 1), -1)])


def _piece(
    dataset: Dataset, people: People, first: int, counts: IntArray, number: int, features: FloatArray
) -> pa.Table:
    """The events of some days from `first` on; number: that of the first of them."""
    rng, count = dataset.random(_EVENTS, first), int(counts.sum())
    start = dataset.window.start + np.timedelta64(first, "D")
    user = _users(rng, dataset, people, first, count)
    day = np.repeat(np.arange(len(counts)), counts)
    occurred = start + day.astype("timedelta64[D]") + time_of_day(rng, count)
    order = np.argsort(occurred, kind="stable")
    occurred, day = occurred[order], day[order]
    kind = pick(rng, [share for share, _ in _TYPES.values()], count)
    is_use = rng.random(count) < np.array([uses for _, uses in _TYPES.values()])[kind]
    numbers = np.arange(number, number + count)
    return as_table(
        "events",
        {
            "event_id": hex_ids("evt_", numbers, 16),
            "tenant_id": people.users["tenant_id"].combine_chunks().take(pa.array(user)),
            "user_id": people.users["user_id"].combine_chunks().take(pa.array(user)),
            "event_type": words(list(_TYPES), kind),
            "feature_key": _features(rng, features, people.tenant_of[user], is_use),
            "session_id": hex_ids("ses_", user * 4096 + first + day, 12),
            "duration_seconds": masked(rng.geometric(1 / 60, count), rng.random(count) < 0.6),
            "occurred_at": occurred,
        },
    )


def _users(rng: np.random.Generator, dataset: Dataset, people: People, first: int, count: int) -> IntArray:
    """Who does something in these days: those who are there, by how busy they are by then."""
    start = dataset.window.start + np.timedelta64(first, "D")
    gone = ~np.isnat(people.user_deactivated) & (people.user_deactivated <= start)
    progress = first / dataset.days
    weights = people.activity * (people.growth**progress)[people.tenant_of]
    return pick(rng, weights * (people.user_created <= start) * ~gone, count)


def _features(rng: np.random.Generator, cumulated: FloatArray, tenant: IntArray, is_use: BoolArray) -> pa.Array:
    """The feature of each use, by its tenant's weights, which come cumulated; null for other events."""
    of_tenant = cumulated[tenant[is_use]]
    drawn = rng.random(len(of_tenant)) * of_tenant[:, -1]
    feature = np.full(len(tenant), len(FEATURES) + 1)
    feature[is_use] = cast(IntArray, (drawn[:, None] >= of_tenant).sum(axis=1))
    return words([*FEATURES, _UNTRACKED, None], feature)
