"""One tenant with rows as bad as their types allow: every other tenant's rows are those of a run without it.

All bad values are planted at once, in every kind of source, and all systems run over them.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from health_pipeline.days import DayRange
from health_pipeline.embedded import EmbeddedServer
from health_pipeline.sources.contract import EVENTS, LONGEST_ID, SOURCE_TABLES, Kind
from health_pipeline.systems.client_success import run_client_success
from health_pipeline.systems.client_weeks import run_client_weeks
from health_pipeline.systems.order_health import run_order_health
from health_pipeline.systems.tenant_health import run_tenant_health
from health_pipeline.tables.catalogue import SCHEMA, TABLES, VIEWS
from health_pipeline.warehouse.roles import is_for_tenants
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.reference.contract import Row, Source
from health_pipeline_tests.support.databases import administer, query
from health_pipeline_tests.support.runs import context_for
from health_pipeline_tests.support.small_sources import LEAST, Make, Readers
from health_pipeline_tests.support.sources import SOURCE_KINDS, TYPES, load_source

DAYS = DayRange(date(2024, 3, 30), date(2024, 3, 31))  # the second is a Sunday
CLOCK = datetime(2024, 4, 2, tzinfo=UTC)
LONG_AGO = datetime(2023, 1, 1, tzinfo=UTC)
# West of UTC, where the earliest instants lie before the earliest date.
ZONE = "America/Bogota"
HEALTHY = frozenset(f"t{number}" for number in range(6))
BAD = "bad"
# The widest types that the contract takes.
WIDE = {
    "postgresql": {**TYPES, Kind.INTEGER: "bigint", Kind.NUMERIC: "numeric"},
    "duckdb": {**TYPES, Kind.INTEGER: "hugeint", Kind.NUMERIC: "double"},
    "parquet": {**TYPES, Kind.INTEGER: "ubigint", Kind.NUMERIC: "double", Kind.INSTANT: "timestamp"},
}
LARGEST = {"postgresql": 2**63 - 1, "duckdb": 10**30, "parquet": 2**64 - 1}
NUL = "a\0b"
RANDOM_TEXT = "".join(random.Random(1).choices([chr(code) for code in range(33, 55_000)], k=4_000))
ODD_TEXT = (
    "x\r\nBcc: a@b.example\r\n\r\n%s %d {x} {{y}} $1 [/red] <b>\x1b\x07\u202e\ufffe\U0010ffff \\u0000 \\ \" '' ;--"
)
LONG_TEXT = "m" * 100_000
EARLIEST = "0001-01-01 00:00:00.000001+00"
LATEST = "9999-12-31 23:59:59.999999+00"


def on(day: date, hour: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def row_of(table: str, number: object, tenant_id: str, **values: Any) -> Row:
    """A healthy row of the tenant; the key has the number in it."""
    user, customer = f"{tenant_id}-user", f"{tenant_id}-customer"
    recent = on(DAYS.first - timedelta(days=5))
    rows: dict[str, Row] = {
        "tenants": {"tenant_id": tenant_id, "name": "N", "created_at": LONG_AGO, "employee_count": 60},
        "users": {"user_id": f"user {number}", "created_at": LONG_AGO, "email": "a@b.example", "insights_opt_in": True},
        "events": {"event_id": f"e {number}", "user_id": user, "event_type": "login", "occurred_at": recent},
        "cases": {"case_id": f"c {number}", "created_at": recent, "closed_at": recent},
        "campaigns": {"campaign_id": f"m {number}", "launched_at": LONG_AGO},
        "campaign_assignments": {"assignment_id": f"a {number}", "campaign_id": "m", "assigned_at": LONG_AGO},
        "feature_entitlements": {"feature_key": f"f {number}", "enabled_at": LONG_AGO},
        "support_tickets": {"ticket_id": f"s {number}", "opened_at": recent},
        "customers": {"customer_id": f"customer {number}", "name": "C", "created_at": LONG_AGO},
        "orders": {"order_id": f"o {number}", "customer_id": customer, "ordered_at": recent, "delivered_at": recent},
        "onboarding_tasks": {"task_id": f"t {number}", "user_id": user, "status": "PENDING", "created_at": LONG_AGO},
        "feedback": {"feedback_id": f"b {number}", "user_id": user, "score": 50, "submitted_at": recent},
    }
    columns = dict.fromkeys(SOURCE_TABLES[table].names)
    return {**columns, "tenant_id": tenant_id, **rows[table], **values}


def healthy_source() -> Source:
    """Six tenants with a little of everything, and the one that will be bad."""
    rng = random.Random(2)
    source: Source = {table: [] for table in SOURCE_TABLES}
    for tenant_id in sorted(HEALTHY | {BAD}):
        source["tenants"].append(row_of("tenants", "", tenant_id, industry_sector="law"))
        source["users"].append(row_of("users", "", tenant_id, user_id=f"{tenant_id}-user", name="U"))
        source["customers"].append(row_of("customers", "", tenant_id, customer_id=f"{tenant_id}-customer"))
        for number in range(12):
            key, day = f"{tenant_id} {number}", DAYS.last - timedelta(days=number * rng.randrange(1, 6))
            use = {"event_type": "content_generated", "feature_key": "SSO", "session_id": "s", "duration_seconds": 7}
            source["events"].append(row_of("events", key, tenant_id, occurred_at=on(day), **use))
            source["orders"].append(row_of("orders", key, tenant_id, delivered_at=on(day), total_amount="12.50"))
        for table in set(SOURCE_TABLES) - {"tenants", "users", "customers", "events", "orders"}:
            source[table].append(row_of(table, f"of {tenant_id}", tenant_id))
        task = {"status": "IN_PROGRESS", "updated_at": on(date(2024, 3, 20))}
        source["onboarding_tasks"].append(row_of("onboarding_tasks", f"stalled {tenant_id}", tenant_id, **task))
    return source


def hostile_values(kind: str) -> dict[Kind, list[Any]]:
    """Values at the ends of each type, or that something on the way may not bear."""
    texts = [RANDOM_TEXT, ODD_TEXT, LONG_TEXT, "", " \u3000\t", "ALL", *([] if kind == "postgresql" else [NUL])]
    integers = [LARGEST[kind], 2**63 - 1, *([0] if kind == "parquet" else [1 - 2**63])]
    return {
        Kind.TEXT: texts,
        Kind.INTEGER: integers,
        Kind.NUMERIC: ["nan", "infinity", "-infinity", "9" * 24, "1" + "0" * 37, "1" + "0" * 40],
        Kind.BOOLEAN: [None],
        Kind.DATE: ["0001-01-01", "9999-12-31", "infinity", "-infinity"],
        Kind.INSTANT: [EARLIEST, LATEST, "infinity", "-infinity"],
    }


def with_bad_rows(source: Source, kind: str) -> None:
    """A row of the bad tenant for every column and hostile value; and what is only bad together."""
    for name, table in SOURCE_TABLES.items():
        for column in table.columns:
            for number, value in enumerate(hostile_values(kind)[column.kind]):
                tenant_id = f"bad {column.name} {number}" if name == "tenants" else BAD
                source[name].append(row_of(name, f"{column.name} {number}", tenant_id) | {column.name: value})
    for number in range(40):
        long_time = {"user_id": "user name 1", "duration_seconds": 2**63 - 1, "occurred_at": on(DAYS.first)}
        source["events"].append(row_of("events", f"long {number}", BAD, **long_time))
    for number in range(800):
        much = {"total_amount": "9e31", "delivered_at": on(DAYS.first - timedelta(days=number % 20))}
        source["orders"].append(row_of("orders", f"much {number}", BAD, customer_id="customer name 1", **much))
    widest = "".join(chr(0x20000 + number) for number in range(LONGEST_ID))
    source["tenants"].append(row_of("tenants", "", widest, industry_sector=widest))
    source["users"].append(row_of("users", "", BAD, user_id=widest))
    stalled = {"task_id": widest, "user_id": widest, "status": "IN_PROGRESS", "updated_at": on(date(2024, 3, 20))}
    source["onboarding_tasks"].append(row_of("onboarding_tasks", "", BAD, **stalled))
    if kind != "postgresql":
        for table, key in (("tenants", "tenant_id"), ("users", "user_id"), ("customers", "customer_id")):
            # One key, as the warehouse can hold it.
            source[table] += [row_of(table, "", BAD) | {key: f"twin{end}"} for end in ("\0", "\ufffd")]


def run_all(url: str, warehouse: str) -> None:
    context = context_for(url, warehouse, CLOCK, zone=ZONE, max_bad_share="1")
    run_tenant_health(context, DAYS, frozenset(TABLES))
    run_order_health(context, DAYS, frozenset(TABLES))
    run_client_success(context, DAYS, frozenset(TABLES))
    run_client_weeks(context, DAYS, frozenset(TABLES))


def rows_of_the_healthy(warehouse: str) -> dict[str, list[str]]:
    """Every row of a healthy tenant, in all tables and views, read in full as an analyst would."""
    found = {}
    for name in (*TABLES, *VIEWS):
        rows = query(warehouse, f"SELECT * FROM {SCHEMA}.{name}")
        # Peers are all tenants, and a source is as fresh as its newest row: these do change.
        if name not in ("tenant_peer_comparison", "tenant_peer_ranks"):
            found[name] = sorted(str(_of_tenant(row)) for row in rows if row.get("tenant_id") in HEALTHY)
    return found


def _of_tenant(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in ("newest_facts", "stopped_sources")}


@pytest.fixture(scope="module")
def expected(
    server: EmbeddedServer, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """What the healthy tenants' rows are without bad ones; the same from every kind of source."""
    administer(server.url("postgres"), f"CREATE DATABASE healthy TEMPLATE {migrated_template}")
    folder = tmp_path_factory.mktemp("healthy")
    run_all(load_source("duckdb", healthy_source(), folder, lambda: ""), server.url("healthy"))
    rows = rows_of_the_healthy(server.url("healthy"))
    filled = [name for name, table in TABLES.items() if is_for_tenants(table) and "tenant_id" in table.column_names]
    assert [name for name in filled if not rows[name]] == []
    return rows


@pytest.mark.parametrize("kind", SOURCE_KINDS)
def test_no_value_of_one_tenant_touches_another(
    kind: str,
    expected: dict[str, list[str]],
    warehouse: str,
    new_database: NewDatabase,
    tmp_path: Path,
) -> None:
    source = healthy_source()
    with_bad_rows(source, kind)
    run_all(load_source(kind, source, tmp_path, new_database, WIDE[kind]), warehouse)
    assert rows_of_the_healthy(warehouse) == expected
    assert_bad_rows_are_told(warehouse, kind)
    assert_the_rest_is_right(warehouse, kind)


@pytest.mark.parametrize(
    ("moment", "newest"), [("-infinity", None), (EARLIEST, datetime(1, 1, 1, microsecond=1, tzinfo=UTC))]
)
def test_a_table_whose_only_fact_is_impossibly_old(
    made: Make, reader: Readers, moment: str, newest: datetime | None
) -> None:
    """Four weeks before such a fact there is no date."""
    found = reader(made(*LEAST, f"UPDATE app.events SET occurred_at = '{moment}'"))
    found.read(EVENTS)
    assert found.freshness()["events"].newest_fact == newest


def assert_bad_rows_are_told(warehouse: str, kind: str) -> None:
    """What can't be kept is set apart, with what is wrong with it."""
    recorded = query(warehouse, f"SELECT source_table, row_key, reason FROM {SCHEMA}.quarantined_rows")
    told = {(row["source_table"], row["row_key"]): row["reason"] for row in recorded}
    for table, column in {
        "tenants": "tenant_id",
        "users": "user_id",
        "customers": "customer_id",
        "onboarding_tasks": "task_id",
    }.items():
        assert told[(table, RANDOM_TEXT)] == f"{column} is longer than {LONGEST_ID} characters"
        assert told[(table, LONG_TEXT)] == f"{column} is longer than {LONGEST_ID} characters"
        assert (table, ODD_TEXT) not in told
    assert told[("feedback", "b score 0")] == "score is outside 0 to 100"
    assert told[("orders", "o total_amount 0")] == "total_amount is not a number"
    assert ("orders", "o total_amount 3") not in told
    assert told[("users", "user created_at 3")] == "created_at is infinite"
    assert ("users", "user created_at 0") not in told
    twins = {table for (table, key), reason in told.items() if key == "twin\ufffd" and reason.startswith("duplicated")}
    assert twins == (set() if kind == "postgresql" else {"tenants", "users", "customers"})
    # A tenant that is set apart has no score, and is told of.
    (without,) = {
        row["tenant_id"]
        for row in query(warehouse, f"SELECT tenant_id FROM {SCHEMA}.unscored_tenants")
        if row["tenant_id"].startswith(RANDOM_TEXT[:100])
    }
    assert without == RANDOM_TEXT[: LONGEST_ID - 1] + "…"


def assert_the_rest_is_right(warehouse: str, kind: str) -> None:
    """What can be kept is there, with what can't be known left open."""
    profiles = {
        row["tenant_id"]: row
        for row in query(warehouse, f"SELECT * FROM {SCHEMA}.tenant_profiles WHERE metric_date = %s", DAYS.last)
    }
    assert profiles["bad employee_count 0"]["employee_count"] is None
    assert profiles["bad industry_sector 0"]["industry_sector"] is None
    assert profiles["bad industry_sector 1"]["industry_sector"] == ODD_TEXT
    assert profiles["bad name 2"]["name"] == LONG_TEXT[:255]
    assert profiles["bad renewal_date 1"]["renewal_date"] == date(9999, 12, 31)
    assert profiles["bad renewal_date 2"]["renewal_date"] is None
    if kind != "postgresql":
        assert profiles["a\ufffdb"]["name"] == "N"
        assert profiles["bad name 6"]["name"] == "a\ufffdb"
    (spent,) = query(
        warehouse,
        f"SELECT events, duration_seconds FROM {SCHEMA}.client_engagement WHERE metric_date = %s AND client_id = 'user name 1'",
        DAYS.first,
    )
    assert spent == {"events": 40, "duration_seconds": None}
    (buyer,) = query(
        warehouse,
        f"SELECT * FROM {SCHEMA}.customer_order_health WHERE metric_date = %s AND customer_id = 'customer name 1'",
        DAYS.last,
    )
    assert buyer["delivered_orders"] == 20
    assert buyer["recent_average_revenue"] is None
    (mail,) = query(warehouse, f"SELECT * FROM {SCHEMA}.client_success_emails WHERE client_id = 'user name 1'")
    assert "Bcc" not in mail["subject"]
    assert "<b>" not in mail["html"]
    assert "\x1b" not in mail["html"] + mail["plain_text"]
