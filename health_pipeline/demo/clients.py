"""The users of each tenant, their onboarding tasks and their feedback."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from health_pipeline.demo import names
from health_pipeline.demo.contract import as_table
from health_pipeline.demo.fates import FATES
from health_pipeline.demo.sampling import (
    NEVER,
    FloatArray,
    IntArray,
    TimeArray,
    Window,
    before,
    masked,
    numbered,
    pick,
    span,
    words,
)
from health_pipeline.demo.tenants import Tenants

# How much a user does: share of users, sessions on a normal working day, share of onboarding tasks that get done.
TIERS: tuple[tuple[str, float, float, float], ...] = (
    ("power", 0.14, 1.1, 0.97),
    ("regular", 0.42, 0.4, 0.85),
    ("casual", 0.31, 0.1, 0.6),
    ("idle", 0.13, 0.004, 0.25),
)
_OPT_IN = ((True, 0.6), (False, 0.28), (None, 0.12))
_NO_NAME, _NO_EMAIL, _BLANK_EMAIL = 0.01, 0.02, 0.005
_TASKS_PER_USER = 5
_IN_PROGRAMME = 0.8
_SKIPPED_SHARE = 0.06


@dataclass(frozen=True)
class Users:
    """All users, those of a tenant next to each other; arrays have an entry per user."""

    table: pa.Table
    ids: pa.Array
    tenant: IntArray  # index into the tenants
    first: IntArray  # of each tenant: the index of its first user
    tier: IntArray  # index into TIERS
    created: TimeArray
    gone: TimeArray  # when the user or the tenant was deactivated, NaT if neither


def plan_users(rng: np.random.Generator, window: Window, tenants: Tenants) -> Users:
    """The users that the plan gives each tenant."""
    size = int(tenants.users.sum())
    tenant = np.repeat(np.arange(len(tenants.users)), tenants.users)
    first = np.cumsum(tenants.users) - tenants.users
    created, deactivated = _lifetimes(rng, window, tenants, tenant)
    ids = numbered("usr-", np.arange(1, size + 1), 6)
    starts = rng.integers(1_000_000, size=len(first))[tenant]
    full_names, local_parts = names.person_names(starts, np.arange(size) - first[tenant])
    # The reserved domain `.example`: no mail can reach anybody.
    email = pc.binary_join_element_wise(local_parts, words(tenants.slugs, tenant), "@")
    email = pc.binary_join_element_wise(email, "example", ".")
    email = pc.if_else(pa.array(rng.random(size) < _BLANK_EMAIL), " ", email)
    table = as_table(
        "users",
        {
            "user_id": ids,
            "tenant_id": tenants.ids.take(pa.array(tenant)),
            "name": masked(full_names, rng.random(size) < _NO_NAME),
            "email": masked(email, rng.random(size) < _NO_EMAIL),
            "insights_opt_in": pa.array([answer for answer, _ in _OPT_IN]).take(
                pa.array(pick(rng, [share for _, share in _OPT_IN], size))
            ),
            "created_at": created,
            "deactivated_at": deactivated,
        },
    )
    tier = pick(rng, [tier[1] for tier in TIERS], size)
    gone = np.fmin(deactivated, tenants.deactivated[tenant])
    return Users(table, ids, tenant, first, tier, created, gone)


def _lifetimes(
    rng: np.random.Generator, window: Window, tenants: Tenants, tenant: IntArray
) -> tuple[TimeArray, TimeArray]:
    size, fate, begin = len(tenant), tenants.fate[tenant], tenants.created[tenant]
    end = np.fmin(tenants.deactivated[tenant], window.end)
    joins = rng.random(size) < np.array([each.joining for each in FATES])[fate]
    low: TimeArray = np.where(joins, np.maximum(begin, window.start), begin)
    high = np.where(joins | (begin >= window.start), end, window.start)
    # Within a brand-new tenant most people come in its first days.
    share = np.where(begin >= window.start, rng.random(size) ** 2, rng.random(size))
    created = low + span((high - low) / np.timedelta64(1, "D") * share)
    leaves = rng.random(size) < np.array([each.leaving for each in FATES])[fate]
    last: TimeArray = np.maximum(created, window.start)
    left = (end - last) / np.timedelta64(1, "D")
    deactivated = np.where(leaves, last + span(left * rng.uniform(0.2, 1.0, size)), NEVER)
    return created, deactivated


def onboarding_tasks(rng: np.random.Generator, window: Window, tenants: Tenants, users: Users) -> pa.Table:
    """`onboarding_tasks`: a tenant starts its programme on some day; users get their tasks then, or when they join."""
    opening = window.start + span(window.days * rng.uniform(0, 0.45, len(tenants.users)))
    opened: TimeArray = np.maximum(opening[users.tenant], users.created)
    given = opened + span(rng.uniform(0.001, 0.02, len(users.tenant)))
    limit = np.fmin(users.gone, window.end)
    user = np.flatnonzero((given < limit) & (rng.random(len(given)) < _IN_PROGRAMME))
    done = rng.binomial(_TASKS_PER_USER, np.array([tier[3] for tier in TIERS])[users.tier[user]])
    pace = rng.lognormal(0.8, 0.7, len(user))  # days per task
    user, step = np.repeat(user, _TASKS_PER_USER), np.tile(np.arange(_TASKS_PER_USER), len(user))
    done, pace = np.repeat(done, _TASKS_PER_USER), np.repeat(pace, _TASKS_PER_USER)
    size, limit = len(user), limit[user]
    created = given[user]
    begun = (step < done) | ((step == done) & (rng.random(size) < 0.35))
    started = np.where(begun, created + span(pace * (step + rng.uniform(0, 0.5, size))), NEVER)
    started = before(started, limit)
    completed = np.where(step < done, started + span(pace * rng.uniform(0.05, 0.5, size)), NEVER)
    completed = before(completed, limit)
    skipped = np.isnat(completed) & (rng.random(size) < _SKIPPED_SHARE)
    touched = _last_touch(rng, started, completed, limit)
    touched = np.where(skipped, before(created + span(rng.exponential(4, size)), limit), touched)
    status = np.select([skipped, ~np.isnat(completed), ~np.isnat(started)], [3, 2, 1], 0)
    no_record = rng.random(size) < 0.02  # an older version of the application did not keep these instants
    return as_table(
        "onboarding_tasks",
        {
            "task_id": numbered("tsk-", np.arange(1, size + 1), 6),
            "tenant_id": tenants.ids.take(pa.array(users.tenant[user])),
            "user_id": users.ids.take(pa.array(user)),
            "status": words(("PENDING", "IN_PROGRESS", "COMPLETED", "SKIPPED"), status),
            "created_at": created,
            "started_at": np.where(no_record & (status == 1), NEVER, started),
            "updated_at": touched,
            "completed_at": np.where(no_record, NEVER, completed),
        },
    )


def _last_touch(rng: np.random.Generator, started: TimeArray, completed: TimeArray, limit: TimeArray) -> TimeArray:
    """Last update: the completion; for a task in progress some time after its start, for a part of them just now."""
    size = len(started)
    later = started + span(rng.exponential(5, size))
    just_now = limit - span(rng.uniform(0.05, 2.8, size))
    later = np.where((rng.random(size) < 0.3) & (just_now > started), just_now, later)
    later = np.where(later < limit, later, started)
    return np.where(np.isnat(completed), later, completed)


def feedback(
    rng: np.random.Generator, window: Window, tenants: Tenants, users: Users, user: IntArray, submitted: TimeArray
) -> pa.Table:
    """`feedback`: an answer for each `feedback_given` event, as good as the tenant's mood then and the person's."""
    size, tenant = len(user), users.tenant[user]
    temper = rng.normal(0, 12, len(users.tenant))[user]
    mood: FloatArray = tenants.mood[tenant, window.day_of(submitted, 0)]
    score = np.clip(np.rint(15 + 75 * mood + temper + rng.normal(0, 7, size)), 0, 100).astype(np.int64)
    return as_table(
        "feedback",
        {
            "feedback_id": numbered("fbk-", np.arange(1, size + 1), 6),
            "tenant_id": tenants.ids.take(pa.array(tenant)),
            "user_id": users.ids.take(pa.array(user)),
            "score": score,
            "submitted_at": submitted,
        },
    )
