"""A whole run of order health against PostgreSQL: reading, computing, writing, the views."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
from psycopg2.extras import RealDictCursor

from health_pipeline.days import DayRange
from health_pipeline.embedded import EmbeddedServer
from health_pipeline.errors import SettingError
from health_pipeline.policy.load import load_policy
from health_pipeline.systems.order_health import OrderHealth, run_order_health
from health_pipeline.tables.order_health import CUSTOMER_ORDER_HEALTH
from health_pipeline.warehouse.migrate import migrate
from health_pipeline_tests.reference.contract import Row, Source
from health_pipeline_tests.reference.order_health import order_health
from health_pipeline_tests.support.compare import differences, keyed
from health_pipeline_tests.support.runs import context_for
from health_pipeline_tests.support.sources import load_postgres

TABLE = CUSTOMER_ORDER_HEALTH.name
MODEL = ("probability_alive", "expected_orders_90d")
DAYS = DayRange(date(2024, 2, 28), date(2024, 3, 5))
CLOCK = datetime(2024, 3, 10, tzinfo=UTC)
LONG_AGO = datetime(2023, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def _migrated(server: EmbeddedServer) -> None:
    migrate(server.url("warehouse"))


def order(number: int, customer_id: str, day: date, amount: str | None, tenant_id: str = "t1") -> Row:
    delivered_at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    row = {"order_id": str(number), "tenant_id": tenant_id, "customer_id": customer_id, "ordered_at": delivered_at}
    return {**row, "delivered_at": delivered_at, "status": None, "total_amount": amount and Decimal(amount)}


def source() -> Source:
    """t1: 60 buyers of many rhythms, a prospect, and three that show what the days hold; t2: a buyer and a prospect."""
    rng = random.Random(1)
    dates = {
        "prospect": [],
        # Expected on 2024-01-11, dormant from 02-25, back on 03-01.
        "returning": [date(2024, 1, 1), date(2024, 1, 6), date(2024, 3, 1)],
        # Expected on 2024-01-18, dormant from 03-03.
        "going": [date(2024, 1, 10), date(2024, 1, 14)],
        "shrinking": [date(2024, 2, day) for day in range(9, 29, 3)],
    }
    amounts = {"shrinking": ["20.00"] * 4 + ["8.49"] * 3}
    for n in range(60):
        rhythm, start = rng.choice([5, 10, 20, 30]), date(2023, 6, 1) + timedelta(days=rng.randrange(250))
        dates[f"buyer {n}"] = [
            start + timedelta(days=rhythm * k + rng.randrange(3)) for k in range(rng.randrange(1, 12))
        ]
    orders: list[Row] = []
    for name, days in dates.items():
        for n, day in enumerate(day for day in days if day < CLOCK.date()):
            amount = amounts[name][n] if name in amounts else rng.choice(["10.00", "8.49", "20.00", None])
            orders.append(order(len(orders), name, day, amount))
    orders += [order(10_000 + k, "other", date(2024, 2, 20) + timedelta(days=2 * k), "5.00", "t2") for k in range(3)]
    names = [*((name, "t1") for name in dates), ("other", "t2"), ("none", "t2")]
    nothing = {"slug": None, "industry_sector": None, "employee_count": None, "renewal_date": None}
    tenant = {"created_at": LONG_AGO, "deactivated_at": None, "alert_level": None, **nothing}
    customer = {"name": "", "sales_rep_id": "rep", "created_at": LONG_AGO, "deactivated_at": None}
    return {
        "tenants": [{**tenant, "tenant_id": id_, "name": id_, "slug": f"{id_}-slug"} for id_ in ("t1", "t2")],
        "users": [],
        "events": [],
        "customers": [{**customer, "customer_id": name, "tenant_id": tenant_id} for name, tenant_id in names],
        "orders": orders,
    }


def run(server: EmbeddedServer, days: DayRange, tenant: str | None = None, **rules: Any) -> OrderHealth:
    policy = load_policy(None)
    model = policy.order_health.purchase_model.model_copy(update=rules)
    policy = policy.model_copy(
        update={"order_health": policy.order_health.model_copy(update={"purchase_model": model})}
    )
    context = replace(context_for(server.url("application"), server.url("warehouse"), CLOCK), policy=policy)
    return run_order_health(context, days, frozenset({TABLE}), tenant)


def query(server: EmbeddedServer, sql: str, database: str = "warehouse") -> list[dict[str, Any]]:
    connection = psycopg2.connect(server.url(database), cursor_factory=RealDictCursor)
    with connection, connection.cursor() as cursor:
        cursor.execute(sql)
        rows = [dict(row) for row in cursor.fetchall()] if cursor.description else []
    connection.close()
    return rows


def stored(server: EmbeddedServer) -> dict[tuple[Any, ...], dict[str, Any]]:
    return keyed(TABLE, query(server, f"SELECT * FROM health.{TABLE}"))


@pytest.fixture(scope="module")
def computed(server: EmbeddedServer) -> OrderHealth:
    """The range, computed by a run."""
    load_postgres(server.url("application"), source())
    return run(server, DAYS)


@pytest.mark.usefixtures("computed")
def test_the_rows_are_those_of_the_reference(server: EmbeddedServer) -> None:
    expected = keyed(TABLE, order_health(source(), DAYS.first, DAYS.last, clock=CLOCK))
    assert differences(stored(server), expected) == []


@pytest.mark.usefixtures("computed")
def test_single_days_in_any_order_give_the_same_rows(server: EmbeddedServer) -> None:
    before = stored(server)
    models = query(server, "SELECT * FROM health.purchase_model_parameters ORDER BY 1, 2")
    query(server, f"DELETE FROM health.{TABLE}; DELETE FROM health.purchase_model_parameters")
    days = list(DAYS)
    random.Random(2).shuffle(days)
    for day in days:
        run(server, DayRange(day, day))
    assert stored(server) == before
    assert query(server, "SELECT * FROM health.purchase_model_parameters ORDER BY 1, 2") == models


def test_facts(server: EmbeddedServer, computed: OrderHealth) -> None:
    facts = computed.facts
    assert facts.is_mapped
    assert facts.rows_read == {"tenants": 2, "customers": 66, "orders": len(source()["orders"])}
    summed = query(
        server,
        """SELECT metric_date, sum(customers)::int AS customers, sum(prospects)::int AS prospects,
                  sum(healthy)::int AS healthy, sum(at_risk_revenue)::int AS at_risk_revenue,
                  sum(at_risk_cadence)::int AS at_risk_cadence, sum(dormant)::int AS dormant,
                  sum(newly_dormant)::int AS newly_dormant, sum(reactivated)::int AS reactivated
           FROM health.customer_health_summary GROUP BY 1""",
    )
    assert facts.counts_per_day == {row.pop("metric_date"): row for row in summed}
    totals = {name: sum(counts[name] for counts in facts.counts_per_day.values()) for name in summed[0]}
    assert min(totals.values()) > 0  # every status, and both ways, show


@pytest.mark.usefixtures("computed")
def test_the_model_is_of_the_sunday_before(server: EmbeddedServer) -> None:
    models = query(server, "SELECT * FROM health.purchase_model_parameters WHERE tenant_id = 't1' ORDER BY model_date")
    assert [row["model_date"] for row in models] == [date(2024, 2, 25), date(2024, 3, 3)]
    assert all(row["is_fitted"] and row["r"] > 0 and row["repeat_buyers"] >= 20 for row in models)
    told = query(server, f"SELECT * FROM health.{TABLE} WHERE delivered_orders > 0 AND tenant_id = 't1'")
    assert all(0 < row["probability_alive"] < 1 and row["expected_orders_90d"] > 0 for row in told)
    untold = query(server, f"SELECT * FROM health.{TABLE} WHERE delivered_orders = 0 OR tenant_id = 't2'")
    assert all(row[name] is None for row in untold for name in MODEL)
    assert untold


@pytest.mark.usefixtures("computed")
def test_a_day_needs_no_later_orders(server: EmbeddedServer) -> None:
    """A past day stays as it was computed when later orders come in."""
    before = stored(server)
    day = DayRange(date(2024, 3, 1), date(2024, 3, 1))
    query(server, "DELETE FROM app.orders WHERE delivered_at >= '2024-03-02'", "application")
    run(server, day)
    assert stored(server) == before
    load_postgres(server.url("application"), source())


@pytest.mark.usefixtures("computed")
def test_a_run_for_one_tenant_leaves_the_others(server: EmbeddedServer) -> None:
    before = stored(server)
    query(server, f"UPDATE health.{TABLE} SET delivered_orders = 99")
    result = run(server, DAYS, tenant="t2-slug")
    after = stored(server)
    assert {key: row for key, row in after.items() if row["tenant_id"] == "t2"} == {
        key: row for key, row in before.items() if row["tenant_id"] == "t2"
    }
    assert {row["delivered_orders"] for row in after.values() if row["tenant_id"] == "t1"} == {99}
    assert result.facts.counts_per_day[DAYS.last]["customers"] == 2
    with pytest.raises(SettingError, match="no tenant of the source"):
        run(server, DAYS, tenant="nobody")
    run(server, DAYS)
    assert stored(server) == before


@pytest.mark.usefixtures("computed")
def test_views(server: EmbeddedServer) -> None:
    changes = query(
        server,
        "SELECT * FROM health.customer_risk_transitions WHERE customer_id = 'returning' ORDER BY transition_date",
    )
    assert [(row["transition_date"], row["from_status"], row["to_status"]) for row in changes] == [
        (date(2024, 3, 1), "DORMANT", "HEALTHY")
    ]
    episode, open_episode = query(
        server,
        "SELECT * FROM health.dormancy_episodes WHERE customer_id IN ('going', 'returning') ORDER BY start_date",
    )
    assert (episode["start_date"], episode["end_date"], episode["days"]) == (date(2024, 2, 25), date(2024, 3, 1), 5)
    rows = stored(server)
    assert episode["revenue_before"] == rows[date(2024, 2, 29), "returning"]["recent_average_revenue"]
    assert episode["revenue_after"] == rows[DAYS.last, "returning"]["recent_average_revenue"]
    assert (open_episode["start_date"], open_episode["end_date"], open_episode["days"]) == (date(2024, 3, 3), None, 3)
    assert open_episode["revenue_after"] is None
    due = query(server, "SELECT * FROM health.customers_due_to_order")
    overdue = [row["days_overdue"] for row in due]
    assert overdue == sorted(overdue, reverse=True)
    newest = {key: row for key, row in rows.items() if key[0] == DAYS.last and (row["days_overdue"] or 0) > 0}
    assert {row["customer_id"] for row in due} == {customer_id for _, customer_id in newest}
    assert {row["metric_date"] for row in due} == {DAYS.last}


@pytest.mark.usefixtures("computed")
def test_the_model_can_be_switched_off(server: EmbeddedServer) -> None:
    before = stored(server)
    run(server, DAYS, is_enabled=False)
    assert all(row[name] is None for row in stored(server).values() for name in MODEL)
    assert query(server, "SELECT * FROM health.purchase_model_parameters") == []
    run(server, DAYS)
    assert stored(server) == before


@pytest.mark.usefixtures("computed")
def test_without_orders_there_are_no_rows(server: EmbeddedServer) -> None:
    query(server, "DROP TABLE app.orders", "application")
    result = run(server, DAYS)
    assert not result.facts.is_mapped
    assert "orders" in result.facts.unmapped_tables
    assert stored(server) == {}
    load_postgres(server.url("application"), {**source(), "orders": []})
    run(server, DAYS)
    assert {row["order_lifecycle"] for row in stored(server).values()} == {"PROSPECT"}
    load_postgres(server.url("application"), source())
    run(server, DAYS)
