"""Hostile source data for order health: random but seeded, aimed at every edge that order-health.md names."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise, product

from health_pipeline_tests.reference.calendar import MICROSECOND
from health_pipeline_tests.reference.contract import Row, Source
from health_pipeline_tests.reference.hostile_scene import AROUND, Scene
from health_pipeline_tests.reference.hostile_tenants import add_tenant, life
from health_pipeline_tests.reference.order_health import SHIPPED_POLICY, next_expected_date

TABLES = {"tenants", "users", "events", "customers", "orders"}
DELIVERED = (None, "", "DELIVERED", "delivered", "Delivered", "dELIVERED")
NOT_DELIVERED = (
    *("CANCELLED", "cancelled", " DELIVERED", "DELIVERED ", "delivered\n", "DELIVERED\u00a0", "UNDELIVERED"),
    *("DELIVERED_PARTLY", "RETURNED", "SHIPPED", "PENDING", " ", "null", "\U0001f69a"),
)
LARGEST = Decimal("999999999999.99")
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Buyer:
    """A customer and its tenant."""

    customer_id: str
    tenant_id: str


def hostile_orders(
    seed: int,
    *,
    customers: int = 60,
    days: tuple[date, date],
    zone: str = "UTC",
    clock: datetime,
    faults: bool = True,
) -> Source:
    """Source rows around the days first to last: `customers` ordinary buyers beside those of the traps (about 330).

    Every row has every column of the contract. Without `faults` no row is bad at `clock`; with them at most nine rows
    of a table are, so that the run goes on whatever their share.
    """
    scene = Scene(random.Random(seed), days[0], days[1], zone, clock, TABLES)
    for _ in range(4):
        add_tenant(scene, "steady", "Retail", "A", scene.long_ago, None)
    for _ in range(6):
        add_tenant(scene, "restless", "Retail", "A", *life(scene))
    for _ in range(customers):
        ordinary_buyer(scene)
    for trap in TRAPS:
        trap(scene)
    if faults:
        bad_customers(scene)
        bad_orders(scene)
    for rows in scene.source.values():
        scene.rng.shuffle(rows)
    return scene.source


def add_buyer(scene: Scene, role: str = "steady", **values: object) -> Buyer:
    """A customer of a tenant of that role, created long ago unless told otherwise."""
    # A scene in which no restless tenant could be created before the clock has steady ones only.
    buyer = Buyer(scene.new_id("customers"), scene.rng.choice(scene.tenants(role) or scene.tenants("steady")))
    given = {
        "name": scene.rng.choice(["", "Same name", buyer.customer_id]),
        "sales_rep_id": scene.rng.choice(["", None, "rep", "Rep ", "\U0001f680"]),
        "created_at": scene.long_ago,
    }
    scene.add("customers", customer_id=buyer.customer_id, tenant_id=buyer.tenant_id, **{**given, **values})
    return buyer


def add_order(
    scene: Scene, buyer: Buyer, delivered_at: datetime | None, amount: Decimal | None, **values: object
) -> None:
    """An order that counts as delivered, unless told otherwise; ordered some time before or at the delivery."""
    ordered_at = (delivered_at or scene.long_ago) - scene.rng.choice([timedelta(0), MICROSECOND, DAY, 20 * DAY])
    order = {"order_id": scene.new_id("orders"), "customer_id": buyer.customer_id, "tenant_id": buyer.tenant_id}
    given = {"ordered_at": ordered_at, "delivered_at": delivered_at, "total_amount": amount}
    scene.add("orders", **order, **{**given, "status": scene.rng.choice(DELIVERED), **values})


def moment_on(scene: Scene, day: date) -> datetime:
    """An instant of the day: every other one its first or second microsecond, or its last."""
    start, last = scene.end(day - DAY), scene.end(day) - MICROSECOND
    return scene.rng.choice([start, start + MICROSECOND, last, *[start + scene.rng.random() * (last - start)] * 3])


def cents(amount: int) -> Decimal:
    """An amount with two decimals."""
    return Decimal(amount).scaleb(-2)


def deliver(scene: Scene, buyer: Buyer, dates: Sequence[date], amounts: Sequence[int | None] | None = None) -> None:
    """One order's worth of cents on each date, now and then in several deliveries with unknown amounts among them."""
    for n, day in enumerate(dates):
        amount = scene.rng.choice([None, 0, 1, 8500, 9999]) if amounts is None else amounts[n]
        parts = [amount]
        if amount is not None and scene.rng.random() < 0.3:
            parts = [*split_cents(scene.rng, amount, scene.rng.randrange(1, 4)), None]
        elif scene.rng.random() < 0.1:
            parts = [amount, None]
        for part in parts:
            add_order(scene, buyer, moment_on(scene, day), None if part is None else cents(part))


def split_cents(rng: random.Random, total: int, parts: int) -> list[int]:
    """A sum as so many parts, some of them 0."""
    cuts = sorted(rng.randint(0, total) for _ in range(parts - 1))
    return [after - before for before, after in zip([0, *cuts], [*cuts, total], strict=True)]


def dates_of(gaps: Sequence[int]) -> list[date]:
    """Dates with these gaps between them, somewhere in time."""
    dates = [date(2000, 1, 1)]
    for gap in gaps:
        dates.append(dates[-1] + gap * DAY)
    return dates


def overdue_on(target: date, days_overdue: int, gaps: Sequence[int]) -> list[date]:
    """Dates with these gaps, so that the customer is so many days overdue on the target day."""
    dates = dates_of(gaps)
    expected = next_expected_date(dates, SHIPPED_POLICY)
    if expected is None:
        raise ValueError("an expected date needs a gap")
    shift = target - days_overdue * DAY - expected
    return [day + shift for day in dates]


def ordinary_buyer(scene: Scene) -> None:
    """A buyer of any tenant with some orders around the days, of any status and amount."""
    buyer = add_buyer(scene, scene.rng.choice(["steady", "restless"]))
    for _ in range(scene.rng.randrange(18)):
        delivered_at = scene.rng.choice([scene.moment(), scene.moment() - 90 * DAY, scene.edge(), None])
        amount = scene.rng.choice([None, Decimal("0.00"), Decimal("0.01"), cents(scene.rng.randrange(20000))])
        status = scene.rng.choice([*DELIVERED, *DELIVERED, *NOT_DELIVERED])
        add_order(scene, buyer, delivered_at, amount, status=status)


def thresholds_to_the_day(scene: Scene) -> None:
    """0, 1, 44 and 45 days overdue on a day, after 2 to 7 delivery dates; the mean gap whole, .25, .5 or .75."""
    for days_overdue in (0, 1, 44, 45):
        for n_gaps in range(1, 7):
            gaps = [scene.rng.randrange(1, 40) for _ in range(n_gaps)]
            deliver(scene, add_buyer(scene), overdue_on(scene.rng.choice(scene.days), days_overdue, gaps))
        # Half days round up, whether to an even or an odd number; the gap of 100 is no longer among the last five dates.
        for gaps in (
            [1, 2],
            [2, 3],
            [1, 1, 2, 2],
            [100, 30, 31, 30, 31],
            [1, 1, 1, 2],
            [100, 5, 6, 6, 6],
            [1],
            [1] * 20,
        ):
            deliver(scene, add_buyer(scene), overdue_on(scene.rng.choice(scene.days), days_overdue, gaps))


def revenue_at_the_limit(scene: Scene) -> None:
    """A recent mean at exactly 0.85 x the baseline, and a cent below and above it."""
    # The smallest sums at the limit, whose means need not be whole cents, times units with which floating point often
    # lands on the wrong side of it.
    units = (5, scene.rng.choice([7, 10, 20, 40, 59, 83]), 4 * 10**11 + 1)
    for offset, n_baseline, n_recent, unit in product((-1, 0, 1), (3, 4, 7, 10), (1, 2, 3), units):
        common = math.gcd(20 * n_baseline, 17 * n_recent)
        at_limit = 20 * n_baseline // common * unit, 17 * n_recent // common * unit
        baseline: list[int | None] = [*split_cents(scene.rng, at_limit[0], n_baseline)]
        recent: list[int | None] = [*split_cents(scene.rng, at_limit[1] + offset, n_recent)]
        if n_baseline > 3 or scene.rng.random() < 0.5:  # otherwise there are fewer than 10 before the last 3
            baseline += [None] * (10 - n_baseline)
            scene.rng.shuffle(baseline)
        recent += [None] * (3 - n_recent)
        scene.rng.shuffle(recent)
        older = [10**13] * 2 if len(baseline) == 10 else []
        amounts = [*older, *baseline, *recent]
        dates = overdue_on(scene.rng.choice(scene.days), 0, [scene.rng.randrange(7, 40)] * (len(amounts) - 1))
        deliver(scene, add_buyer(scene), dates, amounts)


def unknown_zero_and_huge_amounts(scene: Scene) -> None:
    """Nothing known, nothing but zeros, a baseline of 0, too few known amounts, and the largest amounts there are."""
    huge = int(LARGEST * 100)
    shapes: list[list[int | None]] = [
        [None] * 13,
        [0] * 13,
        [*[0] * 10, 100, 100, 100],
        [*[100] * 10, 0, 0, 0],
        [*[100] * 10, None, None, None],
        [100, 100, None, 0, 0, 0],
        [100, 100, 100, 0, 0, 0],
        [100, 100, 1],
        [100, 100, 100, 1],
        [None, 1, 0, 0, 0, None, None],
        [huge] * 13,
        [*[huge] * 10, 0, 0, 1],
        [*[1] * 10, huge, huge, huge],
        [*[1] * 5, *[huge] * 10, *[huge - 1] * 3],
    ]
    for amounts in shapes:
        dates = overdue_on(scene.rng.choice(scene.days), 1, [scene.rng.randrange(7, 40)] * (len(amounts) - 1))
        deliver(scene, add_buyer(scene), dates, amounts)
    buyer = add_buyer(scene)  # several of the largest amounts on each date
    for day in overdue_on(scene.last, 0, [9] * 8):
        for _ in range(12):
            add_order(scene, buyer, moment_on(scene, day), LARGEST)


def dormancies(scene: Scene) -> None:
    """Dormancies that end on a day, or would have a day later; some recur, and the next begins on a day."""
    for steps in ([45], [44], [46], [45, 45], [60, 44], [44, 45], [300, 45], [45, 3, 45], [45, 0, 0, 0, 0, 0, 0]):
        dates = dates_of([scene.rng.randrange(1, 12) for _ in range(scene.rng.randrange(1, 6))])
        for days_overdue in steps:
            expected = next_expected_date(dates, SHIPPED_POLICY)
            if expected is None:
                raise ValueError("an expected date needs a gap")
            dates.append(expected + days_overdue * DAY)
        again = overdue_on(scene.rng.choice(scene.days), 45, [(day - before).days for before, day in pairwise(dates)])
        deliver(scene, add_buyer(scene), again)
        shift = scene.rng.choice(scene.days) - dates[-1]
        deliver(scene, add_buyer(scene), [day + shift for day in dates])


def midnights(scene: Scene) -> None:
    """Deliveries at midnight and a microsecond before and after it: on one date or on two."""
    for day in scene.days:
        end = scene.end(day)
        for steps in ([-MICROSECOND, timedelta(0)], [timedelta(0), MICROSECOND], AROUND):
            buyer = add_buyer(scene)
            for step in steps:
                add_order(scene, buyer, end + step, scene.rng.choice([None, Decimal("1.10")]))


def orders_that_do_not_count(scene: Scene) -> None:
    """Cancelled and undelivered orders, statuses with spaces, orders of another tenant or of nobody, on telling days."""
    for status in [*NOT_DELIVERED, None, None, None]:
        dates = overdue_on(scene.rng.choice(scene.days), scene.rng.choice([0, 1, 45]), [10, 12, 14, 16, 18])
        buyer = add_buyer(scene)
        deliver(scene, buyer, dates)
        for day in [*scene.days[::2], dates[0] - 400 * DAY, dates[1] + DAY]:
            if status is not None:
                add_order(scene, buyer, moment_on(scene, day), LARGEST, status=status)
                continue
            add_order(scene, buyer, None, LARGEST, status=scene.rng.choice(["DELIVERED", None]))
            for stranger in scene.all_tenants():
                if stranger != buyer.tenant_id:
                    add_order(scene, Buyer(buyer.customer_id, stranger), moment_on(scene, day), LARGEST)
            nobody = Buyer(buyer.customer_id.swapcase() + " ", buyer.tenant_id)
            add_order(scene, nobody, moment_on(scene, day), LARGEST)


def few_orders(scene: Scene) -> None:
    """Customers with no order, one, two on one date, one on each of two dates, and none before the last day."""
    add_buyer(scene)
    for dates in (
        [scene.first],
        [scene.first] * 2,
        [scene.first, scene.last],
        [scene.last + DAY],
        [scene.last + DAY] * 2,
    ):
        deliver(scene, add_buyer(scene), dates)
        deliver(scene, add_buyer(scene), [day - 400 * DAY for day in dates])


def lives(scene: Scene) -> None:
    """Customers who come and go at edges, in tenants that do; their orders from before and after count all the same."""
    for role in ("steady", "restless"):
        for _ in range(12):
            created_at, deactivated_at = life(scene)
            buyer = add_buyer(scene, role, created_at=created_at, deactivated_at=deactivated_at)
            deliver(scene, buyer, overdue_on(scene.rng.choice(scene.days), 1, [scene.rng.randrange(1, 30)] * 4))


def far_dates(scene: Scene) -> None:
    """Orders from around 1970 and a gap of half a century; deliveries at the clock."""
    buyer = add_buyer(scene)
    for instant in (datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), datetime(1970, 1, 1, tzinfo=UTC)):
        add_order(scene, buyer, instant, Decimal("1.00"))
    deliver(scene, buyer, [scene.first])
    buyer = add_buyer(scene)
    deliver(scene, buyer, overdue_on(scene.last, 0, [5, 5]))
    add_order(scene, buyer, scene.clock, Decimal("1.00"))


def entered_afterwards(scene: Scene) -> None:
    """Orders delivered before they were ordered: on the day, or on one of the days before."""
    for delay in (MICROSECOND, DAY, 5 * DAY):
        buyer = add_buyer(scene)
        deliver(scene, buyer, overdue_on(scene.rng.choice(scene.days), 45, [9, 9, 9]))
        delivered_at = scene.end(scene.rng.choice(scene.days)) - MICROSECOND
        add_order(scene, buyer, delivered_at, Decimal("1.00"), ordered_at=delivered_at + delay)


def bad_customers(scene: Scene) -> None:
    """Customers that are left out though they have orders, and which of two rows of one customer stays."""
    tenant_id = scene.tenants("steady")[0]
    created_at = scene.end(scene.first)
    scene.add_anyway("tenants", tenant_id="bad", name="Bad", created_at=created_at, deactivated_at=scene.long_ago)
    good: Row = {"tenant_id": tenant_id, "name": "C", "created_at": scene.long_ago}
    bad = (
        {**good, "customer_id": "of a bad tenant", "tenant_id": "bad"},
        {**good, "customer_id": "nameless", "name": None},
        {**good, "customer_id": "ends early", "deactivated_at": scene.long_ago - MICROSECOND},
        {**good, "customer_id": "from the future", "created_at": scene.clock + MICROSECOND},
        {**good, "customer_id": "forever", "deactivated_at": "infinity"},
        {**good, "customer_id": "twice", "created_at": scene.long_ago + MICROSECOND, "sales_rep_id": "later"},
        {**good, "customer_id": "twice", "name": "D"},
    )
    for row in bad:
        scene.add_anyway("customers", **row)
        if row["tenant_id"] != "bad":  # whose orders would be bad themselves
            deliver(scene, Buyer(row["customer_id"], tenant_id), [scene.first - 9 * DAY, scene.first - 3 * DAY])
    # Stays: the earliest of the three, and of those the one with the smaller name.
    scene.add_anyway("customers", **good, customer_id="twice", sales_rep_id="stays", deactivated_at=scene.edge())


def bad_orders(scene: Scene) -> None:
    """Orders that are left out, of a customer whose figures each of them would change."""
    buyer = add_buyer(scene)
    deliver(scene, buyer, overdue_on(scene.last, 45, [7] * 13), [100] * 14)
    past, within = scene.long_ago, scene.end(scene.first)
    order = {"customer_id": buyer.customer_id, "tenant_id": buyer.tenant_id, "total_amount": LARGEST}
    good = {**order, "order_id": "bad", "ordered_at": past, "delivered_at": within, "status": "DELIVERED"}
    bad = (
        {"order_id": "never ordered", "ordered_at": None},
        {"order_id": ""},
        {"order_id": "of a stranger", "tenant_id": buyer.tenant_id + "\u00a0"},
        {"order_id": "ordered in the future", "ordered_at": scene.clock + MICROSECOND},
        {"order_id": "delivered in the future", "delivered_at": scene.clock + MICROSECOND},
        {"order_id": "delivered before time", "delivered_at": "-infinity"},
        {"order_id": "negative", "total_amount": Decimal("-0.01")},
        {"order_id": "not a number", "total_amount": Decimal("NaN")},
        {"order_id": "twice", "ordered_at": past + MICROSECOND},
        # Stays, as it was ordered first; it isn't delivered.
        {"order_id": "twice", "delivered_at": None},
    )
    for values in bad:
        scene.add_anyway("orders", **{**good, **values})


TRAPS: tuple[Callable[[Scene], None], ...] = (
    thresholds_to_the_day,
    revenue_at_the_limit,
    unknown_zero_and_huge_amounts,
    dormancies,
    midnights,
    orders_that_do_not_count,
    few_orders,
    lives,
    far_dates,
    entered_afterwards,
)
