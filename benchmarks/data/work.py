"""What tenants have beside events: cases, campaigns with their assignments, entitlements to features, support tickets."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.data.people import People
from benchmarks.data.sizes import Dataset
from benchmarks.data.text import hex_ids
from health_pipeline.demo.contract import as_table
from health_pipeline.demo.sampling import NEVER, FloatArray, IntArray, TimeArray, masked, pick, span, words
from health_pipeline.policy.load import load_policy

FEATURES = tuple(load_policy(None).tenant_health.category_of)
_CASES, _CAMPAIGNS, _ASSIGNMENTS, _ENTITLEMENTS, _TICKETS = 11, 12, 13, 14, 15
_STATUSES = ["ON_TRACK", "WARNING", "BREACHED", "CRITICAL", None]


def work(dataset: Dataset, people: People) -> dict[str, pa.Table]:
    """The five tables."""
    campaigns, campaign_tenant, launched = _campaigns(dataset, people)
    return {
        "cases": _cases(dataset, people),
        "campaigns": campaigns,
        "campaign_assignments": _assignments(dataset, people, campaigns, campaign_tenant, launched),
        "feature_entitlements": _entitlements(dataset, people),
        "support_tickets": _tickets(dataset, people),
    }


def _tenants(rng: np.random.Generator, people: People, count: int) -> IntArray:
    """The tenants of so many facts: the more users, the more of them."""
    return pick(rng, people.users_of.astype(np.float64), count)


def _ids_of(people: People, tenant: IntArray) -> pa.Array:
    return people.tenants["tenant_id"].combine_chunks().take(pa.array(tenant))


def _moments(rng: np.random.Generator, dataset: Dataset, count: int, earlier_days: float = 0.0) -> TimeArray:
    """Instants spread over the window, and so many days before it."""
    days: FloatArray = rng.uniform(-earlier_days, dataset.days, count)
    return dataset.window.start + span(days)


def _known(times: TimeArray, dataset: Dataset) -> TimeArray:
    """`times`, with NaT for what has not happened by the end of the data."""
    return np.where(times < dataset.window.end, times, NEVER)


def _halfway(times: TimeArray, end: np.datetime64) -> TimeArray:
    result: TimeArray = times + ((end - times) / 2).astype("timedelta64[us]")
    return result


def _cases(dataset: Dataset, people: People) -> pa.Table:
    rng = dataset.random(_CASES)
    count = dataset.count(dataset.size.events * 0.02)
    tenant = _tenants(rng, people, count)
    created = np.sort(_moments(rng, dataset, count, earlier_days=20))
    due = created + span(rng.uniform(1, 10, count))
    in_time = rng.random(count) < people.quality[tenant]
    taken = np.where(in_time, rng.uniform(0.05, 1.0, count), 1 + rng.exponential(0.8, count))
    closed = created + ((due - created) * taken).astype("timedelta64[us]")
    without_due = rng.random(count) < 0.05
    return as_table(
        "cases",
        {
            "case_id": hex_ids("cas_", np.arange(count), 12),
            "tenant_id": _ids_of(people, tenant),
            "created_at": created,
            "closed_at": _known(closed, dataset),
            "sla_due_at": np.where(without_due, NEVER, due),
            "sla_status": words(_STATUSES, pick(rng, [60, 15, 12, 5, 8], count)),
        },
    )


def _campaigns(dataset: Dataset, people: People) -> tuple[pa.Table, IntArray, TimeArray]:
    rng = dataset.random(_CAMPAIGNS)
    count = dataset.count(dataset.size.tenants * 4)
    # Every tenant has its turn, so that all have some.
    tenant = np.arange(count) % dataset.size.tenants
    launched = np.maximum(_moments(rng, dataset, count, earlier_days=60), people.tenant_created[tenant])
    ended = launched + span(rng.uniform(14, 45, count))
    table = as_table(
        "campaigns",
        {
            "campaign_id": hex_ids("cmp_", np.arange(count), 10),
            "tenant_id": _ids_of(people, tenant),
            "launched_at": launched,
            "ended_at": masked(ended, rng.random(count) < 0.1),
        },
    )
    return table, tenant, launched


def _assignments(
    dataset: Dataset, people: People, campaigns: pa.Table, campaign_tenant: IntArray, launched: TimeArray
) -> pa.Table:
    rng = dataset.random(_ASSIGNMENTS)
    count = dataset.count(dataset.size.users * 2)
    campaign = pick(rng, people.users_of[campaign_tenant].astype(np.float64), count)
    tenant = campaign_tenant[campaign]
    end = dataset.window.end
    assigned: TimeArray = np.minimum(launched[campaign] + span(rng.uniform(0, 2, count)), end - span(np.array(0.001)))
    completed: TimeArray = assigned + span(rng.lognormal(1.5, 1.0, count))
    never = rng.random(count) > 0.75 + 0.25 * people.quality[tenant]
    return as_table(
        "campaign_assignments",
        {
            "assignment_id": hex_ids("asg_", np.arange(count), 12),
            "campaign_id": campaigns["campaign_id"].combine_chunks().take(pa.array(campaign)),
            "tenant_id": _ids_of(people, tenant),
            "assigned_at": assigned,
            "completed_at": np.where(never, NEVER, _known(completed, dataset)),
        },
    )


def _entitlements(dataset: Dataset, people: People) -> pa.Table:
    rng = dataset.random(_ENTITLEMENTS)
    end = dataset.window.end
    pairs = np.flatnonzero(rng.random(dataset.size.tenants * len(FEATURES)) < 0.8)
    enabled = people.tenant_created[pairs // len(FEATURES)] + span(rng.uniform(0, 10, len(pairs)))
    pairs, enabled = pairs[enabled < end], enabled[enabled < end]
    disabled = np.where(rng.random(len(pairs)) < 0.08, _halfway(enabled, end), NEVER)
    again = ~np.isnat(disabled) & (rng.random(len(pairs)) < 0.3)
    second = _halfway(disabled[again], end)
    pair = np.concatenate([pairs, pairs[again]])
    return as_table(
        "feature_entitlements",
        {
            "tenant_id": _ids_of(people, pair // len(FEATURES)),
            "feature_key": words(FEATURES, pair % len(FEATURES)),
            "enabled_at": np.concatenate([enabled, second]),
            "disabled_at": np.concatenate([disabled, np.full(len(second), NEVER)]),
        },
    )


def _tickets(dataset: Dataset, people: People) -> pa.Table:
    rng = dataset.random(_TICKETS)
    count = dataset.count(dataset.size.events / 1000)
    opened = np.sort(_moments(rng, dataset, count))
    return as_table(
        "support_tickets",
        {
            "ticket_id": hex_ids("tic_", np.arange(count), 10),
            "tenant_id": _ids_of(people, _tenants(rng, people, count)),
            "opened_at": opened,
            "closed_at": _known(opened + span(rng.exponential(4, count)), dataset),
            "priority": words(["low", "normal", "high"], pick(rng, [30, 55, 15], count)),
        },
    )
