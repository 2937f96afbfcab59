"""Sources that can't be reached, may not be read, are locked, or hold too many bad rows; and that none is ever written to."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import duckdb
import pytest

from health_pipeline.days import DayRange
from health_pipeline.embedded import EmbeddedServer
from health_pipeline.errors import SourceError, TooManyBadRows, UserError
from health_pipeline.orchestration.system_assets import outcome_of
from health_pipeline.sources import contract
from health_pipeline.sources.connect import connect
from health_pipeline.systems.context import RunContext
from health_pipeline.systems.tenant_health import run_tenant_health
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.support.databases import administer, execute, query
from health_pipeline_tests.support.runs import TENANT_HEALTH, context_for
from health_pipeline_tests.support.small_sources import LEAST, PAST, Make, Readers, refusal, rows
from health_pipeline_tests.support.sources import SOURCE_KINDS, load_source


def test_a_source_that_isnt_there(tmp_path: Path, server: EmbeddedServer) -> None:
    (tmp_path / "text.duckdb").write_text("no database at all, but long enough to be looked at" * 99)
    (tmp_path / "lake" / "tenants").mkdir(parents=True)
    (tmp_path / "lake" / "tenants" / "a.parquet").write_text("no parquet")
    urls = [
        "postgresql://me@127.0.0.1:1/none",
        server.url("nowhere"),
        f"duckdb://{tmp_path / 'nowhere.duckdb'}",
        f"duckdb://{tmp_path / 'text.duckdb'}",
        f"parquet://{tmp_path / 'nowhere'}",
        f"parquet://{tmp_path / 'lake'}",
    ]
    for url in urls:
        assert refusal(lambda url=url: connect(url)).startswith(
            ("the source can't be reached", "the Parquet files in tenants")
        )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:topsecret@127.0.0.1:1/none",
        "postgresql://me:topsecret%zz@127.0.0.1:1/none",
        "postgresql://me:top/secret@127.0.0.1:1/none",
        "postgresql://me:top[secret@127.0.0.1:1/none",
        "postgresql://me:top#secret@127.0.0.1:1/none",
        "postgresql://me:topsecret@127.0.0.1:1/none?sslmode=sometimes",
        "postgresql://me:topsecret@127.0.0.1:port/none",
        "postgresql://127.0.0.1:1/none?user=me&password=topsecret",
    ],
)
def test_no_refusal_repeats_the_password(url: str) -> None:
    message = refusal(lambda: connect(url), UserError)
    assert "secret" not in message
    assert "HEALTH_SOURCE_URL" in message


@pytest.fixture(scope="module")
def guarded(server: EmbeddedServer, server_home: Path) -> str:
    """The URL of the server for a role that must give its password."""
    hba = server_home / "postgres" / "pg_hba.conf"
    hba.write_text("local all guarded scram-sha-256\n" + hba.read_text())
    administer(server.url("postgres"), "CREATE ROLE guarded LOGIN PASSWORD 'open sesame'", "SELECT pg_reload_conf()")
    parts = urlsplit(server.url("postgres"))
    return urlunsplit(parts._replace(netloc="guarded:PASSWORD@"))


def test_a_wrong_password(guarded: str) -> None:
    connect(guarded.replace("PASSWORD", "open%20sesame")).close()
    message = refusal(lambda: connect(guarded.replace("PASSWORD", "topsecret")))
    assert message.startswith("the source can't be reached (HEALTH_SOURCE_URL): ")
    assert "password authentication failed" in message
    assert "topsecret" not in message


def test_a_role_that_may_not_read_a_table(guarded: str, postgres: Make, reader: Readers) -> None:
    url = postgres(*LEAST, "GRANT USAGE ON SCHEMA app TO guarded", "GRANT SELECT ON app.tenants, app.users TO guarded")
    as_guarded = urlunsplit(urlsplit(url)._replace(netloc="guarded:open%20sesame@"))
    message = refusal(reader(as_guarded).check)
    assert message.startswith("source table events: app.events can't be read: ")
    assert "permission denied" in message


def test_the_session_cant_write(postgres: Make, reader: Readers) -> None:
    url = postgres(
        *LEAST,
        "CREATE FUNCTION app.stealthy() RETURNS SETOF app.users LANGUAGE sql AS 'DELETE FROM app.users RETURNING *'",
    )
    for select in (
        "SELECT * FROM app.stealthy()",
        "SELECT u.* FROM app.users AS u, set_config('transaction_read_only', 'off', false), app.stealthy()",
    ):
        stealthy = reader(url, tables={"users": {"sql": select}})
        assert "read-only" in refusal(lambda stealthy=stealthy: (stealthy.check(), stealthy.read(contract.USERS)))
    assert query(url, "SELECT count(*) AS users FROM app.users") == [{"users": 1}]


def test_a_run_reads_one_snapshot(postgres: Make, reader: Readers) -> None:
    url = postgres(*LEAST)
    found = reader(url)
    found.check()
    assert len(rows(found, contract.TENANTS)) == 1
    execute(url, f"INSERT INTO app.users VALUES ('later', 't', '{PAST}')", "DELETE FROM app.events")
    assert [row["user_id"] for row in rows(found, contract.USERS)] == ["u"]
    assert len(rows(found, contract.EVENTS)) == 1
    assert len(rows(reader(url), contract.USERS)) == 2


@pytest.mark.parametrize("kind", SOURCE_KINDS)
def test_nothing_stays_in_the_temporary_folder(
    kind: str, new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A nightly run makes one connection a night, a backfill many."""
    url = load_source(kind, {"tenants": [], "users": [], "events": []}, tmp_path, new_database)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    connect(url).close()
    assert list((tmp_path / "temporary").iterdir()) == []


_HOLDER = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"


def test_a_duckdb_file_that_another_process_has_open(tmp_path: Path, reader: Readers) -> None:
    path = tmp_path / "held.duckdb"
    with duckdb.connect(str(path)) as connection:
        for statement in LEAST:
            connection.execute(statement)
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        message = refusal(lambda: connect(f"duckdb://{path}"))
        assert message.startswith("the source can't be reached (HEALTH_SOURCE_URL): ")
        assert "lock" in message
    finally:
        holder.communicate("")
    # Two readers at once don't disturb each other.
    assert len(rows(reader(f"duckdb://{path}"), contract.TENANTS)) == 1
    assert len(rows(reader(f"duckdb://{path}"), contract.USERS)) == 1


@pytest.mark.parametrize(
    ("bad", "share", "fails"), [(9, 0.0, False), (10, 0.5, False), (10, 0.49, True), (11, 0.5, True)]
)
def test_too_many_bad_rows(postgres: Make, reader: Readers, bad: int, share: float, fails: bool) -> None:
    """20 rows of events are read; it takes 10 bad ones, and more than the share."""
    url = postgres(
        *LEAST[:6],
        f"INSERT INTO app.events SELECT CASE WHEN n <= {bad} THEN 'nobody' ELSE 't' END, 'u', 'login', '{PAST}'"
        " FROM generate_series(1, 20) AS n",
    )
    found = reader(url)
    found.read(contract.EVENTS)
    assert (found.rows_read["events"], len(found.bad_rows["events"])) == (20, bad)
    if fails:
        message = refusal(lambda: found.check_share(share), TooManyBadRows)
        assert f"events: {bad} of 20 rows ({bad / 20:.1%})" in message
    else:
        found.check_share(share)


def test_equal_bad_rows_are_recorded_each(postgres: Make, reader: Readers) -> None:
    url = postgres(*LEAST, *["INSERT INTO app.events VALUES ('nobody', 'u', 'login', '2024-03-01Z')"] * 3)
    first, second = reader(url), reader(url)
    for found in (first, second):
        found.read(contract.EVENTS)
    ids = [row.quarantine_id for row in first.bad_rows["events"]]
    assert len(set(ids)) == 3
    assert {row.quarantine_id for row in second.bad_rows["events"]} == set(ids)


@pytest.mark.parametrize(("most", "is_enough"), [(2, False), (1000, True)])
def test_a_run_with_too_little_memory_begins_again_with_more(
    most: int, is_enough: bool, new_database: NewDatabase, warehouse: str
) -> None:
    source = new_database()
    many = "INSERT INTO app.users SELECT 'u' || n, 't', '2024-01-01' FROM generate_series(1, 100000) AS g(n)"
    execute(source, *LEAST, many)
    context = context_for(source, warehouse, datetime(2024, 3, 20, tzinfo=UTC))
    context = replace(context, engine_memory_mb=1, most_engine_memory_mb=most)
    begun = []

    def begin(context: RunContext, days: DayRange, *given: Any) -> Any:
        begun.append(context.engine_memory_mb)
        return run_tenant_health(context, days, *given)

    day = DayRange(date(2024, 3, 1), date(2024, 3, 1))
    if is_enough:
        assert outcome_of(begin, context, day, TENANT_HEALTH, None).frames["usage_metrics"].shape[0]
        assert len(begun) > 2
        assert begun == [2**n for n in range(len(begun))]
    else:
        with pytest.raises(SourceError, match="the 2 MB of HEALTH_ENGINE_MEMORY are not enough"):
            outcome_of(begin, context, day, TENANT_HEALTH, None)
        assert begun == [1, 2]
