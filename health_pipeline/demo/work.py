"""What tenants work on: cases with a service level, campaigns with their assignments, and support tickets."""

import numpy as np
import pyarrow as pa

from health_pipeline.demo.clients import Users
from health_pipeline.demo.contract import as_table
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
    ranges,
    span,
    time_of_day,
    words,
)
from health_pipeline.demo.tenants import Tenants

_CASES_PER_DAY = 0.7  # of a busy tenant of 30 users
_SLA_DAYS, _SLA_SHARES = np.array([1.0, 3.0, 7.0, 14.0]), (0.15, 0.4, 0.3, 0.15)
_TICKETS_PER_DAY = 0.038
_PRIORITIES = (("LOW", 0.25), ("NORMAL", 0.45), ("HIGH", 0.2), ("URGENT", 0.06), (None, 0.04))
_DAYS_PER_CAMPAIGN = 36


def _daily(rng: np.random.Generator, window: Window, rates: FloatArray) -> tuple[IntArray, IntArray, TimeArray]:
    """Tenant, day and time of what happens at `rates` (a row per tenant, a column per day), in the order of time."""
    counts = rng.poisson(rates)
    tenant, day = np.divmod(np.repeat(np.arange(counts.size), counts.ravel()), window.days)
    at = window.start + day.astype("timedelta64[D]") + time_of_day(rng, len(day))
    by_time = np.argsort(at, kind="stable")
    return tenant[by_time], day[by_time], at[by_time]


def _limit(window: Window, tenants: Tenants, tenant: IntArray) -> TimeArray:
    """The instant up to which something can happen at the tenant."""
    return np.fmin(tenants.deactivated[tenant], window.end)


def cases(rng: np.random.Generator, window: Window, tenants: Tenants) -> pa.Table:
    """`cases`: a happy tenant closes most of its cases in time, an unhappy one few."""
    with_cases = rng.random(len(tenants.users)) < np.where(tenants.users < 5, 0.6, 0.9)
    # Cases come in from outside, too, so that they fall off more slowly than the use of the application.
    rates = _CASES_PER_DAY * (tenants.size**1.5 * with_cases)[:, None] * np.sqrt(tenants.activity)
    tenant, day, created = _daily(rng, window, rates)
    size = len(tenant)
    term = _SLA_DAYS[pick(rng, _SLA_SHARES, size)]
    in_time = rng.random(size) < 0.2 + 0.78 * tenants.mood[tenant, day]
    needed = np.where(in_time, rng.uniform(0.1, 0.98, size), 1.05 + rng.exponential(0.9, size))
    closed = np.where(rng.random(size) < 0.97, created + span(term * needed), NEVER)
    closed = before(closed, _limit(window, tenants, tenant))
    due = created + span(term)
    late_by = np.where(np.isnat(closed), window.end, closed) - due
    warn = np.isnat(closed) & (late_by > span(-0.2 * term))
    status = np.select([late_by > span(np.array(5.0)), late_by > span(np.array(0.0)), warn], [3, 2, 1], 0)
    has_due = rng.random(size) >= 0.06
    has_status = rng.random(size) >= np.where(has_due, 0.05, 0.3)
    return as_table(
        "cases",
        {
            "case_id": numbered("cas-", np.arange(1, size + 1), 6),
            "tenant_id": tenants.ids.take(pa.array(tenant)),
            "created_at": created,
            "closed_at": closed,
            "sla_due_at": np.where(has_due, due, NEVER),
            "sla_status": masked(words(("ON_TRACK", "WARNING", "BREACHED", "CRITICAL"), status), ~has_status),
        },
    )


def support_tickets(rng: np.random.Generator, window: Window, tenants: Tenants) -> pa.Table:
    """`support_tickets`: the unhappier and the bigger a tenant, the more."""
    there = tenants.activity > 0
    rates = _TICKETS_PER_DAY * (0.5 + 0.5 * tenants.size)[:, None] * (1 + 7 * (1 - tenants.mood) ** 2) * there
    tenant, _, opened = _daily(rng, window, rates)
    size = len(tenant)
    return as_table(
        "support_tickets",
        {
            "ticket_id": numbered("tkt-", np.arange(1, size + 1), 5),
            "tenant_id": tenants.ids.take(pa.array(tenant)),
            "opened_at": opened,
            "closed_at": before(opened + span(rng.lognormal(0.7, 1.1, size)), _limit(window, tenants, tenant)),
            "priority": words([name for name, _ in _PRIORITIES], pick(rng, [share for _, share in _PRIORITIES], size)),
        },
    )


def campaigns(rng: np.random.Generator, window: Window, tenants: Tenants, users: Users) -> tuple[pa.Table, pa.Table]:
    """`campaigns` and `campaign_assignments`: about every 36 days most of a tenant's people get an assignment."""
    tenant, day = _launches(rng, window, tenants)
    size = len(tenant)
    launched = window.start + day.astype("timedelta64[D]") + time_of_day(rng, size)
    by_time = np.argsort(launched, kind="stable")
    tenant, day, launched = tenant[by_time], day[by_time], launched[by_time]
    ended = np.where(rng.random(size) < 0.95, launched + span(rng.uniform(18, 50, size)), NEVER)
    ids = numbered("cmp-", np.arange(1, size + 1), 4)
    table = as_table(
        "campaigns",
        {
            "campaign_id": ids,
            "tenant_id": tenants.ids.take(pa.array(tenant)),
            "launched_at": launched,
            "ended_at": ended,
        },
    )
    user = ranges(users.first[tenant], tenants.users[tenant])
    campaign = np.repeat(np.arange(size), tenants.users[tenant])
    coverage = rng.uniform(0.5, 1.0, size)[campaign]
    there = (users.created[user] < launched[campaign]) & ~(users.gone[user] <= launched[campaign])
    campaign = campaign[there & (rng.random(len(user)) < coverage)]
    return table, _assignments(rng, window, tenants, ids, tenant[campaign], campaign, launched[campaign], day[campaign])


def _launches(rng: np.random.Generator, window: Window, tenants: Tenants) -> tuple[IntArray, IntArray]:
    """Tenant and day of each campaign: one in every stretch of about 36 days, on a day with activity."""
    count = max(1, window.days // _DAYS_PER_CAMPAIGN)
    with_campaigns = rng.random(len(tenants.users)) < np.where(tenants.users < 5, 0.3, 0.8)
    day = ((np.arange(count) + rng.random((len(tenants.users), count))) * window.days / count).astype(np.int64)
    active = np.take_along_axis(tenants.activity, day, axis=1) > 0.02
    tenant, stretch = np.nonzero(active & with_campaigns[:, None])
    return tenant, day[tenant, stretch]


def _assignments(
    rng: np.random.Generator,
    window: Window,
    tenants: Tenants,
    campaign_ids: pa.Array,
    tenant: IntArray,
    campaign: IntArray,
    launched: TimeArray,
    day: IntArray,
) -> pa.Table:
    limit = _limit(window, tenants, tenant)
    assigned = launched + span(rng.exponential(0.04, len(tenant)))
    answers = rng.random(len(tenant)) < 0.15 + 0.83 * tenants.mood[tenant, day]
    completed = np.where(answers, assigned + span(rng.exponential(5, len(tenant))), NEVER)
    kept = assigned < limit
    return as_table(
        "campaign_assignments",
        {
            "assignment_id": numbered("asg-", np.arange(1, kept.sum() + 1), 6),
            "campaign_id": campaign_ids.take(pa.array(campaign[kept])),
            "tenant_id": tenants.ids.take(pa.array(tenant[kept])),
            "assigned_at": assigned[kept],
            "completed_at": before(completed, limit)[kept],
        },
    )
