"""The reference of order health, held against examples worked out by hand, and the hostile orders."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from health_pipeline_tests.reference.calendar import MICROSECOND
from health_pipeline_tests.reference.contract import Row
from health_pipeline_tests.reference.hostile_orders import hostile_orders
from health_pipeline_tests.reference.order_health import SHIPPED_POLICY as ORDER_POLICY
from health_pipeline_tests.reference.order_health import Delivery, order_health, recent_and_baseline
from health_pipeline_tests.reference.quality import split

LONG_AGO = datetime(2023, 1, 1, tzinfo=UTC)
CLOCK = datetime(2024, 12, 31, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
HOSTILE_DAYS = (date(2024, 8, 8), date(2024, 9, 16))
HOSTILE_CLOCK = datetime(2024, 9, 18, 12, tzinfo=UTC)
HOSTILE = [(0, "UTC"), (1, "America/Santiago")]  # where 8 September 2024 begins at 01:00


def tenant(**values: Any) -> Row:
    return {"tenant_id": "t", "name": "T", "created_at": LONG_AGO, **values}


def customer(**values: Any) -> Row:
    return {"customer_id": "c", "tenant_id": "t", "name": "C", "created_at": LONG_AGO, **values}


def order(delivered: date | datetime, amount: str | None = "100.00", **values: Any) -> Row:
    """An order delivered at an instant, or at noon of a date."""
    if not isinstance(delivered, datetime):
        delivered = datetime(delivered.year, delivered.month, delivered.day, 12, tzinfo=UTC)
    total_amount = None if amount is None else Decimal(amount)
    keys = {"tenant_id": "t", "customer_id": "c", "ordered_at": LONG_AGO}
    return {**keys, "delivered_at": delivered, "total_amount": total_amount, **values}


def customers_at(day: date, orders: list[Row], zone: str = "UTC", **tables: list[Row]) -> list[Row]:
    numbered = [{"order_id": f"o{n}", **row} for n, row in enumerate(orders)]
    source = {"tenants": [tenant()], "users": [], "events": [], "customers": [customer()], "orders": numbered, **tables}
    return order_health(source, day, day, zone=zone, clock=CLOCK)


def customer_at(day: date, orders: list[Row], zone: str = "UTC") -> Row:
    (row,) = customers_at(day, orders, zone)
    return row


@pytest.mark.parametrize(
    ("day", "days_overdue", "status", "dormancy_since"),
    [
        (date(2024, 2, 14), -1, "HEALTHY", None),
        (date(2024, 2, 15), 0, "HEALTHY", None),
        (date(2024, 2, 16), 1, "AT_RISK_CADENCE", None),
        (date(2024, 3, 30), 44, "AT_RISK_CADENCE", None),
        (date(2024, 3, 31), 45, "DORMANT", date(2024, 3, 31)),
        (date(2024, 4, 20), 65, "DORMANT", date(2024, 3, 31)),
    ],
)
def test_cadence(day: date, days_overdue: int, status: str, dormancy_since: date | None) -> None:
    # Gaps of 10 and 20 days: expected 15 days after 31 January.
    row = customer_at(day, [order(date(2024, 1, 31)), order(date(2024, 1, 1)), order(date(2024, 1, 11))])
    assert row["average_order_interval_days"] == 15.0
    assert row["next_expected_order_date"] == date(2024, 2, 15)
    assert (row["days_overdue"], row["risk_status"], row["dormancy_since"]) == (days_overdue, status, dormancy_since)
    assert (row["delivered_orders"], row["order_lifecycle"]) == (3, "ESTABLISHED")


@pytest.mark.parametrize(
    ("gaps", "interval", "rounded"),
    [
        ([10, 11], 10.5, 11),
        ([11, 12], 11.5, 12),
        ([1, 1, 1, 2], 1.25, 1),
        ([100, 10, 10, 10, 20], 12.5, 13),
        ([1], 1.0, 1),
    ],
)
def test_the_expected_date_comes_from_the_last_five_dates_and_rounds_halves_up(
    gaps: list[int], interval: float, rounded: int
) -> None:
    dates = [date(2024, 1, 1) + sum(gaps[:n]) * DAY for n in range(len(gaps) + 1)]
    row = customer_at(date(2024, 12, 1), [order(day) for day in dates])
    assert row["average_order_interval_days"] == interval
    assert row["next_expected_order_date"] == dates[-1] + rounded * DAY


@pytest.mark.parametrize(
    ("amounts", "recent", "baseline", "status"),
    [
        (["100", "100", "100", "85", "85", "85"], 85.0, 100.0, "HEALTHY"),
        (["100", "100", "100", "85", "85", "84.99"], 84.99666666666667, 100.0, "AT_RISK_REVENUE"),
        (["100", "100", "85", "85", "84"], 84.66666666666667, None, "HEALTHY"),
        (["100", "100", None, "1", "1", "1"], 1.0, None, "HEALTHY"),
        (["100", "100", "100", None, "84", None], 84.0, 100.0, "AT_RISK_REVENUE"),
        (["100", "100", "100", None, None, None], None, 100.0, "HEALTHY"),
        (["0", "0", "0", "0", "0", "0"], 0.0, 0.0, "HEALTHY"),
        (["0.01", "0.01", "0.01", "0", "0", "0"], 0.0, 0.01, "AT_RISK_REVENUE"),
        (["9999", *["100"] * 10, "90", "90", "90"], 90.0, 100.0, "HEALTHY"),
    ],
)
def test_revenue(amounts: list[str | None], recent: float | None, baseline: float | None, status: str) -> None:
    orders = [order(date(2024, 1, 1) + n * DAY, amount) for n, amount in enumerate(amounts)]
    row = customer_at(date(2024, 1, len(amounts)), orders)
    assert (row["recent_average_revenue"], row["baseline_average_revenue"]) == (recent, baseline)
    assert row["risk_status"] == status
    assert (row["revenue_change"] is None) == (recent is None or not baseline)


def test_revenue_change_is_exact_before_it_is_a_float() -> None:
    orders = [order(date(2024, 1, 1 + n), amount) for n, amount in enumerate(["100"] * 3 + ["85"] * 3)]
    assert customer_at(date(2024, 1, 6), orders)["revenue_change"] == -0.15
    cents = [30, 10, 10, 10, 20, 10]
    deliveries = [Delivery(date(2024, 1, 1 + n), amount) for n, amount in enumerate(cents)]
    assert recent_and_baseline(deliveries, ORDER_POLICY) == (Fraction(40, 3), Fraction(50, 3))


def test_deliveries_of_one_date_are_one_order() -> None:
    midnight = datetime(2024, 1, 6, tzinfo=UTC)
    orders = [
        order(midnight - MICROSECOND, None),
        order(midnight, "1.10"),
        order(midnight + 5 * HOUR, None),
        order(midnight + DAY - MICROSECOND, "2.20"),
    ]
    row = customer_at(date(2024, 1, 6), orders)
    assert (row["delivered_orders"], row["last_order_date"]) == (2, date(2024, 1, 6))
    assert row["recent_average_revenue"] == 3.3
    assert customer_at(date(2024, 1, 5), orders)["order_lifecycle"] == "NEW"
    # In Kolkata, 5 h 30 min ahead, all but the last lie on 6 January, and the day ends before the last.
    assert customer_at(date(2024, 1, 6), orders, "Asia/Kolkata")["delivered_orders"] == 1
    assert customer_at(date(2024, 1, 7), orders, "Asia/Kolkata")["last_order_date"] == date(2024, 1, 7)


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ({}, True),
        ({"status": None}, True),
        ({"status": ""}, True),
        ({"status": "dElIvErEd"}, True),
        ({"status": "DELIVERED "}, False),
        ({"status": "CANCELLED"}, False),
        ({"tenant_id": "other"}, False),
        ({"customer_id": "C"}, False),
        ({"delivered_at": None}, False),
        ({"ordered_at": CLOCK}, True),
        ({"ordered_at": CLOCK + MICROSECOND}, False),
        ({"total_amount": Decimal("NaN")}, False),
    ],
)
def test_orders_that_count(values: Row, counts: bool) -> None:
    tenants = [tenant(), tenant(tenant_id="other")]
    (row,) = customers_at(date(2024, 1, 6), [order(date(2024, 1, 5), **values)], tenants=tenants)
    assert row["order_lifecycle"] == ("NEW" if counts else "PROSPECT")
    assert row["risk_status"] == ("HEALTHY" if counts else None)
    assert row["next_expected_order_date"] is None


@pytest.mark.parametrize(
    ("comes_on", "later", "reactivated"),
    [
        (date(2024, 3, 5), [], None),
        (date(2024, 3, 6), [], date(2024, 3, 6)),
        (date(2024, 3, 6), [date(2024, 3, 7)], date(2024, 3, 6)),
        # 1 and 11 January, 6 March: gaps of 10 and 55, so 32.5 days to 8 April, and 45 to 23 May.
        (date(2024, 3, 6), [date(2024, 5, 22)], date(2024, 3, 6)),
        (date(2024, 3, 6), [date(2024, 5, 23)], date(2024, 5, 23)),
    ],
)
def test_reactivation(comes_on: date, later: list[date], reactivated: date | None) -> None:
    # Expected on 21 January, dormant from 6 March on.
    dates = [date(2024, 1, 1), date(2024, 1, 11), comes_on, *later]
    assert customer_at(date(2024, 6, 1), [order(day) for day in dates])["reactivated_date"] == reactivated


def test_customers_active_at_the_day() -> None:
    end = datetime(2024, 1, 7, tzinfo=UTC)
    tenants = [tenant(), tenant(tenant_id="gone", deactivated_at=end - MICROSECOND)]
    customers = [
        customer(customer_id="created last", created_at=end - MICROSECOND),
        customer(customer_id="created at the end", created_at=end),
        customer(customer_id="deactivated last", deactivated_at=end - MICROSECOND),
        customer(customer_id="deactivated at the end", deactivated_at=end),
        customer(customer_id="of a tenant gone", tenant_id="gone"),
    ]
    rows = customers_at(date(2024, 1, 6), [], tenants=tenants, customers=customers)
    assert [row["customer_id"] for row in rows] == ["created last", "deactivated at the end"]


def test_without_orders_there_are_no_figures() -> None:
    source = {"tenants": [tenant()], "users": [], "events": [], "customers": [customer(sales_rep_id="r")]}
    (row,) = order_health(source, date(2024, 1, 1), date(2024, 1, 1), clock=CLOCK)
    assert {column for column, value in row.items() if value is not None} == {
        *("metric_date", "customer_id", "tenant_id", "sales_rep_id"),
    }


@pytest.mark.parametrize(("seed", "zone"), HOSTILE)
def test_hostile_orders_reach_the_edges(seed: int, zone: str) -> None:
    settings: dict[str, Any] = {"zone": zone, "clock": HOSTILE_CLOCK}
    source = hostile_orders(seed, days=HOSTILE_DAYS, **settings)
    _, bad = split(source, HOSTILE_CLOCK)
    assert max(Counter(table for table, *_ in bad).values()) == 9
    assert split(hostile_orders(seed, days=HOSTILE_DAYS, faults=False, **settings), HOSTILE_CLOCK)[1] == []
    rows = order_health(source, *HOSTILE_DAYS, **settings)
    assert {row["risk_status"] for row in rows} == {None, "HEALTHY", "AT_RISK_CADENCE", "AT_RISK_REVENUE", "DORMANT"}
    assert {0, 1, 44, 45} <= {row["days_overdue"] for row in rows}
    assert {0.0, 0.25, 0.5, 0.75} <= {(row["average_order_interval_days"] or 0) % 1 for row in rows}
    changes = [(row["revenue_change"], row["risk_status"]) for row in rows if row["revenue_change"] is not None]
    assert any(change == -0.15 and status == "HEALTHY" for change, status in changes)
    assert any(-0.1501 < change < -0.15 and status == "AT_RISK_REVENUE" for change, status in changes)
    assert any(row["reactivated_date"] == row["metric_date"] for row in rows)
    assert any(row["reactivated_date"] and row["risk_status"] == "DORMANT" for row in rows)
    assert any((row["recent_average_revenue"] or 0) > 10**12 for row in rows)
