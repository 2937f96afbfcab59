"""Making the roles and handing the warehouse over, by logins with more and with fewer rights, on a server of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import sqlalchemy as sa
from alembic import command

from health_pipeline.embedded import EmbeddedServer, bundled_program
from health_pipeline.errors import WarehouseError
from health_pipeline.tables.catalogue import SCHEMA, TABLES, VIEWS
from health_pipeline.tables.declare import TENANT_ID, Table, text
from health_pipeline.tables.tenant_health import USAGE_METRICS
from health_pipeline.warehouse import roles
from health_pipeline.warehouse.connection import sql_connection
from health_pipeline.warehouse.migrate import alembic_config, migrate
from health_pipeline.warehouse.months import make_months
from health_pipeline.warehouse.roles import ANALYST, OWNER, ROLES, TENANT
from health_pipeline_tests.conftest import NewDatabase, databases
from health_pipeline_tests.support.databases import administer, execute, query, value
from health_pipeline_tests.support.roles import DAYS, as_login, attempt, fill_everything, logins, relations
from health_pipeline_tests.support.rows import fill

WHO_OWNS = f"""
SELECT pg_get_userbyid(nspowner) AS name FROM pg_namespace WHERE nspname = '{SCHEMA}'
UNION SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = to_regnamespace('{SCHEMA}')
"""


@pytest.fixture(scope="module")
def bare_server() -> Iterator[EmbeddedServer]:
    """A server on which no other test makes roles."""
    with tempfile.TemporaryDirectory(prefix="health_pipeline_tests_") as folder:
        server = EmbeddedServer(Path(folder))
        administer(server.url("postgres"), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield server
        server.stop()


@pytest.fixture
def empty(bare_server: EmbeddedServer) -> Iterator[NewDatabase]:
    """Makes databases on a server without any role but postgres; all are dropped, and so are the roles that were made."""
    with databases(bare_server) as create:
        yield create
    url = bare_server.url("postgres")
    # Ours first: others may have granted them.
    made = "SELECT quote_ident(rolname) AS name FROM pg_roles WHERE rolname !~ '^(postgres$|pg_)' ORDER BY rolname !~ '^health_'"
    for row in query(url, made):
        administer(url, f"DROP ROLE {row['name']}")


def new_login(url: str, name: str = "etl", options: str = "") -> str:
    """A login that owns the database; its URL."""
    administer(url, f"CREATE ROLE {name} LOGIN {options}", f"ALTER DATABASE {database(url)} OWNER TO {name}")
    return as_login(url, name)


def database(url: str) -> str:
    return str(value(url, "SELECT current_database()"))


def is_complete(url: str) -> None:
    """Everything is there, belongs to the owner, and is granted as declared."""
    assert query(url, WHO_OWNS) == [{"name": OWNER}]
    names = {row["name"] for row in query(url, relations("rpv")) if not row["is_month"]}
    assert names == {*TABLES, *VIEWS, "alembic_version"}
    for name, table in TABLES.items():
        for column in table.columns:
            may_read = value(
                url, f"SELECT has_column_privilege('{ANALYST}', '{SCHEMA}.{name}', %s, 'SELECT')", column.name
            )
            assert may_read != column.has_addresses
    assert value(url, f"SELECT has_table_privilege('{TENANT}', '{SCHEMA}.usage_metrics', 'SELECT')")
    policies = value(url, "SELECT count(*) FROM pg_policies WHERE schemaname = %s", SCHEMA)
    assert policies == 2 * sum("tenant_id" in table.column_names for table in TABLES.values())


def refusal(url: str) -> str:
    """The one line with which the migration is refused; nothing of it stays."""
    with pytest.raises(WarehouseError) as error:
        migrate(url)
    assert "\n" not in str(error.value)
    return str(error.value)


def run_what_it_says(url: str, message: str) -> None:
    """Run the statements of the message as an administrator."""
    _, told, statements = message.partition("an administrator has to run: ")
    assert told
    execute(url, statements)


def test_several_warehouses_of_one_server_are_migrated_at_once(empty: NewDatabase) -> None:
    urls = [empty(), empty()]
    program = "import sys; from health_pipeline.warehouse.migrate import migrate; migrate(sys.argv[1])"
    started = [
        subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE, text=True) for url in urls * 2
    ]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    for url in urls:
        is_complete(url)


@pytest.mark.parametrize("comes_true", [True, False])
def test_roles_that_another_migration_is_just_making(empty: NewDatabase, comes_true: bool) -> None:
    url = empty()
    other = psycopg2.connect(url)
    with ThreadPoolExecutor(1) as pool, other.cursor() as cursor:
        for role in ROLES:
            cursor.execute(f"CREATE ROLE {role}")
        migration = pool.submit(migrate, url)
        wait_for(url, "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")
        assert not migration.done()
        if comes_true:
            other.commit()
        else:
            other.rollback()
        migration.result(20)
    other.close()
    is_complete(url)


def wait_for(url: str, question: str) -> None:
    """Until the answer is no longer 0."""
    for _ in range(400):
        if value(url, question):
            return
        threading.Event().wait(0.025)
    raise AssertionError(question)


def test_members_work_in_each_warehouse_with_its_own_rows(empty: NewDatabase) -> None:
    first, second = empty(), empty()
    for url in (first, second):
        migrate(url)
    make_months(second, [USAGE_METRICS], DAYS)
    fill(second, "usage_metrics", {"metric_date": DAYS.last, "tenant_id": "ours"})
    administer(first, f"CREATE ROLE app LOGIN IN ROLE {TENANT}")
    name_tenant = "SET health.tenant_id = 'ours'"
    assert attempt(as_login(first, "app"), name_tenant, "SELECT tenant_id FROM health.usage_metrics") == ""
    assert "ours" in attempt(as_login(second, "app"), name_tenant, "SELECT tenant_id FROM health.usage_metrics")


def test_a_login_without_rights_is_told_what_an_administrator_has_to_run(empty: NewDatabase) -> None:
    url = empty()
    login = new_login(url)
    message = refusal(login)
    assert message == (
        "etl may not create the roles health_pipeline, health_analyst, health_tenant; an administrator has to run:"
        " CREATE ROLE health_pipeline NOLOGIN; GRANT health_pipeline TO etl; CREATE ROLE health_analyst NOLOGIN;"
        " CREATE ROLE health_tenant NOLOGIN;"
    )
    assert query(url, WHO_OWNS) == []
    run_what_it_says(url, message)
    migrate(login)
    is_complete(url)
    # It writes, and makes months that belong to the owner.
    fill_everything(login)
    is_complete(url)
    migrate(login)


def test_an_owner_that_logs_in_stays_one(empty: NewDatabase) -> None:
    """As docs/production.md had it before there were other roles."""
    url = empty()
    login = new_login(url, OWNER)
    message = refusal(login)
    assert "may not create the roles health_analyst, health_tenant;" in message
    assert "GRANT" not in message
    run_what_it_says(url, message)
    migrate(login)
    make_months(login, [USAGE_METRICS], DAYS)
    is_complete(url)
    assert value(url, "SELECT rolcanlogin FROM pg_roles WHERE rolname = %s", OWNER)


def test_a_login_that_may_create_roles_needs_nobody(empty: NewDatabase) -> None:
    url, second = empty(), empty()
    login = new_login(url, '"The Loader"', "CREATEROLE").replace('"The Loader"', "The%20Loader")
    migrate(login)
    make_months(login, [USAGE_METRICS], DAYS)
    is_complete(url)
    administer(second, f'ALTER DATABASE {database(second)} OWNER TO "The Loader"')
    migrate(login.replace(database(url), database(second)))
    is_complete(second)


def test_a_login_that_is_no_member_is_told_so(empty: NewDatabase) -> None:
    url = empty()
    login = new_login(url)
    administer(url, *(f"CREATE ROLE {role}" for role in ROLES))
    message = refusal(login)
    assert message == (
        "etl is no member of health_pipeline with its rights; an administrator has to run: GRANT health_pipeline TO etl;"
    )
    run_what_it_says(url, message)
    migrate(login)
    is_complete(url)
    administer(url, f"REVOKE {OWNER} FROM etl")
    assert refusal(login) == message


def test_a_member_without_the_owners_rights_is_told_so(empty: NewDatabase) -> None:
    url = empty()
    login = new_login(url, options="NOINHERIT")
    administer(url, *(f"CREATE ROLE {role}" for role in ROLES), f"GRANT {OWNER} TO etl")
    assert "no member of health_pipeline with its rights" in refusal(login)


def older_warehouse(login: str) -> None:
    """The tables, a view and a month as a program without roles left them, all the login's own."""
    with sql_connection(login) as connection:
        connection.execute(sa.text(f"CREATE SCHEMA {SCHEMA}"))
        command.upgrade(alembic_config(connection), "head")
        connection.execute(sa.text(f"CREATE VIEW {SCHEMA}.open_alerts AS SELECT 1 AS x"))
        connection.execute(sa.text(f"INSERT INTO {SCHEMA}.view_definitions VALUES ('open_alerts', 'old', now())"))
    make_months(login, [USAGE_METRICS], DAYS)
    execute(login, f"CREATE TABLE {SCHEMA}.mine AS SELECT 1 AS x")


def test_an_older_warehouse_is_handed_over_by_its_owner(empty: NewDatabase) -> None:
    url = empty()
    login = new_login(url)
    older_warehouse(login)
    run_what_it_says(url, refusal(login))
    migrate(login)
    # What isn't ours stays its maker's.
    assert query(url, WHO_OWNS + "ORDER BY 1") == [{"name": "etl"}, {"name": OWNER}]
    administer(url, f"DROP TABLE {SCHEMA}.mine")
    is_complete(url)


def test_somebody_elses_warehouse_has_to_be_handed_over_by_its_owner_or_an_administrator(empty: NewDatabase) -> None:
    url = empty()
    older_warehouse(new_login(url, "former"))
    login = new_login(url)
    run_what_it_says(url, refusal(login))
    message = refusal(login)
    assert message.startswith("the schema health belongs to former, who has to hand it over to health_pipeline")
    migrate(url)
    administer(url, f"DROP TABLE {SCHEMA}.mine")
    is_complete(url)
    migrate(login)


@pytest.mark.parametrize(
    ("mighty", "who"),
    [
        (f"ALTER ROLE {TENANT} BYPASSRLS", TENANT),
        (f"ALTER ROLE {ANALYST} SUPERUSER", ANALYST),
        (f"ALTER ROLE {ANALYST} CREATEROLE", ANALYST),
        (f"GRANT {OWNER} TO {ANALYST}", ANALYST),
        (f"GRANT {ANALYST} TO {TENANT}", TENANT),
        (f"GRANT pg_read_all_data TO {TENANT}", TENANT),
        (f"CREATE ROLE chief BYPASSRLS; GRANT chief TO {ANALYST}", ANALYST),
    ],
)
def test_readers_that_could_go_around_policies_are_refused(empty: NewDatabase, mighty: str, who: str) -> None:
    url = empty()
    administer(url, *(f"CREATE ROLE {role}" for role in ROLES), mighty)
    assert refusal(url).startswith(f"{who} can go around grants and row policies")


def test_a_server_that_is_too_old_is_refused(empty: NewDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "_OLDEST_SERVER", 99)
    assert refusal(empty()).startswith("the warehouse needs PostgreSQL 99 or newer, but the server is 1")


def test_what_was_taken_or_given_by_hand_is_put_right_when_something_changes(
    empty: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = empty()
    migrate(url)
    make_months(url, [USAGE_METRICS], DAYS)
    granted_at = value(url, f"SELECT applied_at FROM {SCHEMA}.role_definitions")
    migrate(url)
    assert value(url, f"SELECT applied_at FROM {SCHEMA}.role_definitions") == granted_at
    execute(
        url,
        f"GRANT ALL ON SCHEMA {SCHEMA} TO PUBLIC",
        f"GRANT ALL ON ALL TABLES IN SCHEMA {SCHEMA} TO PUBLIC, {TENANT}",
        f"GRANT SELECT (email), UPDATE (error) ON {SCHEMA}.email_deliveries TO {ANALYST}",
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA {SCHEMA} GRANT SELECT ON TABLES TO {TENANT}",
        f"DROP POLICY {TENANT} ON {SCHEMA}.feature_adoption",
        f"ALTER TABLE {SCHEMA}.usage_metrics DISABLE ROW LEVEL SECURITY",
    )
    # A later version brings a table.
    later = Table("later", "x", ("tenant_id",), (TENANT_ID, text("note", "x")), "tenant_health", "weekly")
    monkeypatch.setitem(TABLES, "later", later)
    execute(url, f"CREATE TABLE {SCHEMA}.later (tenant_id text PRIMARY KEY, note text)")
    execute(url, f"INSERT INTO {SCHEMA}.later VALUES ('a', 'x'), ('b', 'y')")
    migrate(url)
    is_complete(url)
    administer(url, f"ALTER ROLE {OWNER} LOGIN")
    make_months(as_login(url, OWNER), list(TABLES.values()), DAYS)
    administer(url, f"CREATE ROLE app LOGIN IN ROLE {TENANT}", f"CREATE ROLE ann LOGIN IN ROLE {ANALYST}")
    app, ann = as_login(url, "app"), as_login(url, "ann")
    assert attempt(app, "SET health.tenant_id = 'b'", f"SELECT * FROM {SCHEMA}.later") == "('b', 'y')"
    for denied in (
        "policies",
        "email_deliveries",
        f"usage_metrics_{DAYS.last:%Y_%m}",
        f"feature_adoption_{DAYS.last:%Y_%m}",
    ):
        assert "InsufficientPrivilege" in attempt(app, f"SELECT * FROM {SCHEMA}.{denied}")
    assert "InsufficientPrivilege" in attempt(ann, f"SELECT email FROM {SCHEMA}.email_deliveries")


def test_roles_that_were_made_anew_are_granted_anew(empty: NewDatabase) -> None:
    url = empty()
    migrate(url)
    administer(url, f"DROP OWNED BY {ANALYST}, {TENANT}", f"DROP ROLE {ANALYST}, {TENANT}")
    migrate(url)
    is_complete(url)


def test_functions_of_others_get_into_no_view(empty: NewDatabase) -> None:
    url = empty()
    trap = "AS 'SELECT NULL' LANGUAGE sql"
    execute(url, f"CREATE FUNCTION public.concat_ws(text, integer, text, text) RETURNS text {trap}")
    migrate(url)
    used = "SELECT count(*) FROM pg_depend WHERE refobjid = 'public.concat_ws'::regproc AND classid = 'pg_rewrite'::regclass"
    assert value(url, used) == 0


def test_a_migration_waits_for_writers(empty: NewDatabase) -> None:
    url = empty()
    migrate(url)
    execute(url, f"UPDATE {SCHEMA}.role_definitions SET definition_hash = 'old'")
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    lock = "SELECT pg_advisory_xact_lock(hashtext('health'), hashtext('usage_metrics'))"
    with ThreadPoolExecutor(1) as pool:
        with sql_connection(url) as writer:
            writer.execute(sa.text(lock))
            writer.execute(sa.text(f"DELETE FROM {SCHEMA}.usage_metrics"))
            migration = pool.submit(migrate, url)
            wait_for(url, waiting)
            assert not migration.done()
            # A table that comes after the one that both want.
            writer.execute(sa.text(f"DELETE FROM {SCHEMA}.alert_actions"))
        migration.result(20)
    is_complete(url)


def client(program: str, *arguments: str) -> None:
    path = bundled_program(program)
    assert path is not None
    done = subprocess.run([path, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_restored_dump_shows_everybody_the_same(
    empty: NewDatabase, warehouse: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_everything(warehouse)
    dump = str(tmp_path / "warehouse.dump")
    with logins(warehouse, test_etl=f"IN ROLE {OWNER}"):
        client("pg_dump", "-Fc", "-n", SCHEMA, "-f", dump, as_login(warehouse, "test_etl"))
    # As docs/production.md says: the roles first, the database theirs, then the dump.
    url = empty()
    administer(url, *(f"CREATE ROLE {role}" for role in ROLES), f"ALTER DATABASE {database(url)} OWNER TO {OWNER}")
    client("pg_restore", "--no-owner", f"--role={OWNER}", "--exit-on-error", "-d", url, dump)
    is_complete(url)
    counts = [f"SELECT count(*) FROM {SCHEMA}.{name}" for name in TABLES]
    assert [value(url, count) for count in counts] == [value(warehouse, count) for count in counts]
    # On another server the roles are others, so it is all granted again.
    granted_at: Any = value(url, f"SELECT applied_at FROM {SCHEMA}.role_definitions")
    migrate(url)
    is_complete(url)
    assert value(url, f"SELECT applied_at FROM {SCHEMA}.role_definitions") > granted_at
