"""Who sees what: real logins that are members of each role, and what they try to get at more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from health_pipeline.embedded import EmbeddedServer
from health_pipeline.tables.catalogue import SCHEMA, TABLES, VIEWS
from health_pipeline.tables.tenant_health import PEER_BENCHMARKS, TENANT_PEER_RANKS
from health_pipeline.warehouse.roles import ANALYST, OWNER, TENANT, is_for_tenants, readable_columns
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.support.attempts import ADDRESS_ATTEMPTS, TENANT_ATTEMPTS
from health_pipeline_tests.support.databases import connected, query, value
from health_pipeline_tests.support.roles import (
    ADDRESSES_AT,
    DAYS,
    OURS,
    THEIRS,
    as_login,
    attempt,
    fill_everything,
    logins,
    relations,
)

Denied = psycopg2.errors.InsufficientPrivilege
SET_OURS = f"SET health.tenant_id = '{OURS}'"
FOR_TENANTS = [name for name, table in TABLES.items() if is_for_tenants(table)]
VIEWS_FOR_TENANTS = [name for name, view in VIEWS.items() if view.for_tenants]
WITH_ADDRESSES = [(t.name, c.name) for t in TABLES.values() for c in t.columns if c.has_addresses]


@pytest.fixture(scope="module")
def owner(server: EmbeddedServer, new_module_database: NewDatabase, migrated_template: str) -> Iterator[str]:
    """The URL of a warehouse with rows of both tenants, for somebody who sees everything."""
    url = new_module_database(migrated_template)
    fill_everything(url)
    members = {"test_analyst": ANALYST, "test_app": TENANT, "test_staff": OWNER}
    with logins(url, test_nobody="", **{name: f"IN ROLE {role}" for name, role in members.items()}):
        yield url


@pytest.fixture
def analyst(owner: str) -> str:
    return as_login(owner, "test_analyst")


@pytest.fixture
def tenant(owner: str) -> str:
    """The URL for the application's login, which has named no tenant yet."""
    return as_login(owner, "test_app")


def of_tenant(url: str, name: str, tenant_id: str | None = OURS) -> list[dict[str, Any]]:
    """All that the login sees of a relation after it has named the tenant."""
    with connected(url) as cursor:
        if tenant_id is not None:
            cursor.execute("SELECT set_config('health.tenant_id', %s, false)", (tenant_id,))
        cursor.execute(f"SELECT * FROM {SCHEMA}.{name} ORDER BY {name}::text")
        return [dict(row) for row in cursor.fetchall()]


def granted(url: str) -> list[dict[str, Any]]:
    """Everything in the catalogue that says who may do what in the schema."""
    return query(
        url,
        f"""
        SELECT relname, relowner, relacl::text, relrowsecurity, relforcerowsecurity,
            (SELECT string_agg(attname || attacl::text, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = pg_class.oid),
            (SELECT string_agg(policyname || roles::text || qual, ',' ORDER BY policyname) FROM pg_policies
             WHERE schemaname = '{SCHEMA}' AND tablename = relname) AS policies
        FROM pg_class WHERE relnamespace = '{SCHEMA}'::regnamespace ORDER BY relname
        """,
    )


def test_the_owner_has_everything_and_the_roles_are_nothing_more(owner: str) -> None:
    owners = query(
        owner,
        f"SELECT DISTINCT pg_get_userbyid(relowner) AS name FROM pg_class WHERE relnamespace = '{SCHEMA}'::regnamespace"
        f" UNION SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = '{SCHEMA}'",
    )
    assert owners == [{"name": OWNER}]
    assert value(owner, "SELECT count(*) FROM pg_class WHERE relispartition AND relkind = 'r'") > 0
    roles = query(owner, "SELECT * FROM pg_roles WHERE rolname IN (%s, %s, %s)", OWNER, ANALYST, TENANT)
    assert len(roles) == 3
    for role in roles:
        mighty = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolcanlogin", "rolreplication", "rolbypassrls")
        assert not any(role[name] for name in mighty), role
    assert query(owner, "SELECT roleid FROM pg_auth_members WHERE member::regrole::text LIKE 'health\\_%%'") == []


def test_a_member_of_the_owner_reads_and_writes_everything(owner: str) -> None:
    staff = as_login(owner, "test_staff")
    for name in [*TABLES, *VIEWS]:
        assert query(staff, f"SELECT count(*) FROM {SCHEMA}.{name}") == query(
            owner, f"SELECT count(*) FROM {SCHEMA}.{name}"
        )
    with pytest.raises(ZeroDivisionError), connected(staff) as cursor:
        cursor.execute(f"UPDATE {SCHEMA}.usage_metrics SET api_calls = 1")
        assert cursor.rowcount == 2 * len(DAYS)
        raise ZeroDivisionError  # so that nothing stays


def test_a_login_without_a_role_sees_nothing(owner: str) -> None:
    for row in query(owner, relations("rpv")):
        with pytest.raises(Denied):
            query(as_login(owner, "test_nobody"), f"SELECT * FROM {SCHEMA}.{row['name']}")


@pytest.mark.parametrize("name", TABLES)
def test_an_analyst_reads_all_columns_but_addresses(owner: str, analyst: str, name: str) -> None:
    columns = readable_columns(TABLES[name])
    statement = f"SELECT {', '.join(columns)} FROM {SCHEMA}.{name} ORDER BY {', '.join(TABLES[name].key)}"
    rows = query(analyst, statement)
    assert rows == query(owner, statement)
    assert len(rows) > 0
    assert query(analyst, f"SELECT count(*) FROM {SCHEMA}.{name}") == [{"count": len(rows)}]
    hidden = set(TABLES[name].column_names) - set(columns)
    for column in hidden:
        with pytest.raises(Denied):
            query(analyst, f"SELECT {column} FROM {SCHEMA}.{name}")
    if hidden:
        with pytest.raises(Denied):
            query(analyst, f"SELECT * FROM {SCHEMA}.{name}")
    else:
        assert len(query(analyst, f"SELECT * FROM {SCHEMA}.{name}")) == len(rows)


def test_addresses_stand_where_they_are_known_to() -> None:
    assert sorted(WITH_ADDRESSES) == [
        ("client_success_emails", "email"),
        ("client_success_emails", "html"),
        ("client_success_emails", "plain_text"),
        ("email_deliveries", "email"),
        ("email_deliveries", "error"),
        ("notifications", "error"),
        ("quarantined_rows", "row"),
    ]


@pytest.mark.parametrize("name", VIEWS)
def test_an_analyst_reads_every_view_and_no_address_in_it(owner: str, analyst: str, name: str) -> None:
    rows = of_tenant(analyst, name, None)
    assert rows == of_tenant(owner, name, None)
    assert ADDRESSES_AT not in str(rows)


@pytest.mark.parametrize("statements", ADDRESS_ATTEMPTS.values(), ids=ADDRESS_ATTEMPTS)
def test_an_analyst_gets_at_no_address(owner: str, analyst: str, statements: list[str]) -> None:
    assert ADDRESSES_AT in attempt(owner, *statements)
    seen = attempt(analyst, *statements)
    assert ADDRESSES_AT not in seen
    assert "InsufficientPrivilege" in seen or "pg_stats" in statements[0]


def test_an_analyst_may_not_even_compare_or_sort_by_an_address(analyst: str) -> None:
    for clause in ("WHERE email LIKE 'a%%'", "ORDER BY email", "JOIN health.email_deliveries USING (email)"):
        with pytest.raises(Denied):
            query(analyst, f"SELECT 1 FROM health.client_success_emails {clause}")


def test_what_is_for_tenants() -> None:
    """Computed rows and benchmarks; no ranks, no notes of staff or of the pipeline, and no view over all tenants."""
    assert {name for name, table in TABLES.items() if table.cadence} - set(FOR_TENANTS) == {TENANT_PEER_RANKS.name}
    assert all(TABLES[name].cadence for name in FOR_TENANTS)
    assert [name for name in FOR_TENANTS if "tenant_id" not in TABLES[name].column_names] == [PEER_BENCHMARKS.name]
    assert sorted(VIEWS_FOR_TENANTS) == [
        "customer_health_summary",
        "customer_risk_transitions",
        "dormancy_episodes",
        "feature_adoption_summary",
        "tenant_health_trends",
        "usage_metric_values",
    ]


def test_a_tenant_sees_its_rows_and_benchmarks_and_nothing_else(owner: str, tenant: str) -> None:
    seen = {}
    for row in query(owner, relations("rpv")):
        try:
            seen[row["name"]] = of_tenant(tenant, row["name"])
        except Denied:
            continue
    assert set(seen) == {*FOR_TENANTS, *VIEWS_FOR_TENANTS}
    for name, rows in seen.items():
        everything = of_tenant(owner, name)
        if name == PEER_BENCHMARKS.name:
            assert rows == everything
        else:
            assert rows == [row for row in everything if row["tenant_id"] == OURS]
            assert THEIRS not in str(rows)
        # There is something to see, and something that isn't seen.
        assert 0 < len(rows) < len(everything) or name == PEER_BENCHMARKS.name


@pytest.mark.parametrize("tenant_id", [None, "", " ", "stranger", "%", "OURS", "ours,theirs", "' OR true --"])
def test_without_a_tenant_of_this_name_there_are_no_rows(tenant: str, tenant_id: str | None) -> None:
    for name in [*FOR_TENANTS, *VIEWS_FOR_TENANTS]:
        rows = of_tenant(tenant, name, tenant_id)
        assert bool(rows) == (name == PEER_BENCHMARKS.name), name


def test_a_tenant_with_an_empty_name_is_nobody(owner: str, tenant: str) -> None:
    with pytest.raises(ZeroDivisionError), connected(owner) as cursor:
        cursor.execute(f"UPDATE {SCHEMA}.usage_metrics SET tenant_id = '' WHERE tenant_id = '{OURS}'")
        cursor.execute(f"SET LOCAL ROLE {TENANT}")
        for setting in ("", OURS):
            cursor.execute("SELECT set_config('health.tenant_id', %s, true)", (setting,))
            cursor.execute("SELECT * FROM health.usage_metrics")
            assert cursor.fetchall() == []
        raise ZeroDivisionError  # so that nothing stays


@pytest.mark.parametrize("statements", TENANT_ATTEMPTS.values(), ids=TENANT_ATTEMPTS)
def test_a_tenant_gets_at_no_other_tenants_rows(owner: str, tenant: str, statements: list[str]) -> None:
    assert THEIRS in attempt(owner, SET_OURS, *statements)
    assert THEIRS not in attempt(tenant, SET_OURS, *statements)


def test_the_setting_counts_when_a_statement_runs(tenant: str) -> None:
    who = "SELECT string_agg(DISTINCT tenant_id, ',') AS seen FROM health.usage_metrics"
    with connected(tenant) as cursor:

        def seen(statement: str = who) -> Any:
            cursor.execute(statement)
            (row,) = cursor.fetchall()
            return row["seen"]

        cursor.execute(f"PREPARE prepared AS {who}")
        cursor.execute("CREATE TEMP VIEW mine AS SELECT * FROM health.usage_metrics")
        assert seen() is None
        # More often than it takes for a plan to be kept.
        for number in range(8):
            tenant_id = (OURS, THEIRS, "")[number % 3]
            cursor.execute("SELECT set_config('health.tenant_id', %s, true)", (tenant_id,))
            for statement in (who, "EXECUTE prepared", who.replace("health.usage_metrics", "mine")):
                assert seen(statement) == (tenant_id or None)
        cursor.execute("SAVEPOINT here")
        cursor.execute(f"SET LOCAL health.tenant_id = '{OURS}'")
        assert seen() == OURS
        cursor.execute("ROLLBACK TO here")
        assert seen() == THEIRS
        cursor.execute("COMMIT")
        assert seen() is None


def test_the_setting_may_come_with_the_connection(tenant: str) -> None:
    url = f"{tenant}&options=-c%20health.tenant_id%3D{OURS}"
    assert query(url, "SELECT DISTINCT tenant_id FROM health.client_engagement") == [{"tenant_id": OURS}]


def test_one_prepared_plan_serves_each_role_as_its_own(owner: str, analyst: str) -> None:
    """A plan that somebody mighty made isn't used for a role that sees less."""
    with connected(owner) as cursor:
        cursor.execute("PREPARE plan AS SELECT count(*) FROM health.usage_metrics")
        for role, rows in ((OWNER, 2), (TENANT, 0), (ANALYST, 2), (TENANT, 0), (OWNER, 2)):
            cursor.execute(f"SET ROLE {role}")
            cursor.execute("EXECUTE plan")
            assert cursor.fetchall() == [{"count": rows * len(DAYS)}]


@pytest.mark.parametrize("login", ["test_analyst", "test_app", "test_nobody"])
def test_nobody_becomes_somebody_else(owner: str, login: str) -> None:
    own = {"test_analyst": ANALYST, "test_app": TENANT}.get(login)
    others = {OWNER, ANALYST, TENANT, "postgres", "test_staff", "pg_read_all_data"} - {own}
    for other in others:
        for become in (f"SET ROLE {other}", f"SET SESSION AUTHORIZATION {other}", f"GRANT {other} TO {login}"):
            assert "InsufficientPrivilege" in attempt(as_login(owner, login), become)
    if own is not None:
        # Back from the role to the login is no way up.
        for back in ("RESET ROLE", "SET ROLE NONE", "RESET SESSION AUTHORIZATION"):
            seen = attempt(as_login(owner, login), f"SET ROLE {own}", back, "SELECT email FROM health.email_deliveries")
            assert "InsufficientPrivilege" in seen
            seen = attempt(as_login(owner, login), f"SET ROLE {own}", SET_OURS, "SELECT * FROM health.peer_benchmarks")
            assert "of all" in seen


@pytest.mark.parametrize("login", ["test_analyst", "test_app", "test_nobody"])
def test_nobody_but_the_owner_writes(owner: str, login: str) -> None:
    before = granted(owner)
    url = as_login(owner, login)
    tables = [f"health.{row['name']}" for row in query(owner, relations("rp"))]
    for statement in (
        *(f"INSERT INTO {name} DEFAULT VALUES" for name in tables),
        *(f"DELETE FROM {name}" for name in tables),
        *(f"DROP TABLE {name}" for name in tables),
        *(f"DROP VIEW health.{name}" for name in VIEWS),
        "UPDATE health.usage_metrics SET api_calls = 1",
        "TRUNCATE health.usage_metrics",
        "COPY health.usage_metrics FROM STDIN",
        "LOCK TABLE health.usage_metrics IN EXCLUSIVE MODE",
        "ALTER TABLE health.usage_metrics DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE health.usage_metrics OWNER TO CURRENT_USER",
        "ALTER VIEW health.tenant_health_trends SET (security_invoker = false)",
        "DROP POLICY health_tenant ON health.usage_metrics",
        "CREATE POLICY mine ON health.usage_metrics USING (true)",
        "CREATE INDEX ON health.usage_metrics (tenant_id)",
        "CREATE TABLE health.mine (x int)",
        "CREATE VIEW health.mine AS SELECT 1",
        "CREATE FUNCTION health.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "COMMENT ON TABLE health.usage_metrics IS 'mine'",
        "ALTER SCHEMA health RENAME TO mine",
        "CREATE TEMP TABLE mine () INHERITS (health.client_insights)",
    ):
        assert "InsufficientPrivilege" in attempt(url, statement), statement
    for statement in (
        "GRANT SELECT ON ALL TABLES IN SCHEMA health TO PUBLIC",
        "GRANT CREATE ON SCHEMA health TO PUBLIC",
    ):
        attempt(url, statement)
    assert granted(owner) == before
