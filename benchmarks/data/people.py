"""Tenants and users: heavy-tailed sizes, comings and goings, and how busy each of them is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from benchmarks.data.sizes import Dataset
from benchmarks.data.text import hex_ids
from health_pipeline.demo.contract import as_table
from health_pipeline.demo.sampling import NEVER, FloatArray, IntArray, TimeArray, masked, pick, quota, span, words

_SECTORS = [
    *("Banking", "Construction", "Education", "Energy", "Government", "Healthcare", "Insurance", "Logistics"),
    *("Manufacturing", "Media", "Retail", "Software", None),
]
_SECTOR_WEIGHTS = [12, 5, 7, 4, 3, 11, 8, 6, 12, 3, 10, 16, 3]
_ALERT_LEVELS = ["NONE", "DASHBOARD_ONLY", "PROACTIVE", None]
_TENANTS, _USERS = 1, 2


@dataclass(frozen=True)
class People:
    """The two tables, and by tenant or user what the facts are drawn from.

    users_of: users per tenant. tenant_of: each user's tenant. activity: each user's weight. growth: the factor by which a
    tenant's activity changes over the window. quality: 0 to 1, how well a tenant keeps its due dates.
    """

    tenants: pa.Table
    users: pa.Table
    tenant_created: TimeArray
    user_created: TimeArray
    user_deactivated: TimeArray
    users_of: IntArray
    tenant_of: IntArray
    activity: FloatArray
    growth: FloatArray
    quality: FloatArray


def people(dataset: Dataset) -> People:
    """All tenants and users of the data."""
    rng = dataset.random(_TENANTS)
    size, window = dataset.size, dataset.window
    users_of = _shares(rng.lognormal(0.0, 1.4, size.tenants), size.users)
    created = _arrivals(rng, dataset, size.tenants, 0.9)
    deactivated = _departures(rng, created, window.end, 0.04)
    employees = (users_of * rng.uniform(1.1, 6.0, size.tenants)).astype(np.int64) + 1
    tenants = as_table(
        "tenants",
        {
            "tenant_id": hex_ids("ten_", np.arange(size.tenants), 8),
            "name": words([f"Customer {n}" for n in range(size.tenants)], np.arange(size.tenants)),
            "slug": words([f"customer-{n}" for n in range(size.tenants)], np.arange(size.tenants)),
            "industry_sector": words(_SECTORS, pick(rng, _SECTOR_WEIGHTS, size.tenants)),
            "employee_count": masked(employees, rng.random(size.tenants) < 0.02),
            "renewal_date": (window.end + span(rng.uniform(-60, 365, size.tenants))).astype("datetime64[D]"),
            "alert_level": words(_ALERT_LEVELS, pick(rng, [10, 40, 30, 20], size.tenants)),
            "created_at": created,
            "deactivated_at": deactivated,
        },
    )
    tenant_of = np.repeat(np.arange(size.tenants), users_of)
    users, user_created, user_deactivated = _users(dataset, tenants, tenant_of, created)
    return People(
        tenants=tenants,
        users=users,
        tenant_created=created,
        user_created=user_created,
        user_deactivated=np.fmin(user_deactivated, deactivated[tenant_of]),
        users_of=users_of,
        tenant_of=tenant_of,
        activity=rng.lognormal(0.0, 1.2, size.users) * rng.lognormal(0.0, 0.8, size.tenants)[tenant_of],
        growth=np.array([1.0, 2.0, 0.4, 0.02])[quota(rng, [60, 18, 17, 5], size.tenants)],
        quality=rng.beta(9, 1.5, size.tenants),
    )


def _users(
    dataset: Dataset, tenants: pa.Table, tenant_of: IntArray, tenant_created: TimeArray
) -> tuple[pa.Table, TimeArray, TimeArray]:
    rng, count = dataset.random(_USERS), dataset.size.users
    created = np.maximum(_arrivals(rng, dataset, count, 0.75), tenant_created[tenant_of])
    deactivated = _departures(rng, created, dataset.window.end, 0.06)
    numbers = np.arange(count)
    table = as_table(
        "users",
        {
            "user_id": hex_ids("usr_", numbers, 10),
            "tenant_id": tenants["tenant_id"].combine_chunks().take(pa.array(tenant_of)),
            "name": hex_ids("User ", numbers, 6),
            "email": pa.nulls(count, pa.string()),
            "insights_opt_in": rng.random(count) < 0.5,
            "created_at": created,
            "deactivated_at": deactivated,
        },
    )
    return table, created, deactivated


def _shares(weights: FloatArray, total: int) -> IntArray:
    """`total` split by weight, at least 1 each."""
    result: IntArray = 1 + np.floor(weights / weights.sum() * (total - len(weights))).astype(np.int64)
    result[np.argsort(weights)[::-1][: total - int(result.sum())]] += 1
    return result


def _arrivals(rng: np.random.Generator, dataset: Dataset, count: int, before: float) -> TimeArray:
    """Creations: a share up to two years before the window, the others spread over it."""
    start, end = dataset.window.start, dataset.window.end
    earlier: TimeArray = start - span(rng.uniform(0, 730, count))
    within: TimeArray = start + ((end - start) * rng.random(count)).astype("timedelta64[us]")
    return np.where(rng.random(count) < before, earlier, within)


def _departures(rng: np.random.Generator, created: TimeArray, end: np.datetime64, share: float) -> TimeArray:
    """Deactivations of a share, between creation and the end of the data; NaT for the others."""
    gone: TimeArray = created + ((end - created) * rng.random(len(created))).astype("timedelta64[us]")
    return np.where(rng.random(len(created)) < share, gone, NEVER)
