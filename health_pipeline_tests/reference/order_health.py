"""`customer_order_health`, straight from order-health.md: day by day, customer by customer (no purchase model)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

from health_pipeline_tests.reference.calendar import days_between, end_of
from health_pipeline_tests.reference.contract import Row, Source
from health_pipeline_tests.reference.quality import split
from health_pipeline_tests.reference.scoring import Policy, exact, half_up
from health_pipeline_tests.reference.tenant_health import is_active

# "The 45 days, 1 day, 15 %, 5, 3, 10 and 3 are policy."
SHIPPED_POLICY: Policy = {
    "dormant_days": 45,
    "at_risk_days": 1,
    "revenue_drop_percent": 15,
    "interval_orders": 5,
    "recent_orders": 3,
    "baseline_orders": 10,
    "baseline_minimum": 3,
}

FIGURES = (
    "delivered_orders",
    "last_order_date",
    "average_order_interval_days",
    "next_expected_order_date",
    "days_overdue",
    "recent_average_revenue",
    "baseline_average_revenue",
    "revenue_change",
    "order_lifecycle",
    "risk_status",
    "dormancy_since",
    "reactivated_date",
)


@dataclass(frozen=True)
class Delivery:
    """All deliveries of a customer on one calendar date, which count as one order; `cents` None where unknown."""

    date: date
    cents: int | None


def order_health(
    source: Source, first: date, last: date, *, zone: str = "UTC", clock: datetime, policy: Policy | None = None
) -> list[Row]:
    """A row per day from `first` to `last` and customer active at it, by day and customer_id.

    `policy` overrides entries of the shipped one. Averages of revenue are in the currency's units, as floats. Without
    `customers` there are no rows, without `orders` no figures.
    """
    good, _ = split(source, clock)
    rules = {**SHIPPED_POLICY, **(policy or {})}
    tenants = {row["tenant_id"]: row for row in good["tenants"]}
    orders: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for order in good.get("orders", []):
        orders[order["tenant_id"], order["customer_id"]].append(order)
    rows = []
    for day in days_between(first, last):
        end = end_of(day, zone)
        for customer in sorted(good.get("customers", []), key=lambda row: str(row["customer_id"])):
            if not (is_active(customer, end) and is_active(tenants[customer["tenant_id"]], end)):
                continue
            if "orders" in good:
                own = orders[customer["tenant_id"], customer["customer_id"]]
                found = figures(deliveries_before(own, end, zone), day, rules)
            else:
                found = dict.fromkeys(FIGURES)
            keys = ("customer_id", "tenant_id", "sales_rep_id")
            rows.append({"metric_date": day, **{key: customer[key] for key in keys}, **found})
    return rows


def deliveries_before(orders: list[Row], end: datetime, zone: str) -> list[Delivery]:
    """The distinct delivery dates before end(D), oldest first, with the sum of the amounts that are known."""
    amounts: dict[date, list[int | None]] = defaultdict(list)
    for order in orders:
        if not is_delivered(order) or order["delivered_at"] >= end:
            continue
        amount = order["total_amount"]
        cents = None if amount is None else half_up(exact(amount) * 100)
        amounts[order["delivered_at"].astimezone(ZoneInfo(zone)).date()].append(cents)
    deliveries = []
    for day in sorted(amounts):
        known = [cents for cents in amounts[day] if cents is not None]
        deliveries.append(Delivery(day, sum(known) if known else None))
    return deliveries


def is_delivered(order: Row) -> bool:
    """Whether it has `delivered_at`, and `status` null or DELIVERED in any case (spaces are not forgiven)."""
    return order["delivered_at"] is not None and (order["status"] is None or order["status"].casefold() == "delivered")


def figures(deliveries: list[Delivery], day: date, policy: Policy) -> Row:
    """The figures of a customer with these deliveries up to the day, oldest first."""
    dates = [delivery.date for delivery in deliveries]
    interval = mean_interval(dates, policy)
    expected = next_expected_date(dates, policy)
    days_overdue = None if expected is None else (day - expected).days
    recent, baseline = recent_and_baseline(deliveries, policy)
    change = None if recent is None or not baseline else recent / baseline - 1
    status = risk_status(dates, days_overdue, recent, baseline, policy)
    dormant_since = None
    if status == "DORMANT" and expected is not None:
        dormant_since = expected + timedelta(days=policy["dormant_days"])
    return {
        "delivered_orders": len(dates),
        "last_order_date": dates[-1] if dates else None,
        "average_order_interval_days": None if interval is None else float(interval),
        "next_expected_order_date": expected,
        "days_overdue": days_overdue,
        "recent_average_revenue": None if recent is None else float(recent / 100),
        "baseline_average_revenue": None if baseline is None else float(baseline / 100),
        "revenue_change": None if change is None else float(change),
        "order_lifecycle": ("PROSPECT", "NEW", "ESTABLISHED")[min(len(dates), 2)],
        "risk_status": status,
        "dormancy_since": dormant_since,
        "reactivated_date": reactivated_date(dates, policy),
    }


def mean_interval(dates: list[date], policy: Policy) -> Fraction | None:
    """The mean gap, in days, between the last 5 dates; None with fewer than 2."""
    newest = dates[-policy["interval_orders"] :]
    gaps = [(after - before).days for before, after in pairwise(newest)]
    return Fraction(sum(gaps), len(gaps)) if gaps else None


def next_expected_date(dates: list[date], policy: Policy) -> date | None:
    """The last date + the mean gap, rounded half up."""
    interval = mean_interval(dates, policy)
    return None if interval is None else dates[-1] + timedelta(days=half_up(interval))


def recent_and_baseline(deliveries: list[Delivery], policy: Policy) -> tuple[Fraction | None, Fraction | None]:
    """Mean cents of the last 3 orders, and of the up to 10 before them (from 3 known amounts on)."""
    newest_first = [delivery.cents for delivery in reversed(deliveries)]
    split_at = policy["recent_orders"]
    recent = [cents for cents in newest_first[:split_at] if cents is not None]
    baseline = [c for c in newest_first[split_at : split_at + policy["baseline_orders"]] if c is not None]
    return (
        Fraction(sum(recent), len(recent)) if recent else None,
        Fraction(sum(baseline), len(baseline)) if baseline and len(baseline) >= policy["baseline_minimum"] else None,
    )


def risk_status(
    dates: list[date], days_overdue: int | None, recent: Fraction | None, baseline: Fraction | None, policy: Policy
) -> str | None:
    """The first status that holds; None without any order."""
    if not dates:
        return None
    if days_overdue is not None and days_overdue >= policy["dormant_days"]:
        return "DORMANT"
    if days_overdue is not None and days_overdue >= policy["at_risk_days"]:
        return "AT_RISK_CADENCE"
    kept = 1 - exact(policy["revenue_drop_percent"]) / 100
    if recent is not None and baseline and recent < kept * baseline:
        return "AT_RISK_REVENUE"
    return "HEALTHY"


def reactivated_date(dates: list[date], policy: Policy) -> date | None:
    """The newest date 45 or more days after the one expected from the dates before it."""
    for position in reversed(range(len(dates))):
        expected = next_expected_date(dates[:position], policy)
        if expected is not None and (dates[position] - expected).days >= policy["dormant_days"]:
            return dates[position]
    return None
