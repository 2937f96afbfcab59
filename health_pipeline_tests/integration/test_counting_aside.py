"""What PostgreSQL counts itself beside the reading: in the same snapshot, with its bad rows, or afterwards where it can't."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import ibis
import ibis.expr.types as ir
import psycopg2
import pytest

from health_pipeline.days import Calendar, DayRange
from health_pipeline.metrics.assignments import daily_assignments
from health_pipeline.metrics.steps import Steps
from health_pipeline.sources import contract
from health_pipeline.sources.connect import connect
from health_pipeline.sources.counted import Aside, CountedRows, counts_aside, every_row
from health_pipeline.sources.mapping import Mapping
from health_pipeline.sources.postgres import PostgresConnector
from health_pipeline.sources.postgres_aside import PostgresAside
from health_pipeline.sources.reader import SourceReader
from health_pipeline_tests.support.databases import administer, execute, value
from health_pipeline_tests.support.small_sources import CLOCK, LEAST, PAST, Make, Readers

STEPS = Steps.of_totals(DayRange(PAST.date(), PAST.date()), 1)
KEY = "ALTER TABLE app.campaign_assignments ADD PRIMARY KEY (assignment_id)"
MADE = "2024-02-20 10:00:00+00"
ASSIGNMENTS = (
    "CREATE TABLE app.campaign_assignments (assignment_id text, campaign_id text, tenant_id text, assigned_at timestamptz,"
    " completed_at timestamptz)",
    f"INSERT INTO app.campaign_assignments SELECT 'a' || n, 'c', 't', '{MADE}', CASE WHEN n > 7 THEN timestamptz '{PAST}' END"
    " FROM generate_series(1, 20) AS n",
    "INSERT INTO app.campaign_assignments VALUES"
    f" ('unknown 1', 'c', 'x', '{MADE}', NULL), ('unknown 2', 'c', 'y', '{MADE}', NULL), ('nobody', 'c', '', '{MADE}', NULL),"
    f" ('undated', 'c', 't', NULL, NULL), ('future', 'c', 't', '2025-01-01', NULL), ('never', 'c', 't', 'infinity', NULL),"
    f" ('ever', 'c', 't', '-infinity', NULL), ('backwards', 'c', 't', '{PAST}', '{MADE}'),"
    f" ('endless', 'c', 't', '{MADE}', 'infinity'), ('of no campaign', '', 't', '{MADE}', NULL)",
)


def counted(rows: ir.Table, also: Sequence[str]) -> ir.Table:
    return daily_assignments(rows, Calendar(), STEPS, also)


def begun(reader: SourceReader, is_aside: bool) -> Callable[[], ir.Table | None]:
    table = contract.CAMPAIGN_ASSIGNMENTS
    reader.read(contract.TENANTS)
    asides = [Aside(every_row, counted)] if is_aside else []
    return CountedRows(reader, table, [], [], counted, is_little=True, asides=asides).begun()


def found(groups: ir.Table | None) -> list[tuple[Any, ...]]:
    assert groups is not None
    rows = groups.to_pyarrow().to_pylist()
    names = ("tenant_id", "assigned_day", "completed_day", "row_count")
    return sorted((tuple(row[name] for name in names) for row in rows), key=str)


def bad(reader: SourceReader) -> list[tuple[str | None, str, str]]:
    return sorted((row.row_key, row.reason, row.row) for row in reader.bad_rows[contract.CAMPAIGN_ASSIGNMENTS.name])


def test_the_same_groups_and_bad_rows_as_if_they_were_read(postgres: Make, reader: Readers) -> None:
    in_full = reader(postgres(*LEAST, *ASSIGNMENTS))
    assert not counts_aside(in_full, contract.CAMPAIGN_ASSIGNMENTS)
    expected = found(begun(in_full, is_aside=False)())
    assert [row[3] for row in expected] == [7, 13]
    assert len(bad(in_full)) == 10

    url = postgres(*LEAST, *ASSIGNMENTS, KEY)
    for is_aside in (True, False):
        other = reader(url)
        assert counts_aside(other, contract.CAMPAIGN_ASSIGNMENTS)
        assert found(begun(other, is_aside)()) == expected
        assert bad(other) == bad(in_full)
        assert other.rows_read == in_full.rows_read


@pytest.mark.parametrize(
    ("most_listed", "tenant"),
    # The query lists all good tenants; there are too many; a tenant named so that two others would be taken for good.
    [(2, "u"), (1, "u"), (2, f"unknown 1{chr(31)}x")],
)
def test_rows_of_very_many_unknown_tenants(
    most_listed: int, tenant: str, postgres: Make, reader: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("health_pipeline.sources.postgres._MOST_TEXTS_LISTED", most_listed)
    # At moments at which no row is bad for another reason.
    many = (
        "INSERT INTO app.campaign_assignments SELECT 'm' || n, 'c', 'unknown ' || n, "
        f"timestamptz '{MADE}' - make_interval(secs => n) FROM generate_series(1, 1500) AS n"
    )
    second = f"INSERT INTO app.tenants SELECT '{tenant}', name, created_at FROM app.tenants"
    source = reader(postgres(*LEAST, second, *ASSIGNMENTS, KEY, many))
    assert [row[3] for row in found(begun(source, is_aside=True)())] == [7, 13]
    assert len(bad(source)) == 1510


def test_what_is_counted_aside_is_of_the_same_snapshot(postgres: Make, reader: Readers) -> None:
    url = postgres(*LEAST, *ASSIGNMENTS, KEY)
    source = reader(url)
    source.check()
    execute(url, "DELETE FROM app.campaign_assignments")
    assert [row[3] for row in found(begun(source, is_aside=True)())] == [7, 13]


def test_a_source_that_allows_one_session(postgres: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres(*LEAST, *ASSIGNMENTS, KEY, "GRANT USAGE ON SCHEMA app TO PUBLIC")
    execute(url, "GRANT SELECT ON ALL TABLES IN SCHEMA app TO PUBLIC")
    administer(url, "CREATE ROLE lonely LOGIN CONNECTION LIMIT 1")
    begun_aside: list[object] = []
    begin = PostgresAside.begun

    def begun_now(*given: object, **hints: bool) -> object:
        begun_aside.append(begin(*given, **hints))
        return begun_aside[-1]

    monkeypatch.setattr(PostgresAside, "begun", begun_now)
    source = SourceReader(connect(urlunsplit(urlsplit(url)._replace(netloc="lonely@"))), Mapping(), CLOCK)
    try:
        for _ in range(2):
            assert [row[3] for row in found(begun(source, is_aside=True)())] == [7, 13]
        assert begun_aside == [None, None]
    finally:
        source.connector.close()
        administer(url, "DROP ROLE lonely")


def test_the_first_session_takes_what_waits_for_the_second(postgres: Make) -> None:
    url = postgres(*LEAST)
    with closing(PostgresConnector(url, 60, 600)) as connector, closing(psycopg2.connect(url)) as other:
        tenants, users = (
            ibis.table({"tenant_id": "string"}, name=name, database="app") for name in ("tenants", "users")
        )
        with other, other.cursor() as cursor:
            cursor.execute("LOCK TABLE app.tenants")
            locked, waiting = connector.load_aside(tenants), connector.load_aside(users)
            assert waiting().to_pyarrow().num_rows == value(url, "SELECT count(*) FROM app.users")
        assert locked().to_pyarrow().num_rows == value(url, "SELECT count(*) FROM app.tenants")


def test_how_the_server_is_asked_for_what_lies_in_a_stretch(postgres: Make) -> None:
    shown = "SELECT current_setting('enable_indexscan') AS rows, current_setting('effective_io_concurrency') AS ahead"
    url = postgres(*LEAST, f"CREATE VIEW app.asked AS {shown}")

    def asked() -> list[tuple[str, str]]:
        rows = ibis.table({"rows": "string", "ahead": "string"}, name="asked", database="app")
        with closing(PostgresConnector(url, 60, 600)) as connector:
            found = [
                connector.load(rows, is_stretch=True),
                connector.load(rows),
                connector.load_aside(rows, is_stretch=True)(),
                connector.load_aside(rows)(),
            ]
            return [tuple(table.to_pyarrow().to_pylist()[0].values()) for table in found]

    assert asked() == 2 * [("off", "0"), ("on", "0")]
    # Who knows the disk has set it.
    execute(url, f"ALTER DATABASE {value(url, 'SELECT current_database()')} SET effective_io_concurrency = 7")
    assert asked() == 2 * [("off", "7"), ("on", "7")]


def test_a_run_that_ends_gives_up_what_is_counted(postgres: Make) -> None:
    url = postgres(*LEAST)
    connector = PostgresConnector(url, 60, 600)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with closing(psycopg2.connect(url)) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE app.tenants")
        connector.load_aside(ibis.table({"tenant_id": "string"}, name="tenants", database="app"))
        wait_until(lambda: value(url, waiting) == 1)
        connector.close()
        wait_until(lambda: value(url, waiting) == 0)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
