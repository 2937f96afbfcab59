"""The demo application's data: its shape, its stories, its few bad rows, and its loading into PostgreSQL."""

import datetime
import io
from collections import Counter
from collections.abc import Iterator

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from adbc_driver_postgresql import dbapi

from health_pipeline.demo.contract import DDL
from health_pipeline.demo.fates import FATES
from health_pipeline.demo.faults import UNKNOWN_TENANT, add_faults
from health_pipeline.demo.generate import generate
from health_pipeline.demo.load import load
from health_pipeline.demo.sampling import Window
from health_pipeline.demo.tenants import plan_tenants
from health_pipeline.embedded import EmbeddedServer

LAST_DAY = datetime.date(2025, 3, 12)
TENANTS, DAYS = 60, 90
WINDOW_START = datetime.datetime(2024, 12, 13, tzinfo=datetime.UTC)
WINDOW_END = datetime.datetime(2025, 3, 13, tzinfo=datetime.UTC)

Tables = dict[str, pa.Table]

TEXT, INTEGER, TIME = pa.string(), pa.int32(), pa.timestamp("us", tz="UTC")
COLUMNS = {
    "tenants": "tenant_id name slug industry_sector employee_count renewal_date alert_level created_at deactivated_at",
    "users": "user_id tenant_id name email insights_opt_in created_at deactivated_at",
    "events": "event_id tenant_id user_id event_type feature_key session_id duration_seconds occurred_at",
    "cases": "case_id tenant_id created_at closed_at sla_due_at sla_status",
    "campaigns": "campaign_id tenant_id launched_at ended_at",
    "campaign_assignments": "assignment_id campaign_id tenant_id assigned_at completed_at",
    "feature_entitlements": "tenant_id feature_key enabled_at disabled_at",
    "support_tickets": "ticket_id tenant_id opened_at closed_at priority",
    "customers": "customer_id tenant_id name sales_rep_id created_at deactivated_at",
    "orders": "order_id tenant_id customer_id status ordered_at delivered_at total_amount",
    "onboarding_tasks": "task_id tenant_id user_id status created_at started_at updated_at completed_at",
    "feedback": "feedback_id tenant_id user_id score submitted_at",
}
OTHER_TYPES = {
    "employee_count": INTEGER,
    "duration_seconds": INTEGER,
    "score": INTEGER,
    "renewal_date": pa.date32(),
    "insights_opt_in": pa.bool_(),
    "total_amount": pa.decimal128(14, 2),
}
# What may lie before the window or after the last day (everything else is inside).
MAY_BE_OLDER = {("tenants", "created_at"), ("users", "created_at"), ("customers", "created_at")}
HISTORY = {("orders", "ordered_at"), ("orders", "delivered_at")}
MAY_BE_LATER = {("cases", "sla_due_at"), ("campaigns", "ended_at")}


@pytest.fixture(scope="module")
def tables() -> Tables:
    return generate(tenants=TENANTS, days=DAYS, seed=7, last_day=LAST_DAY)


@pytest.fixture(scope="module")
def sql(tables: Tables) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, table in tables.items():
            connection.register(name, table)
        yield connection


def as_bytes(tables: Tables) -> bytes:
    sink = io.BytesIO()
    for table in tables.values():
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


def values(sql: duckdb.DuckDBPyConnection, query: str) -> set[object]:
    return {row[0] for row in sql.execute(query).fetchall()}


def test_same_arguments_give_the_same_bytes() -> None:
    first = generate(tenants=12, days=30, seed=3, last_day=LAST_DAY)
    again = generate(tenants=12, days=30, seed=3, last_day=LAST_DAY)
    other = generate(tenants=12, days=30, seed=4, last_day=LAST_DAY)
    assert as_bytes(first) == as_bytes(again)
    assert as_bytes(first) != as_bytes(other)


def test_columns_and_types_are_those_of_the_contract(tables: Tables) -> None:
    expected = {
        table: pa.schema(
            [(name, OTHER_TYPES.get(name, TIME if name.endswith("_at") else TEXT)) for name in columns.split()]
        )
        for table, columns in COLUMNS.items()
    }
    assert {name: table.schema for name, table in tables.items()} == expected
    assert list(tables) == list(COLUMNS)


def test_ddl_has_every_table_of_the_contract() -> None:
    assert [line.split()[2] for line in DDL.splitlines() if line.startswith("CREATE TABLE")] == list(COLUMNS)


def test_every_fate_has_its_share_of_the_tenants() -> None:
    plan = plan_tenants(np.random.default_rng(1), Window(LAST_DAY, 150), 200)
    counts = Counter(plan.fate.tolist())
    for index, fate in enumerate(FATES):
        assert counts[index] == pytest.approx(200 * fate.share, abs=1), fate.name


def test_fates_show_in_the_tables(sql: duckdb.DuckDBPyConnection) -> None:
    gone = values(sql, "SELECT deactivated_at FROM tenants WHERE deactivated_at IS NOT NULL")
    assert len(gone) == pytest.approx(0.08 * TENANTS, abs=1)
    brand_new = f"SELECT count(*) FROM tenants WHERE created_at >= DATE '{LAST_DAY}' - 21"
    assert values(sql, brand_new).pop() == pytest.approx(0.06 * TENANTS, abs=1)
    assert values(sql, "SELECT tenant_id FROM tenants ANTI JOIN users USING (tenant_id)")
    assert values(sql, "SELECT max(n) > 200 FROM (SELECT count(*) n FROM users GROUP BY tenant_id)") == {True}


def test_text_values_are_the_known_ones(sql: duckdb.DuckDBPyConnection) -> None:
    features = values(sql, "SELECT feature_key FROM events WHERE feature_key IS NOT NULL")
    assert len(features) > 14
    assert len(values(sql, "SELECT feature_key FROM feature_entitlements")) == 14
    assert values(sql, "SELECT status FROM onboarding_tasks") == {"PENDING", "IN_PROGRESS", "COMPLETED", "SKIPPED"}
    assert values(sql, "SELECT alert_level FROM tenants") == {"NONE", "DASHBOARD_ONLY", "PROACTIVE", None}
    assert values(sql, "SELECT sla_status FROM cases") == {"ON_TRACK", "WARNING", "BREACHED", "CRITICAL", None}
    known = {"login", "page_view", "task_completed", "content_generated", "visual_created", "voice_interaction"}
    known |= {"insight_reviewed", "export_downloaded", "settings_updated", "feedback_given", "launch_kit_viewed"}
    known |= {"report_generated", "search_performed", "api_call", "feature_used"}
    unknown = values(sql, "SELECT event_type FROM events") - known
    assert unknown == {"beta_widget_opened", "legacy_sync", ""}


def test_mail_addresses_can_reach_nobody(tables: Tables) -> None:
    addresses = [each for each in tables["users"]["email"].to_pylist() if each is not None and each.strip()]
    assert len(addresses) > 1000
    assert all(each.isascii() and each.count("@") == 1 and each.endswith(".example") for each in addresses)


def test_identifiers_are_unique_apart_from_the_events_sent_twice(tables: Tables) -> None:
    for name, table in tables.items():
        key = ["tenant_id", "feature_key", "enabled_at"] if name == "feature_entitlements" else table.column_names[:1]
        duplicates = table.num_rows - table.group_by(key).aggregate([]).num_rows
        assert duplicates == (2 if name == "events" else 0), name


@pytest.mark.parametrize(
    ("child", "parent", "key"),
    [(name, "tenants", ["tenant_id"]) for name in COLUMNS if name != "tenants"]
    + [(name, "users", ["tenant_id", "user_id"]) for name in ("events", "onboarding_tasks", "feedback")]
    + [
        ("campaign_assignments", "campaigns", ["tenant_id", "campaign_id"]),
        ("orders", "customers", ["tenant_id", "customer_id"]),
    ],
)
def test_rows_belong_to_existing_owners(
    sql: duckdb.DuckDBPyConnection, child: str, parent: str, key: list[str]
) -> None:
    orphans = f"SELECT tenant_id FROM {child} ANTI JOIN {parent} USING ({', '.join(key)})"
    expected = {UNKNOWN_TENANT} if child in ("users", "events", "customers") else set()
    assert values(sql, orphans) == expected


def test_sales_reps_are_users_of_the_tenant(sql: duckdb.DuckDBPyConnection) -> None:
    reps = f"SELECT c.tenant_id, sales_rep_id AS user_id FROM customers c WHERE tenant_id <> '{UNKNOWN_TENANT}'"
    assert values(sql, f"SELECT count(user_id) > 100 FROM ({reps})") == {True}
    assert not values(
        sql, f"SELECT user_id FROM ({reps}) ANTI JOIN users USING (tenant_id, user_id) WHERE user_id IS NOT NULL"
    )


def test_facts_lie_in_the_window(tables: Tables) -> None:
    for name, table in tables.items():
        for field in table.schema:
            if field.type != TIME:
                continue
            place = (name, field.name)
            oldest, newest = (pc.min_max(table[field.name])[end].as_py() for end in ("min", "max"))
            years = 3 if place in MAY_BE_OLDER else 2 if place in HISTORY else 0
            assert oldest >= WINDOW_START - datetime.timedelta(days=365 * years), place
            if place not in MAY_BE_LATER:
                assert newest < WINDOW_END, place


def test_the_whole_window_has_events_and_weekends_are_quieter(sql: duckdb.DuckDBPyConnection) -> None:
    per_day = dict(sql.execute("SELECT occurred_at::DATE, count(*) FROM events GROUP BY ALL").fetchall())
    assert sorted(per_day) == [LAST_DAY - datetime.timedelta(days=n) for n in reversed(range(DAYS))]
    weekend = np.mean([count for day, count in per_day.items() if day.weekday() >= 5])
    assert weekend < 0.5 * np.mean([count for day, count in per_day.items() if day.weekday() < 5])


def test_nothing_happens_after_a_tenant_is_gone(sql: duckdb.DuckDBPyConnection) -> None:
    happened = {"events": "occurred_at", "cases": "created_at", "campaigns": "launched_at", "orders": "ordered_at"}
    for table, instant in happened.items():
        late = f"SELECT count(*) FROM {table} f JOIN tenants t USING (tenant_id) WHERE f.{instant} > t.deactivated_at"
        assert values(sql, late) == {0}, table


def test_buyers_have_every_story(sql: duckdb.DuckDBPyConnection) -> None:
    gaps = """
        SELECT customer_id, count(*) AS orders, median(gap) AS usual, max(gap) AS longest, max(ordered_at) AS newest
        FROM (SELECT *, ordered_at::DATE - lag(ordered_at::DATE) OVER customer AS gap FROM orders
              WINDOW customer AS (PARTITION BY customer_id ORDER BY ordered_at))
        GROUP BY customer_id"""
    stories = {
        "weekly": "orders > 20 AND usual BETWEEN 6 AND 8",
        "monthly": "orders > 6 AND usual BETWEEN 26 AND 32",
        "quarterly": "orders > 2 AND usual BETWEEN 85 AND 97",
        "one_time": "orders = 1",
        "dead": f"orders > 5 AND newest < DATE '{LAST_DAY}' - 3 * usual::INTEGER - 45",
        "back": f"orders > 5 AND longest > usual + 90 AND newest > DATE '{LAST_DAY}' - 60",
    }
    for story, condition in stories.items():
        assert values(sql, f"SELECT count(*) >= 3 FROM ({gaps}) WHERE {condition}") == {True}, story
    assert values(sql, "SELECT count(*) > 3 FROM customers ANTI JOIN orders USING (customer_id)") == {True}
    baskets = """
        SELECT avg(total_amount) FILTER (age <= 3) / avg(total_amount) FILTER (age BETWEEN 4 AND 13) AS change
        FROM (SELECT *, row_number() OVER (PARTITION BY customer_id ORDER BY ordered_at DESC) AS age FROM orders)
        GROUP BY customer_id"""
    assert values(sql, f"SELECT count(*) >= 3 FROM ({baskets}) WHERE change < 0.75") == {True}


def test_bad_rows_are_few_and_the_rest_is_good(tables: Tables, sql: duckdb.DuckDBPyConnection) -> None:
    bad = {
        name: added.num_rows - 1 for name, added in add_faults({n: t.slice(0, 1) for n, t in tables.items()}).items()
    }
    assert 8 <= sum(bad.values()) <= 16
    for name, count in bad.items():
        assert (count < 10 and count < 0.01 * tables[name].num_rows) or count == 0, name
    broken = {
        "cases": "closed_at < created_at",
        "campaign_assignments": "completed_at < assigned_at",
        "support_tickets": "closed_at < opened_at",
        "orders": "total_amount < 0 OR delivered_at < ordered_at",
        "feedback": "score NOT BETWEEN 0 AND 100",
        "onboarding_tasks": "least(started_at, updated_at, completed_at) < created_at",
        "feature_entitlements": "disabled_at < enabled_at",
        "tenants": "deactivated_at < created_at",
    }
    for name, condition in broken.items():
        assert values(sql, f"SELECT count(*) FROM {name} WHERE {condition}") == {bad[name]}, name


@pytest.mark.parametrize(("tenants", "days"), [(1, 1), (3, 2), (2, 400)])
def test_odd_sizes_work(tenants: int, days: int) -> None:
    tables = generate(tenants=tenants, days=days, seed=5, last_day=LAST_DAY)
    assert tables["tenants"].num_rows == tenants


@pytest.mark.parametrize("wrong", [{"tenants": 0}, {"days": 0}, {"seed": -1}])
def test_impossible_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one tenant"):
        generate(**({"tenants": 1, "days": 1, "seed": 1} | wrong), last_day=LAST_DAY)


def test_load_replaces_the_schema(server: EmbeddedServer) -> None:
    url = server.url("application")
    old, new = (generate(tenants=6, days=20, seed=seed, last_day=LAST_DAY) for seed in (1, 2))
    loaded: list[tuple[str, int]] = []
    load(url, old, schema="shop")
    load(url, new, schema="shop", progress=lambda name, rows: loaded.append((name, rows)))
    assert loaded == [(name, table.num_rows) for name, table in new.items()]
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM shop.users ORDER BY user_id")
        assert cursor.fetch_arrow_table() == new["users"].sort_by("user_id")
        cursor.execute("SELECT sum(total_amount)::text FROM shop.orders")
        assert cursor.fetchone() == (str(pc.sum(new["orders"]["total_amount"]).as_py()),)
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE schemaname = 'shop' AND tablename = 'events'")
        assert cursor.fetchone() == (1,)
    broken = new | {"feedback": pa.concat_tables([new["feedback"]] * 2)}  # its key forbids it
    with pytest.raises(dbapi.Error):
        load(url, broken, schema="shop")
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM shop.feedback")
        assert cursor.fetchone() == (new["feedback"].num_rows,)
