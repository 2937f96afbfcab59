"""The tenants: who they are, which fate each has, and how it plays out day by day."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from health_pipeline.demo import names
from health_pipeline.demo.contract import as_table
from health_pipeline.demo.fates import FATES
from health_pipeline.demo.sampling import (
    NEVER,
    BoolArray,
    FloatArray,
    IntArray,
    TimeArray,
    Window,
    masked,
    numbered,
    pick,
    quota,
    time_of_day,
    words,
)

# Sector, its share of all tenants, whether its people work at weekends, and whether it sells to buyers.
SECTORS: tuple[tuple[str | None, float, bool, bool], ...] = (
    ("Manufacturing", 0.18, False, True),
    ("Wholesale", 0.15, False, True),
    ("Retail", 0.14, True, True),
    ("Software & IT", 0.13, False, False),
    ("Healthcare", 0.12, True, False),
    ("Financial Services", 0.11, False, False),
    ("Food & Beverage", 0.09, True, True),
    ("Logistics", 0.06, False, True),
    (None, 0.02, False, False),
)
# Employees from and to, share before fates that ask for a band, and the usual number of users.
SIZE_BANDS: tuple[tuple[int, int, float, tuple[int, int]], ...] = (
    (4, 49, 0.14, (2, 9)),
    (50, 249, 0.28, (4, 20)),
    (250, 999, 0.24, (12, 38)),
    (1000, 4999, 0.20, (24, 66)),
    (5000, 60_000, 0.14, (40, 120)),
)
_ALERT_LEVELS = (("DASHBOARD_ONLY", 0.42), ("PROACTIVE", 0.36), ("NONE", 0.12), (None, 0.10))
_SIZE_UNKNOWN = 0.02
_OLDEST_DAYS = 3 * 365
_BRAND_NEW_DAYS = 21
_WEEKEND_SHARE, _QUIET_WEEKEND_SHARE = 0.6, 0.1


@dataclass(frozen=True)
class Tenants:
    """All tenants; arrays have an entry per tenant, `activity` and `mood` a row per tenant and a column per day."""

    table: pa.Table
    ids: pa.Array
    slugs: list[str]
    fate: IntArray  # index into FATES
    sector: IntArray  # index into SECTORS
    users: IntArray  # how many it gets
    created: TimeArray
    deactivated: TimeArray
    activity: FloatArray  # zero on days on which the tenant is not there, weekly rhythm included
    mood: FloatArray

    @property
    def size(self) -> FloatArray:
        """How busy the tenant is compared with one of 30 users; grows more slowly than the number of users."""
        return (self.users / 30) ** 0.5


def plan_tenants(rng: np.random.Generator, window: Window, count: int) -> Tenants:
    """`count` tenants in which each fate, and each sector and size band, has its share."""
    fate = quota(rng, [fate.share for fate in FATES], count)
    cells = np.outer([sector[1] for sector in SECTORS], [band[2] for band in SIZE_BANDS])
    sector, band = np.divmod(quota(rng, cells.ravel(), count), len(SIZE_BANDS))
    asked_band = np.array([-1 if each.size_band is None else each.size_band for each in FATES])[fate]
    band = np.where(asked_band >= 0, asked_band, band)
    created, deactivated = _lifetimes(rng, window, fate)
    activity, mood = _days(rng, window, fate, sector, created, deactivated)
    ids = numbered("tnt-", np.arange(1, count + 1), 4)
    company_names = names.company_names(rng, count)
    slugs = names.slugs(company_names)
    table = as_table(
        "tenants",
        {
            "tenant_id": ids,
            "name": pa.array(company_names),
            "slug": pa.array(slugs),
            "industry_sector": words([each[0] for each in SECTORS], sector),
            "employee_count": masked(_employees(rng, band), rng.random(count) < _SIZE_UNKNOWN),
            "renewal_date": _next_renewals(rng, window, created),
            "alert_level": words(
                [level for level, _ in _ALERT_LEVELS], pick(rng, [share for _, share in _ALERT_LEVELS], count)
            ),
            "created_at": created,
            "deactivated_at": deactivated,
        },
    )
    users = _user_counts(rng, fate, band)
    return Tenants(table, ids, slugs, fate, sector, users, created, deactivated, activity, mood)


def _named(fate: IntArray, name: str) -> BoolArray:
    named: BoolArray = fate == [each.name for each in FATES].index(name)
    return named


def _lifetimes(rng: np.random.Generator, window: Window, fate: IntArray) -> tuple[TimeArray, TimeArray]:
    size = len(fate)
    start_day, end_day = window.start.astype("datetime64[D]"), window.end.astype("datetime64[D]")
    old = start_day - rng.integers(30, _OLDEST_DAYS, size)
    new = end_day - 1 - rng.integers(0, _BRAND_NEW_DAYS, size)
    created = np.where(_named(fate, "brand_new"), new, old) + time_of_day(rng, size)
    last = start_day + (window.days * rng.uniform(0.2, 0.98, size)).astype(np.int64)
    deactivated = np.where(_named(fate, "churned"), last + time_of_day(rng, size), NEVER)
    return created, deactivated


def _days(
    rng: np.random.Generator,
    window: Window,
    fate: IntArray,
    sector: IntArray,
    created: TimeArray,
    deactivated: TimeArray,
) -> tuple[FloatArray, FloatArray]:
    """Activity and mood of each tenant on each day, from the curves of its fate."""
    day = np.arange(window.days)
    born, gone = window.day_of(created, 0)[:, None], window.day_of(deactivated, window.days)[:, None]
    first, last = np.clip(born + 1, 0, None), gone - 1
    progress = np.clip((day - first) / np.maximum(last - first, 1), 0.0, 1.0)
    activity, mood = np.zeros(progress.shape), np.zeros(progress.shape)
    for index, story in enumerate(FATES):
        rows = np.flatnonzero(fate == index)
        activity[rows] = story.activity(rng, progress[rows])
        mood[rows] = story.mood(rng, progress[rows])
    quiet = np.where([each[2] for each in SECTORS], _WEEKEND_SHARE, _QUIET_WEEKEND_SHARE)[sector]
    rhythm = np.where(window.weekdays[None, :] >= 5, quiet[:, None], 1.0)
    return activity * rhythm * ((first <= day) & (day <= last)), mood


def _employees(rng: np.random.Generator, band: IntArray) -> IntArray:
    low, high = np.array([each[:2] for each in SIZE_BANDS], dtype=np.float64)[band].T
    employees: IntArray = np.exp(rng.uniform(np.log(low), np.log(high))).astype(np.int64)
    return employees


def _user_counts(rng: np.random.Generator, fate: IntArray, band: IntArray) -> IntArray:
    usual = np.array([each[3] for each in SIZE_BANDS])[band]
    special = np.array([each.user_range or (-1, -1) for each in FATES])[fate]
    low, high = np.where(special >= 0, special, usual).T
    users: IntArray = rng.integers(low, high + 1)
    return users


def _next_renewals(rng: np.random.Generator, window: Window, created: TimeArray) -> pa.Array:
    """The first anniversary of the contract after the last day; a few are past due, a few unknown."""
    signed, today = created.astype("datetime64[D]"), np.datetime64(window.last_day, "D")
    years = (today - signed).astype(np.int64) // 365 + 1
    overdue = rng.random(len(created)) < 0.04
    return masked(signed + 365 * (years - (overdue & (years > 1))), rng.random(len(created)) < 0.04)
