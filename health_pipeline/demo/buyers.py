"""The buyers of the tenants that sell goods, and their orders in up to two years."""

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from health_pipeline.demo import names
from health_pipeline.demo.clients import Users
from health_pipeline.demo.contract import as_table
from health_pipeline.demo.sampling import (
    NEVER,
    BoolArray,
    FloatArray,
    IntArray,
    TimeArray,
    Window,
    before,
    masked,
    numbered,
    pick,
    quota,
    span,
    time_of_day,
    words,
)
from health_pipeline.demo.tenants import SECTORS, Tenants

# A buyer's story, its share, and the intervals in days between its orders, one of which is its own.
STORIES: tuple[tuple[str, float, tuple[int, ...]], ...] = (
    ("weekly", 0.10, (7, 14)),
    ("monthly", 0.33, (28, 30)),
    ("quarterly", 0.14, (91,)),
    ("seasonal", 0.08, (14, 30)),
    ("dying", 0.09, (7, 14, 30)),
    ("returning", 0.06, (14, 30)),
    ("one_time", 0.06, (30,)),
    ("never_ordered", 0.05, (30,)),
    ("shrinking", 0.09, (7, 14, 30)),
)
_STORY_NAMES = tuple(story[0] for story in STORIES)
_ORDER_HISTORY_DAYS = 730
_CUSTOMER_HISTORY_DAYS = 1000
_CUSTOMERS_PER_TENANT = 24
_SEASON_DAYS = 120
_STATUSES = ("DELIVERED", "delivered", None, "RETURNED", "CANCELLED", "SHIPPED", "PENDING")
_DELIVERED, _CANCELLED, _SHIPPED, _PENDING = 0, 4, 5, 6
_DELIVERED_SHARES = (0.955, 0.015, 0.02, 0.01)


@dataclass(frozen=True)
class Customers:
    """All customers; arrays have an entry per customer."""

    table: pa.Table
    ids: pa.Array
    tenant: IntArray
    story: IntArray  # index into STORIES
    created: TimeArray
    gone: TimeArray  # when the customer or the tenant was deactivated, NaT if neither


def plan_customers(rng: np.random.Generator, window: Window, tenants: Tenants, users: Users) -> Customers:
    """Customers of the tenants whose sector sells goods; the sales reps are users of the tenant."""
    sells = np.array([sector[3] for sector in SECTORS])[tenants.sector] & (tenants.users > 0)
    years = (window.end - tenants.created) / np.timedelta64(365, "D")
    expected = _CUSTOMERS_PER_TENANT * np.sqrt(tenants.size) * sells * np.clip(years, 0.1, 1)
    tenant = np.repeat(np.arange(len(sells)), rng.poisson(expected))
    size, end = len(tenant), np.fmin(tenants.deactivated[tenant], window.end)
    begin: TimeArray = np.maximum(tenants.created[tenant], window.end - span(np.array(float(_CUSTOMER_HISTORY_DAYS))))
    created = begin + span((end - begin) / np.timedelta64(1, "D") * rng.random(size) ** 1.5)
    last: TimeArray = np.maximum(created, window.start)
    left = (end - last) / np.timedelta64(1, "D")
    leaves = rng.random(size) < 0.03
    deactivated = np.where(leaves, last + span(left * rng.uniform(0.1, 1, size)), NEVER)
    rep = users.first[tenant] + rng.integers(np.minimum(tenants.users[tenant], 4))
    ids = numbered("cus-", np.arange(1, size + 1), 5)
    table = as_table(
        "customers",
        {
            "customer_id": ids,
            "tenant_id": tenants.ids.take(pa.array(tenant)),
            "name": names.buyer_names(rng, size),
            "sales_rep_id": masked(users.ids.take(pa.array(rep)), rng.random(size) < 0.06),
            "created_at": created,
            "deactivated_at": deactivated,
        },
    )
    story = quota(rng, [story[1] for story in STORIES], size)
    gone = np.fmin(deactivated, tenants.deactivated[tenant])
    return Customers(table, ids, tenant, story, created, gone)


def orders(rng: np.random.Generator, window: Window, tenants: Tenants, customers: Customers) -> pa.Table:
    """`orders`: each customer in its own rhythm, as its story has it."""
    size = len(customers.story)
    choices = np.array([np.resize(story[2], 6) for story in STORIES])[customers.story]
    interval = choices[np.arange(size), rng.integers(6, size=size)].astype(np.float64)
    # Days are counted from the beginning of the order history.
    opening = window.end - span(np.array(float(_ORDER_HISTORY_DAYS)))
    known = (customers.created - opening) / np.timedelta64(1, "D")
    # Who is new orders soon; who has been ordering for long is anywhere in the rhythm.
    first = np.maximum(known, 0) + rng.uniform(0.05, 1, size) * np.where(known > 0, np.minimum(interval, 20), interval)
    count = np.maximum(np.ceil((_ORDER_HISTORY_DAYS - first) / interval), 0).astype(np.int64)
    customer = np.repeat(np.arange(size), count)
    number = np.arange(len(customer)) - np.repeat(np.cumsum(count) - count, count)
    wobble = rng.normal(0, 0.07, len(customer)) * np.minimum(interval, 30)[customer] * (number > 0)
    day = first[customer] + number * interval[customer] + wobble
    ordered = opening + span(np.floor(day)) + time_of_day(rng, len(day))
    limit = np.fmin(customers.gone, window.end)[customer]
    kept = (ordered > customers.created[customer]) & (ordered < limit) & (day >= 0)
    kept &= _belongs(rng, customers.story, customer, number, day)
    order = np.flatnonzero(kept)[np.argsort(ordered[kept], kind="stable")]
    return _order_table(rng, tenants, customers, customer[order], day[order], ordered[order], limit[order])


def _belongs(
    rng: np.random.Generator, story: IntArray, customer: IntArray, number: IntArray, day: FloatArray
) -> BoolArray:
    """Whether the buyer's story has the order of this number on this day of the order history."""
    size, total = len(story), float(_ORDER_HISTORY_DAYS)

    def told(name: str) -> BoolArray:
        is_told: BoolArray = story == _STORY_NAMES.index(name)
        return is_told

    stop = np.where(told("dying"), total - rng.uniform(5, 220, size), np.inf)
    back = total - rng.uniform(2, 70, size)
    gap_start = np.where(told("returning"), back - rng.uniform(100, 200, size), np.inf)
    most = np.select([told("one_time"), told("never_ordered")], [1.0, 0.0], np.inf)
    off_season = (day + rng.uniform(0, 365, size)[customer]) % 365 > _SEASON_DAYS
    in_gap = (day >= gap_start[customer]) & (day < back[customer])
    return (day < stop[customer]) & ~in_gap & (number < most[customer]) & ~(off_season & told("seasonal")[customer])


def _order_table(
    rng: np.random.Generator,
    tenants: Tenants,
    customers: Customers,
    customer: IntArray,
    day: FloatArray,
    ordered: TimeArray,
    limit: TimeArray,
) -> pa.Table:
    size = len(customer)
    cancelled = rng.random(size) < 0.02
    needed = rng.gamma(3, 0.6, size)  # days to deliver
    delivered = before(np.where(cancelled, NEVER, ordered + span(needed)), limit)
    underway = np.where(needed > 1.5, _SHIPPED, _PENDING)
    status = np.select([cancelled, np.isnat(delivered)], [_CANCELLED, underway], pick(rng, _DELIVERED_SHARES, size))
    basket = rng.lognormal(6.0, 0.9, len(customers.story))[customer] * rng.normal(1, 0.12, size).clip(0.5)
    turn = _ORDER_HISTORY_DAYS - rng.uniform(30, 120, len(customers.story))[customer]
    shrunk = (customers.story[customer] == _STORY_NAMES.index("shrinking")) & (day > turn)
    cents = np.rint(np.where(shrunk, rng.uniform(0.35, 0.7, size), 1.0) * basket * 100).astype(np.int64)
    return as_table(
        "orders",
        {
            "order_id": numbered("ord-", np.arange(1, size + 1), 6),
            "tenant_id": tenants.ids.take(pa.array(customers.tenant[customer])),
            "customer_id": customers.ids.take(pa.array(customer)),
            "status": words(_STATUSES, status),
            "ordered_at": ordered,
            "delivered_at": delivered,
            "total_amount": masked(_money(cents), rng.random(size) < 0.01),
        },
    )


def _money(cents: IntArray) -> pa.Array:
    """Amounts with two decimals, exactly, from whole cents."""
    return pc.multiply(pa.array(cents).cast(pa.decimal128(19, 0)), pa.scalar(Decimal("0.01")))
