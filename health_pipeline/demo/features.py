"""Which features each tenant uses and may use."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from health_pipeline.demo.contract import as_table
from health_pipeline.demo.fates import FATES
from health_pipeline.demo.sampling import (
    NEVER,
    IntArray,
    TimeArray,
    Window,
    before,
    span,
    time_of_day,
    words,
)
from health_pipeline.demo.tenants import Tenants

# The shipped catalogue, most popular first, and then keys of the application that nobody tracks.
TRACKED_FEATURES = (
    "CASE_MANAGEMENT",
    "EMPLOYEE_PORTAL",
    "CAMPAIGN_MANAGEMENT",
    "POLICY_MANAGEMENT",
    "CUSTOM_DASHBOARDS",
    "ANONYMOUS_REPORTING",
    "INVESTIGATION_CHECKLISTS",
    "SCHEDULED_REPORTS",
    "SSO",
    "ATTESTATIONS",
    "AI_ASSISTANT",
    "COI_DISCLOSURES",
    "HRIS_INTEGRATION",
    "API_ACCESS",
)
UNTRACKED_FEATURES = ("MOBILE_APP", "BETA_TIMELINE", "DARK_MODE")
_UNTRACKED_SHARE = 0.01
_DISABLED_SHARE, _ENABLED_AGAIN_SHARE = 0.04, 0.3


@dataclass(frozen=True)
class Features:
    """Features by tenant: `ranking` orders the catalogue by liking, `used` says how many are in use on which day."""

    ranking: IntArray
    used: IntArray  # row per tenant, column per day

    def draw(self, rng: np.random.Generator, tenant: IntArray, day: IntArray) -> IntArray:
        """A feature for each use, favourites most often: index into all keys, tracked ones first; -1 without one."""
        limit = self.used[tenant, day]
        rank = np.floor(limit * rng.random(len(tenant)) ** 1.6).astype(np.int64)
        feature = np.where(limit >= 1, self.ranking[tenant, rank], -1)
        untracked = rng.random(len(tenant)) < _UNTRACKED_SHARE
        other = len(TRACKED_FEATURES) + rng.integers(len(UNTRACKED_FEATURES), size=len(tenant))
        return np.where(untracked, other, feature)


def plan_features(rng: np.random.Generator, tenants: Tenants) -> Features:
    """Each tenant's liking of the features, and the growth of their number that its fate has."""
    count, total = len(tenants.fate), len(TRACKED_FEATURES)
    liking = np.arange(total) + rng.normal(0, 3.5, (count, total))
    first, last = (np.array([fate.features for fate in FATES])[tenants.fate] + rng.integers(-3, 3, (count, 1))).T
    empty = tenants.users == 0
    first, last = (np.where(empty, 0, np.clip(number, 1, total)) for number in (first, last))
    days = tenants.activity.shape[1]
    used = np.floor(first[:, None] + (last - first)[:, None] * np.linspace(0, 1, days)).astype(np.int64)
    return Features(np.argsort(liking, axis=1), used)


def entitlements(rng: np.random.Generator, window: Window, tenants: Tenants, features: Features) -> pa.Table:
    """`feature_entitlements`: what is used from the day of its first use on, and some that is not used; a few end."""
    total, days = len(TRACKED_FEATURES), window.days
    # Day on which the feature of each rank comes into use; the number of days if it never does.
    first_use = (features.used[:, None, :] <= np.arange(total)[:, None]).sum(axis=2)
    unused = first_use == days
    tenant, rank = np.nonzero(~unused | (rng.random(unused.shape) < 0.4))
    day = np.where(unused, 0, first_use)[tenant, rank]
    start = (
        window.start + day.astype("timedelta64[D]") + np.where(day > 0, time_of_day(rng, len(day)), span(np.zeros(1)))
    )
    enabled = np.maximum(start, tenants.created[tenant])
    limit = np.fmin(tenants.deactivated[tenant], window.end)
    there = enabled < limit
    tenant, rank, enabled, limit = tenant[there], rank[there], enabled[there], limit[there]
    ends = rng.random(len(tenant)) < _DISABLED_SHARE
    left = (limit - enabled) / np.timedelta64(1, "D")
    disabled: TimeArray = np.where(ends, enabled + span(left * rng.uniform(0.1, 0.95, len(tenant))), NEVER)
    again = disabled + span(rng.uniform(3, 20, len(tenant)))
    returns = (rng.random(len(tenant)) < _ENABLED_AGAIN_SHARE) & ~np.isnat(before(again, limit))
    everyone = np.concatenate([tenant, tenant[returns]])
    feature = features.ranking[everyone, np.concatenate([rank, rank[returns]])]
    return as_table(
        "feature_entitlements",
        {
            "tenant_id": tenants.ids.take(pa.array(everyone)),
            "feature_key": words(TRACKED_FEATURES, feature),
            "enabled_at": np.concatenate([enabled, again[returns]]),
            "disabled_at": np.concatenate([disabled, np.full(returns.sum(), NEVER)]),
        },
    )
