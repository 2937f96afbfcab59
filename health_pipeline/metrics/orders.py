"""customer_order_health: what a customer's orders say at the end of each day. Rule: order-health.md.

Each delivery date of a customer opens an era, which lasts until the next one; before the first lies the era of a
prospect. Everything but the days that pass is the same throughout an era, so it is computed once per order, and a range
of days is expanded from the eras that touch it. Days are indexes into the range (Calendar.day_index).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import ibis
import ibis.expr.types as ir

from health_pipeline.days import Calendar, DayRange
from health_pipeline.metrics.intervals import day_table, earlier
from health_pipeline.policy.model import OrderHealthPolicy

DELIVERED = "DELIVERED"
MODEL_DAYS = 7  # the purchase model of a day was fitted so many days before it at most
COUNTS = (
    "customers",
    "prospects",
    "healthy",
    "at_risk_revenue",
    "at_risk_cadence",
    "dormant",
    "newly_dormant",
    "reactivated",
)
_KEYS = ["tenant_id", "customer_id"]
_CENTS = "decimal(38, 0)"
# No sum of a customer's amounts, each below this, outgrows the 38 digits of the widest decimal.
_TOO_LARGE_AMOUNT = ibis.literal(Decimal(10**24), "decimal(38, 2)")


@dataclass(frozen=True)
class OrderInputs:
    """Good rows of the source. lookback: how many days before the range an instant's day must be exact."""

    tenants: ir.Table
    customers: ir.Table
    orders: ir.Table
    lookback: int


def order_eras(inputs: OrderInputs, policy: OrderHealthPolicy, calendar: Calendar, days: DayRange) -> ir.Table:
    """The eras that touch the range or the week before it; grain: customer and delivery date, and one before the first.

    An era holds from from_day to to_day (exclusive; null: open), its customer is active from active_from to active_to
    (likewise), and was created on created_day. first_day and last_day are the oldest and the newest delivery.
    """
    lives = _customer_lives(inputs, calendar, days)
    order_days = _order_days(inputs, calendar, days).semi_join(lives, _KEYS)
    counted = _with_reactivation(_with_figures(order_days, policy), policy)
    buyers = lives.inner_join(_with_revenue(counted, policy), _KEYS)
    firsts = order_days.group_by(_KEYS).agg(first_day=order_days.day.min())
    prospects = lives.left_join(firsts, _KEYS).select(
        *(lives[name] for name in lives.columns),
        delivered_orders=ibis.literal(0, "int64"),
        from_day=lives.active_from,
        to_day=firsts.first_day,
    )
    unknown = {name: ibis.null(kind) for name, kind in buyers.schema().items() if name not in prospects.columns}
    eras = buyers.union(prospects.mutate(**unknown).select(buyers.columns), distinct=False)
    return eras.filter(eras.to_day.isnull() | (eras.to_day > -MODEL_DAYS))


def _customer_lives(inputs: OrderInputs, calendar: Calendar, days: DayRange) -> ir.Table:
    """When customers are active, which they are only while their tenant is; grain: customer."""
    tenants, customers = (
        rows.mutate(
            created_day=calendar.day_index(rows.created_at, days, inputs.lookback),
            deactivated_day=calendar.day_index(rows.deactivated_at, days),
        )
        for rows in (inputs.tenants, inputs.customers)
    )
    both = customers.inner_join(tenants, "tenant_id", rname="tenant_{name}")
    return both.select(
        *_KEYS,
        "sales_rep_id",
        "created_day",
        active_from=ibis.greatest(both.created_day, both.tenant_created_day),
        active_to=earlier(both.deactivated_day, both.tenant_deactivated_day),
    )


def _order_days(inputs: OrderInputs, calendar: Calendar, days: DayRange) -> ir.Table:
    """Delivered orders before the end of the range; grain: customer and delivery date. cents: null where unknown.

    An amount with more than two decimals counts as whole cents, rounded half up; one of 25 digits or more as unknown.
    """
    orders = inputs.orders
    is_delivered = orders.status.isnull() | (orders.status.upper() == DELIVERED)
    delivered = orders.filter(orders.delivered_at.notnull() & is_delivered)
    dated = delivered.select(
        *_KEYS,
        day=calendar.day_index(delivered.delivered_at, days, inputs.lookback),
        cents=_cents(delivered.total_amount),
    )
    dated = dated.filter(dated.day < len(days))
    return dated.group_by([*_KEYS, "day"]).agg(cents=dated.cents.sum().cast(_CENTS))


def _cents(amount: ir.StringValue) -> ir.DecimalValue:
    # To read a wide decimal takes a hundred times as long; the few that need it get it.
    units = ibis.coalesce(amount.try_cast("decimal(18, 2)").cast("decimal(38, 2)"), amount.cast("decimal(38, 2)"))
    return ibis.cases((units < _TOO_LARGE_AMOUNT, units * 100)).cast(_CENTS)


def _with_figures(order_days: ir.Table, policy: OrderHealthPolicy) -> ir.Table:
    """The era that each order opens: its bounds, its cadence, and the sums that its revenue is told from."""
    recent = policy.recent_orders
    in_order = ibis.window(group_by=_KEYS, order_by="day")
    cadence = ibis.window(group_by=_KEYS, order_by="day", rows=(1 - policy.interval_orders, 0))
    last = ibis.window(group_by=_KEYS, order_by="day", rows=(1 - recent, 0))
    before = ibis.window(group_by=_KEYS, order_by="day", rows=(1 - recent - policy.baseline_orders, -recent))
    day, cents = order_days.day, order_days.cents
    counted = order_days.select(
        *_KEYS,
        delivered_orders=ibis.row_number().over(in_order) + 1,
        from_day=day,
        to_day=day.lead().over(in_order),
        first_day=day.min().over(in_order),
        last_day=day,
        cadence_days=day - day.min().over(cadence),
        recent_cents=cents.sum().over(last).cast(_CENTS),
        recent_known=cents.count().over(last),
        baseline_cents=cents.sum().over(before).cast(_CENTS),
        baseline_known=cents.count().over(before),
    )
    gaps = (ibis.least(counted.delivered_orders, policy.interval_orders) - 1).nullif(0)
    return counted.mutate(
        average_order_interval_days=counted.cadence_days.cast("float64") / gaps,
        expected_day=counted.last_day + (2 * counted.cadence_days + gaps) // (2 * gaps),
    )


def _with_reactivation(eras: ir.Table, policy: OrderHealthPolicy) -> ir.Table:
    """With reactivated_day: the newest order so far that came too late after the day expected before it."""
    in_order = ibis.window(group_by=_KEYS, order_by="from_day")
    dormant_from = eras.expected_day.lag().over(in_order) + policy.dormant_after_days
    ended = eras.mutate(ended_dormancy=ibis.cases((eras.from_day >= dormant_from, eras.from_day)))
    so_far = ibis.window(group_by=_KEYS, order_by="from_day", rows=(None, 0))
    return ended.mutate(reactivated_day=ended.ended_dormancy.max().over(so_far)).drop("ended_dormancy")


def _with_revenue(eras: ir.Table, policy: OrderHealthPolicy) -> ir.Table:
    """With the averages in units of currency, their change, and whether revenue fell by more than the policy allows."""
    is_known = eras.baseline_known >= policy.baseline_min_known
    eras = eras.mutate(
        recent_known=eras.recent_known.nullif(0),
        baseline_cents=ibis.cases((is_known, eras.baseline_cents)),
        baseline_known=ibis.cases((is_known, eras.baseline_known)),
    )
    # recent / baseline as one fraction of whole numbers.
    recent = eras.recent_cents * eras.baseline_known
    baseline = eras.baseline_cents * eras.recent_known
    kept = 1 - policy.revenue_drop_percent / 100
    return eras.mutate(
        recent_average_revenue=eras.recent_cents.cast("float64") / (100 * eras.recent_known),
        baseline_average_revenue=eras.baseline_cents.cast("float64") / (100 * eras.baseline_known),
        revenue_change=(recent - baseline).cast("float64") / baseline.nullif(0).cast("float64"),
        has_revenue_drop=(recent * kept.denominator < baseline * kept.numerator).fill_null(False),
    ).drop("recent_cents", "recent_known", "baseline_cents", "baseline_known", "cadence_days")


def customer_order_days(eras: ir.Table, policy: OrderHealthPolicy, days: DayRange, piece: DayRange) -> ir.Table:
    """Rows of customer_order_health for the days of a piece of the range; grain: metric_date and customer active at end(D).

    eras: those of the range `days`. Beside the table's columns: repeat_orders, recency_days (from the first order to
    the newest) and age_days (from the first order to D), which the purchase model takes; null without an order.
    """
    first = (piece.first - days.first).days
    spans = eras.mutate(
        first=ibis.greatest(eras.from_day, eras.active_from, first),
        end=earlier(earlier(eras.to_day, eras.active_to), ibis.literal(first + len(piece))),
    )
    spans = spans.filter(spans.first < spans.end)
    by_day = spans.mutate(day=ibis.range(spans["first"], spans.end).unnest())
    rows = by_day.inner_join(day_table(days), "day")
    overdue = rows.day - rows.expected_day
    status = ibis.cases(
        (rows.delivered_orders == 0, ibis.null("string")),
        (overdue >= policy.dormant_after_days, "DORMANT"),
        (overdue >= policy.cadence_risk_after_days, "AT_RISK_CADENCE"),
        (rows.has_revenue_drop, "AT_RISK_REVENUE"),
        else_="HEALTHY",
    )
    dormant_day = ibis.cases((status == "DORMANT", rows.expected_day + policy.dormant_after_days))
    return rows.select(
        "metric_date",
        *_KEYS,
        "sales_rep_id",
        "delivered_orders",
        "average_order_interval_days",
        "recent_average_revenue",
        "baseline_average_revenue",
        "revenue_change",
        last_order_date=_date(rows.last_day, days),
        next_expected_order_date=_date(rows.expected_day, days),
        days_overdue=overdue,
        order_lifecycle=ibis.cases(
            (rows.delivered_orders == 0, "PROSPECT"), (rows.delivered_orders == 1, "NEW"), else_="ESTABLISHED"
        ),
        risk_status=status,
        dormancy_since=_date(dormant_day, days),
        reactivated_date=_date(rows.reactivated_day, days),
        repeat_orders=ibis.cases((rows.delivered_orders > 0, rows.delivered_orders - 1)),
        recency_days=rows.last_day - rows.first_day,
        age_days=rows.day - rows.first_day,
    )


def _date(day: ir.IntegerValue, days: DayRange) -> ir.DateValue:
    # Adding an interval to a date gives a timestamp in some engines.
    return (ibis.timestamp(days.first.isoformat()) + day.as_interval("D")).date()


def counts_per_day(rows: ir.Table) -> ir.Table:
    """The COUNTS of each day: customers by status, and those that turned dormant or came back on it; grain: metric_date.

    rows: as customer_order_days gives them.
    """
    counted = (
        ibis.literal(True),
        rows.risk_status.isnull(),
        rows.risk_status == "HEALTHY",
        rows.risk_status == "AT_RISK_REVENUE",
        rows.risk_status == "AT_RISK_CADENCE",
        rows.risk_status == "DORMANT",
        rows.dormancy_since == rows.metric_date,
        rows.reactivated_date == rows.metric_date,
    )
    return rows.group_by("metric_date").agg(
        **{name: rows.count(where=where) for name, where in zip(COUNTS, counted, strict=True)}
    )


def purchase_histories(eras: ir.Table, model_days: ir.Table) -> ir.Table:
    """What the purchase model is fitted to: the orders up to each model_date of the customers created by then.

    model_days: model_date and its day. Grain: model_date, tenant_id, repeat_orders, recency_days, age_days; buyers: how
    many customers have that history.
    """
    at_day = eras.filter(eras.delivered_orders > 0).inner_join(
        model_days,
        [
            eras.from_day <= model_days.day,
            eras.created_day <= model_days.day,
            eras.to_day.isnull() | (eras.to_day > model_days.day),
        ],
    )
    histories = at_day.select(
        "model_date",
        "tenant_id",
        repeat_orders=at_day.delivered_orders - 1,
        recency_days=at_day.last_day - at_day.first_day,
        age_days=at_day.day - at_day.first_day,
    )
    return histories.group_by(histories.columns).agg(buyers=histories.count())
