"""Order health: figures worked by hand, thresholds to the day, and agreement with the reference day by day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import ibis
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from health_pipeline.days import Calendar, DayRange
from health_pipeline.metrics.orders import OrderInputs, counts_per_day, customer_order_days, order_eras
from health_pipeline.policy.load import load_policy
from health_pipeline.policy.model import OrderHealthPolicy
from health_pipeline.sources.engine import new_engine
from health_pipeline_tests.reference.calendar import end_of
from health_pipeline_tests.reference.order_health import deliveries_before, figures

POLICY = load_policy(None).order_health
START = date(2024, 3, 1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
INSTANT, TEXT = "timestamp", "string"
_TENANTS = {"tenant_id": TEXT, "created_at": INSTANT, "deactivated_at": INSTANT}
_CUSTOMERS = {"customer_id": TEXT, "sales_rep_id": TEXT, **_TENANTS}
_ORDERS = {"tenant_id": TEXT, "customer_id": TEXT, "delivered_at": INSTANT, "status": TEXT, "total_amount": TEXT}
_ENGINE = new_engine()


@dataclass(frozen=True)
class Order:
    """An order of the customer c1 of the tenant t1, delivered so many days after START."""

    day: int
    amount: str | None = "100.00"
    status: str | None = None
    hour: int = 12
    customer_id: str = "c1"
    tenant_id: str = "t1"

    @property
    def delivered_at(self) -> datetime:
        return datetime.combine(START, time(), UTC) + timedelta(days=self.day, hours=self.hour)


def customer(customer_id: str = "c1", **values: Any) -> dict[str, Any]:
    return {"customer_id": customer_id, "tenant_id": "t1", "created_at": LONG_AGO, "sales_rep_id": "rep", **values}


def _table(rows: list[dict[str, Any]], schema: dict[str, str]) -> ibis.Table:
    """Rows in the logical form of the reader: instants are naive and UTC."""

    def held(value: Any) -> Any:
        return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value

    columns = {name: [held(row.get(name)) for row in rows] for name in schema}
    return _ENGINE.create_table(
        ibis.util.gen_name("test"), ibis.memtable(pd.DataFrame(columns, dtype=object), schema=schema), temp=True
    )


def inputs(
    orders: list[Order], customers: list[dict[str, Any]] | None = None, tenants: list[dict[str, Any]] | None = None
) -> OrderInputs:
    return OrderInputs(
        _table(tenants or [{"tenant_id": "t1", "created_at": LONG_AGO}], _TENANTS),
        _table(customers or [customer()], _CUSTOMERS),
        _table(
            [{**vars(order), "delivered_at": order.delivered_at, "total_amount": order.amount} for order in orders],
            _ORDERS,
        ),
        lookback=2000,
    )


def days_after(first: int, last: int) -> DayRange:
    return DayRange(START + timedelta(days=first), START + timedelta(days=last))


def table_of(source: OrderInputs, days: DayRange, policy: OrderHealthPolicy = POLICY, zone: str = "UTC") -> ibis.Table:
    return customer_order_days(order_eras(source, policy, Calendar(zone), days), policy, days, days)


def rows_of(
    source: OrderInputs, days: DayRange, policy: OrderHealthPolicy = POLICY, zone: str = "UTC"
) -> dict[tuple[date, str], dict[str, Any]]:
    rows = table_of(source, days, policy, zone).to_pyarrow().to_pylist()
    result = {(row["metric_date"], row["customer_id"]): row for row in rows}
    assert len(result) == len(rows)
    return result


def on_day(orders: list[Order], day: int, zone: str = "UTC", policy: OrderHealthPolicy = POLICY) -> dict[str, Any]:
    """The row of c1 on the day."""
    at = days_after(day, day)
    return rows_of(inputs(orders), at, policy, zone)[at.first, "c1"]


def of_customers(day: int, *orders: list[Order]) -> list[dict[str, Any]]:
    """The rows on the day of customers who each placed one of the lists of orders."""
    names = [f"c{number}" for number in range(len(orders))]
    placed = [replace(order, customer_id=name) for name, mine in zip(names, orders, strict=True) for order in mine]
    at = days_after(day, day)
    rows = rows_of(inputs(placed, [customer(name) for name in names]), at)
    return [rows[at.first, name] for name in names]


def after(days: int) -> date:
    return START + timedelta(days=days)


def test_worked_example() -> None:
    """The buyer of docs/order-health.md."""
    dates = [date(2024, *day) for day in ((1, 8), (1, 22), (2, 5), (2, 20), (3, 4), (6, 3), (6, 24))]
    amounts = ("400", "420", "380", "400", "410", "200", "240")
    orders = [Order((day - START).days, amount) for day, amount in zip(dates, amounts, strict=True)]
    rows = rows_of(inputs(orders), DayRange(date(2024, 1, 1), date(2024, 9, 30)))
    shown = [(day, row["risk_status"]) for (day, _), row in sorted(rows.items())]
    assert [now for before, now in pairwise([(None, "none"), *shown]) if now[1] != before[1]] == [
        (date(2024, 1, 1), None),
        (date(2024, 1, 8), "HEALTHY"),
        (date(2024, 3, 19), "AT_RISK_CADENCE"),
        (date(2024, 5, 2), "DORMANT"),
        (date(2024, 6, 3), "AT_RISK_REVENUE"),
        (date(2024, 7, 30), "AT_RISK_CADENCE"),
        (date(2024, 9, 12), "DORMANT"),
    ]
    row = rows[date(2024, 6, 10), "c1"]
    assert (row["delivered_orders"], row["last_order_date"]) == (6, date(2024, 6, 3))
    assert (row["average_order_interval_days"], row["next_expected_order_date"]) == (33.25, date(2024, 7, 6))
    assert (row["days_overdue"], row["order_lifecycle"]) == (-26, "ESTABLISHED")
    assert (row["recent_average_revenue"], row["baseline_average_revenue"]) == (1010 / 3, 400.0)
    assert row["revenue_change"] == float(Fraction(1010, 1200) - 1)
    assert (row["dormancy_since"], row["reactivated_date"]) == (None, date(2024, 6, 3))
    assert row["sales_rep_id"] == "rep"
    assert rows[date(2024, 9, 30), "c1"]["dormancy_since"] == date(2024, 9, 12)


def test_thresholds_to_the_day() -> None:
    """Orders on days 0 and 10: expected on day 20."""
    rows = rows_of(inputs([Order(0), Order(10)]), days_after(10, 400))
    for day, status in (
        (20, "HEALTHY"),
        (21, "AT_RISK_CADENCE"),
        (64, "AT_RISK_CADENCE"),
        (65, "DORMANT"),
        (400, "DORMANT"),
    ):
        row = rows[after(day), "c1"]
        assert (row["days_overdue"], row["risk_status"]) == (day - 20, status)
        assert row["dormancy_since"] == (after(65) if status == "DORMANT" else None)


def test_the_mean_gap_is_rounded_half_up() -> None:
    rounded = {(3, 4): 4, (3, 3, 4): 3, (1, 1, 1, 2): 1, (1, 2, 1, 2): 2, (2, 2, 3, 3): 3}
    rows = of_customers(14, *([Order(14 - sum(gaps[n:])) for n in range(len(gaps) + 1)] for gaps in rounded))
    for row, (gaps, days) in zip(rows, rounded.items(), strict=True):
        assert row["average_order_interval_days"] == sum(gaps) / len(gaps)
        assert row["next_expected_order_date"] == after(14 + days)


def test_prospect_and_new() -> None:
    rows = rows_of(inputs([Order(5)]), days_after(4, 400))
    prospect, new, old = (rows[after(day), "c1"] for day in (4, 5, 400))
    assert (prospect["order_lifecycle"], prospect["risk_status"], prospect["delivered_orders"]) == ("PROSPECT", None, 0)
    assert prospect["last_order_date"] is None
    assert prospect["recent_average_revenue"] is None
    for row in (new, old):
        assert (row["order_lifecycle"], row["risk_status"], row["delivered_orders"]) == ("NEW", "HEALTHY", 1)
        assert row["next_expected_order_date"] is None
        assert row["days_overdue"] is None
        assert row["recent_average_revenue"] == 100.0
    assert len(rows) == 397


def test_only_delivered_orders_count() -> None:
    counted = [Order(0), Order(1, status="delivered"), Order(2, status="Delivered")]
    ignored = [Order(3, status=status) for status in ("SHIPPED", "CANCELLED", "DELIVERED ")]
    assert on_day([*counted, *ignored], 10)["delivered_orders"] == 3


def test_deliveries_on_one_date_are_one_order() -> None:
    orders = [
        Order(0, "10.00", hour=0),
        Order(0, "5.25", hour=23),
        Order(0, None),
        Order(9, None),
        Order(9, None, hour=3),
    ]
    row = on_day(orders, 9)
    assert (row["delivered_orders"], row["average_order_interval_days"]) == (2, 9.0)
    assert row["recent_average_revenue"] == 15.25


def test_the_zone_decides_the_date() -> None:
    orders = [Order(0, hour=22), Order(1, hour=23)]
    assert on_day(orders, 10)["last_order_date"] == after(1)
    row = on_day(orders, 10, zone="Europe/Berlin")
    assert row["last_order_date"] == after(2)
    assert row["average_order_interval_days"] == 2.0


def test_orders_match_on_tenant_and_customer() -> None:
    assert on_day([Order(0), Order(1, tenant_id="t2"), Order(2, customer_id="c2")], 5)["delivered_orders"] == 1


def test_a_drop_is_compared_exactly() -> None:
    before = [Order(day, "100.00") for day in range(3)]
    rows = of_customers(
        6, *(before + [Order(day, amount) for day in range(3, 6)] for amount in ("85.00", "84.99", "0.00"))
    )
    assert [row["risk_status"] for row in rows] == ["HEALTHY", "AT_RISK_REVENUE", "AT_RISK_REVENUE"]


def test_the_baseline_needs_three_known_amounts() -> None:
    known = [Order(day, "10.00") for day in (0, 1)]
    recent = [Order(day, "1.00") for day in (8, 9, 10)]
    few, enough = of_customers(
        11, [*known, Order(2, None), *recent], [*known, Order(2, None), Order(3, "10.00"), *recent]
    )
    assert (few["baseline_average_revenue"], few["revenue_change"], few["risk_status"]) == (None, None, "HEALTHY")
    assert (enough["baseline_average_revenue"], enough["revenue_change"]) == (10.0, -0.9)
    assert enough["risk_status"] == "AT_RISK_REVENUE"


def test_the_baseline_is_of_the_ten_before_the_last_three() -> None:
    orders = [Order(day, str(2**day)) for day in range(15)]
    row = on_day(orders, 14)
    assert row["recent_average_revenue"] == (2**12 + 2**13 + 2**14) / 3
    assert row["baseline_average_revenue"] == sum(2**day for day in range(2, 12)) / 10


def test_a_baseline_of_zero_is_no_drop() -> None:
    row = on_day([Order(day, "0.00") for day in range(6)], 6)
    assert (row["recent_average_revenue"], row["baseline_average_revenue"], row["revenue_change"]) == (0.0, 0.0, None)
    assert row["risk_status"] == "HEALTHY"


def test_amounts_are_rounded_to_cents_half_up() -> None:
    rows = of_customers(0, *([Order(0, amount)] for amount in ("0.005", "1.00499999999999999999", "1e3")))
    assert [row["recent_average_revenue"] for row in rows] == [0.01, 1.0, 1000.0]


def test_an_order_ends_a_dormancy_from_the_45th_day_on() -> None:
    rows = of_customers(200, *([Order(0), Order(10), Order(back)] for back in (64, 65, 200)))
    assert [row["reactivated_date"] for row in rows] == [None, after(65), after(200)]


def test_dormancies_end_and_recur() -> None:
    # Expected on 20; dormant from 65; back on 100. Mean gap 50: expected on 150; dormant from 195; back on 300.
    rows = rows_of(inputs([Order(0), Order(10), Order(100), Order(300)]), days_after(0, 320))
    c1 = [rows[after(day), "c1"] for day in range(321)]
    assert [day for day in range(321) if c1[day]["risk_status"] == "DORMANT"] == [*range(65, 100), *range(195, 300)]
    assert {c1[day]["dormancy_since"] for day in range(195, 300)} == {after(195)}
    assert [c1[day]["reactivated_date"] for day in (99, 100, 299, 300)] == [None, after(100), after(100), after(300)]


def test_customers_are_active_while_their_tenant_is() -> None:
    at = [datetime.combine(after(day), time(), UTC) for day in range(10)]
    customers = [
        customer("from 2 on", created_at=at[2]),
        customer("up to 5", deactivated_at=at[6]),
        customer("of t2", tenant_id="t2", created_at=at[0], deactivated_at=at[9]),
        customer("gone before", created_at=LONG_AGO, deactivated_at=at[0]),
        customer("of nobody", tenant_id="t3"),
    ]
    tenants = [
        {"tenant_id": "t1", "created_at": LONG_AGO},
        {"tenant_id": "t2", "created_at": at[3] - timedelta(microseconds=1), "deactivated_at": at[8]},
    ]
    rows = rows_of(inputs([], customers, tenants), days_after(0, 9))
    alive = {name: [day for day in range(10) if (after(day), name) in rows] for name in {name for _, name in rows}}
    assert alive == {"from 2 on": [*range(2, 10)], "up to 5": [*range(6)], "of t2": [*range(2, 8)]}


def test_orders_before_the_customer_was_created_count() -> None:
    created = datetime.combine(after(20), time(), UTC)
    rows = rows_of(inputs([Order(0), Order(10)], [customer(created_at=created)]), days_after(0, 30))
    assert min(day for day, _ in rows) == after(20)
    assert rows[after(20), "c1"]["delivered_orders"] == 2


def test_counts_per_day() -> None:
    orders = [Order(0), Order(10), Order(100), *(Order(day, customer_id="c2") for day in (0, 90))]
    source = inputs(orders, [customer(), customer("c2"), customer("c3")])
    counted = {
        row.pop("metric_date"): row
        for row in counts_per_day(table_of(source, days_after(0, 120))).to_pyarrow().to_pylist()
    }
    names = (
        "customers",
        "prospects",
        "healthy",
        "at_risk_revenue",
        "at_risk_cadence",
        "dormant",
        "newly_dormant",
        "reactivated",
    )
    found = {day: tuple(counted[after(day)][name] for name in names) for day in (0, 64, 65, 66, 99, 100)}
    assert found == {
        0: (3, 1, 2, 0, 0, 0, 0, 0),
        64: (3, 1, 1, 0, 1, 0, 0, 0),
        65: (3, 1, 1, 0, 0, 1, 1, 0),
        66: (3, 1, 1, 0, 0, 1, 0, 0),
        99: (3, 1, 1, 0, 0, 1, 0, 0),
        100: (3, 1, 2, 0, 0, 0, 0, 1),
    }


def restated(orders: list[Order], day: date, policy: OrderHealthPolicy) -> dict[str, Any]:
    """The figures of a customer with these orders, as the reference has them."""
    rows = [
        {"delivered_at": o.delivered_at, "status": o.status, "total_amount": o.amount and Decimal(o.amount)}
        for o in orders
    ]
    rules = {
        "dormant_days": policy.dormant_after_days,
        "at_risk_days": policy.cadence_risk_after_days,
        "revenue_drop_percent": policy.revenue_drop_percent,
        "interval_orders": policy.interval_orders,
        "recent_orders": policy.recent_orders,
        "baseline_orders": policy.baseline_orders,
        "baseline_minimum": policy.baseline_min_known,
    }
    return figures(deliveries_before(rows, end_of(day, "UTC"), "UTC"), day, rules)


_AMOUNTS = st.one_of(st.none(), st.sampled_from(["0.00", "0.005", "85.00", "84.99", "99.99", "100.00", "100.01"]))
_STATUSES = st.sampled_from([None, None, "DELIVERED", "delivered", "CANCELLED"])
_ORDER_LISTS = st.lists(
    st.builds(
        Order,
        day=st.integers(-40, 60),
        amount=_AMOUNTS,
        status=_STATUSES,
        hour=st.integers(0, 23),
        customer_id=st.sampled_from(["c1", "c2", "c3"]),
    ),
    max_size=60,
)


def _policy(**values: Any) -> OrderHealthPolicy:
    return POLICY.model_copy(update=values)


_POLICIES = st.builds(
    _policy,
    interval_orders=st.integers(2, 6),
    recent_orders=st.integers(1, 4),
    baseline_orders=st.integers(3, 10),
    baseline_min_known=st.integers(1, 3),
    dormant_after_days=st.integers(2, 8),
    cadence_risk_after_days=st.integers(1, 2),
    revenue_drop_percent=st.sampled_from([Fraction(15), Fraction("0.5"), Fraction("33.3")]),
)
_CUSTOMERS_OF_T1 = [customer("c1"), customer("c2"), customer("c3")]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_ORDER_LISTS, st.one_of(st.just(POLICY), _POLICIES))
def test_agrees_with_the_reference(orders: list[Order], policy: OrderHealthPolicy) -> None:
    days = days_after(0, 62)
    rows = rows_of(inputs(orders, _CUSTOMERS_OF_T1), days, policy)
    assert len(rows) == 3 * len(days)
    for (day, customer_id), row in rows.items():
        expected = restated([order for order in orders if order.customer_id == customer_id], day, policy)
        assert {name: row[name] for name in expected} == expected


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_ORDER_LISTS, st.lists(st.integers(0, 62), min_size=1, max_size=4))
def test_a_range_gives_the_rows_of_its_days(orders: list[Order], single_days: list[int]) -> None:
    source = inputs(orders, _CUSTOMERS_OF_T1)
    whole = rows_of(source, days_after(0, 62))
    for day in single_days:
        alone = rows_of(source, days_after(day, day))
        assert alone == {key: row for key, row in whole.items() if key[0] == after(day)}
