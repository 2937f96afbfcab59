"""The event stream: sessions by the tenant's activity and the user's own habits, and what happens in each of them."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from health_pipeline.demo.clients import TIERS, Users
from health_pipeline.demo.contract import as_table
from health_pipeline.demo.features import TRACKED_FEATURES, UNTRACKED_FEATURES, Features
from health_pipeline.demo.sampling import (
    FloatArray,
    IntArray,
    TimeArray,
    Window,
    masked,
    numbered,
    pick,
    span,
    time_of_day,
    words,
)
from health_pipeline.demo.tenants import Tenants

# Event type, its weight among the events after the login, and the share of its events that carry a feature key.
_EVENT_TYPES: tuple[tuple[str, float, float], ...] = (
    ("login", 1.0, 0.0),
    ("page_view", 24.0, 0.1),
    ("feature_used", 21.0, 1.0),
    ("search_performed", 11.0, 0.0),
    ("task_completed", 8.0, 0.4),
    ("content_generated", 10.0, 0.2),
    ("visual_created", 7.0, 0.1),
    ("api_call", 5.0, 0.0),
    ("report_generated", 4.0, 0.4),
    ("insight_reviewed", 3.0, 0.1),
    ("export_downloaded", 2.5, 0.2),
    ("voice_interaction", 1.5, 0.0),
    ("settings_updated", 1.5, 0.0),
    ("launch_kit_viewed", 1.2, 0.0),
    ("feedback_given", 0.9, 0.0),
    # Types that the pipeline does not know.
    ("beta_widget_opened", 0.2, 0.0),
    ("legacy_sync", 0.1, 0.0),
)
_TYPE_NAMES = tuple(name for name, _, _ in _EVENT_TYPES)
_LOGIN, _API_CALL = _TYPE_NAMES.index("login"), _TYPE_NAMES.index("api_call")
_MADE_BY_POWER_USERS = tuple(
    _TYPE_NAMES.index(name) for name in ("task_completed", "content_generated", "visual_created")
)
_EVENTS_AFTER_LOGIN, _MOST_EVENTS = 2.7, 15
_SESSION_WITHOUT_LOGIN = 0.04

# A user's own habit: share, level on the first and the last day of the window.
_HABITS: tuple[tuple[str, float, float, float], ...] = (
    ("steady", 0.63, 1.0, 1.0),
    ("rising", 0.12, 0.3, 1.7),
    ("fading", 0.12, 1.5, 0.1),
    ("stops", 0.05, 1.0, 1.0),
    ("pauses", 0.05, 1.0, 1.0),
    ("every_other_week", 0.03, 1.6, 1.6),
)


@dataclass(frozen=True)
class Activity:
    """The `events` table, in the order of time, and who answered a feedback question when."""

    table: pa.Table
    feedback_user: IntArray
    feedback_at: TimeArray


def events(rng: np.random.Generator, window: Window, tenants: Tenants, users: Users, features: Features) -> Activity:
    """What every user does in the window."""
    sessions = rng.poisson(_session_rates(rng, window, tenants, users))
    user, day = np.divmod(np.repeat(np.arange(sessions.size), sessions.ravel()), window.days)
    start = window.start + day.astype("timedelta64[D]") + time_of_day(rng, len(user))
    length = np.minimum(rng.geometric(1 / (_EVENTS_AFTER_LOGIN + 1), len(user)), _MOST_EVENTS)
    session = np.repeat(np.arange(len(user)), length)
    order = np.arange(len(session)) - np.repeat(np.cumsum(length) - length, length)
    pause = rng.uniform(20, 400, len(user))[session]  # seconds between two events of a session
    occurred = start[session] + span((order + rng.uniform(0, 0.8, len(session))) * pause / 86_400)
    by_time = np.argsort(occurred, kind="stable")
    session, order, pause, occurred = session[by_time], order[by_time], pause[by_time], occurred[by_time]
    user, day = user[session], day[session]
    kind = _event_types(rng, users, user, order)
    feature = features.draw(rng, users.tenant[user], day)
    keyless = (rng.random(len(kind)) >= np.array([each[2] for each in _EVENT_TYPES])[kind]) | (feature < 0)
    table = as_table(
        "events",
        {
            "event_id": numbered("evt-", np.arange(1, len(kind) + 1), 8),
            "tenant_id": tenants.ids.take(pa.array(users.tenant[user])),
            "user_id": users.ids.take(pa.array(user)),
            "event_type": words(_TYPE_NAMES, kind),
            "feature_key": masked(words(TRACKED_FEATURES + UNTRACKED_FEATURES, np.maximum(feature, 0)), keyless),
            "session_id": masked(numbered("ses-", session + 1, 7), kind == _API_CALL),
            "duration_seconds": masked(pause.astype(np.int64), np.isin(kind, (_LOGIN, _API_CALL))),
            "occurred_at": occurred,
        },
    )
    answers = np.flatnonzero(kind == _TYPE_NAMES.index("feedback_given"))
    return Activity(table, user[answers], occurred[answers])


def _session_rates(rng: np.random.Generator, window: Window, tenants: Tenants, users: Users) -> FloatArray:
    """Expected sessions of each user (row) on each day (column)."""
    size, day = len(users.tenant), np.arange(window.days, dtype=np.float32)
    habit = pick(rng, [each[1] for each in _HABITS], size)
    names = [each[0] for each in _HABITS]
    first, last = np.array([each[2:] for each in _HABITS], dtype=np.float32)[habit].T
    rates: FloatArray = first[:, None] + (last - first)[:, None] * (day / max(window.days - 1, 1))
    # No activity from `off` up to `on`, for those who stop or pause.
    off = np.where(np.isin(habit, (names.index("stops"), names.index("pauses"))), rng.uniform(0.2, 1, size), 2.0)
    on = np.where(habit == names.index("pauses"), off + rng.uniform(0.08, 0.3, size), 4.0)
    rates *= (day < (off * window.days)[:, None]) | (day >= (on * window.days)[:, None])
    odd_week = ((day + rng.integers(14, size=(size, 1))) // 7) % 2 == 1
    rates *= ~(odd_week & (habit == names.index("every_other_week"))[:, None])
    rates *= tenants.activity[users.tenant]
    rates *= (np.array([tier[2] for tier in TIERS])[users.tier] * rng.uniform(0.6, 1.4, size))[:, None]
    born, gone = window.day_of(users.created, 0), window.day_of(users.gone, window.days)
    rates *= (day > born[:, None]) & (day < gone[:, None])
    return rates


def _event_types(rng: np.random.Generator, users: Users, user: IntArray, order: IntArray) -> IntArray:
    """Type of each event: the login first, then a mix; a power user has a kind of thing that it makes most."""
    size = len(user)
    weights = np.array([weight for _, weight, _ in _EVENT_TYPES])
    weights[_LOGIN] = 0
    kind = pick(rng, weights, size)
    power = users.tier == [tier[0] for tier in TIERS].index("power")
    keenness = np.where(power, rng.uniform(0.15, 0.75, len(power)), 0.0)
    making = rng.choice(_MADE_BY_POWER_USERS, len(power))
    kind = np.where(rng.random(size) < keenness[user], making[user], kind)
    return np.where((order == 0) & (rng.random(size) >= _SESSION_WITHOUT_LOGIN), _LOGIN, kind)
