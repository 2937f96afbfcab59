"""Sources as companies have them: other types, lacking tables, locks and wrong passwords."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from health_pipeline.sources import contract
from health_pipeline.sources.contract import SOURCE_TABLES
from health_pipeline_tests.conftest import NewDatabase
from health_pipeline_tests.support.small_sources import LEAST, PAST, Make, Readers, refusal, rows
from health_pipeline_tests.support.sources import SOURCE_KINDS, load_source

NAIVE = PAST.replace(tzinfo=None)


def test_the_least_that_a_source_must_have(made: Make, reader: Readers) -> None:
    least = reader(made(*LEAST))
    least.check()
    assert [name for name, table in SOURCE_TABLES.items() if least.is_mapped(table)] == ["tenants", "users", "events"]
    assert least.read(contract.CASES) is None
    (tenant,) = rows(least, contract.TENANTS)
    unmapped = dict.fromkeys(c.name for c in contract.TENANTS.columns if not c.required)
    assert tenant == {"tenant_id": "t", "name": "T", "created_at": NAIVE, **unmapped}
    (event,) = rows(least, contract.EVENTS)
    assert (event["event_type"], event["occurred_at"], event["event_id"]) == ("login", NAIVE, None)
    assert not least.bad_rows


def test_a_missing_required_table(made: Make, reader: Readers) -> None:
    message = refusal(reader(made(*LEAST, "DROP TABLE app.users")).check)
    assert "source table users" in message
    assert "app.users" in message
    assert "no such table" in message


def test_a_missing_schema(made: Make, reader: Readers) -> None:
    assert "other.tenants" in refusal(reader(made(*LEAST), schema="other").check)


def test_a_missing_required_column(made: Make, reader: Readers) -> None:
    message = refusal(reader(made(*LEAST, "ALTER TABLE app.events RENAME occurred_at TO moment")).check)
    assert "source table events: column occurred_at was looked for as 'occurred_at' in app.events" in message
    assert "which has tenant_id, user_id, event_type, moment" in message


def test_a_missing_column_of_an_optional_table_that_is_there(made: Make, reader: Readers) -> None:
    cases = "CREATE TABLE app.cases (case_id text, tenant_id text, created_at timestamptz)"
    assert "source table cases: column closed_at" in refusal(reader(made(*LEAST, cases)).check)


@pytest.mark.parametrize(
    ("table", "column", "change", "expected"),
    [
        ("users", "created_at", "date", "must be a timestamp"),
        ("users", "created_at", "text", "must be a timestamp"),
        ("users", "user_id", "boolean", "must be text, a uuid or an integer"),
        ("users", "user_id", "numeric(9,2)", "must be text, a uuid or an integer"),
        ("tenants", "employee_count", "text", "must be an integer"),
        ("tenants", "employee_count", "double precision", "must be an integer"),
        ("tenants", "renewal_date", "timestamptz", "must be a date"),
        ("users", "insights_opt_in", "integer", "must be a boolean"),
        ("tenants", "name", "bytea", "must be text"),
    ],
)
def test_a_column_of_an_unusable_type(
    made: Make, reader: Readers, table: str, column: str, change: str, expected: str
) -> None:
    statements = [
        f"ALTER TABLE app.{table} DROP COLUMN IF EXISTS {column}",
        f"ALTER TABLE app.{table} ADD {column} {change}",
    ]
    message = refusal(reader(made(*LEAST, *statements)).check)
    assert f"source table {table}: column {column} {expected}" in message
    assert f"'{column}' in app.{table} is " in message


@pytest.mark.parametrize("kind", SOURCE_KINDS)
def test_an_unmapped_table_is_not_there_though_it_exists(
    kind: str, reader: Readers, new_database: NewDatabase, tmp_path: Path
) -> None:
    row = {"tenant_id": "t", "created_at": PAST}
    source = {
        "tenants": [{**row, "name": "T"}],
        "users": [],
        "events": [],
        "support_tickets": [{"ticket_id": "1", "tenant_id": "t", "opened_at": PAST}],
    }
    url = load_source(kind, source, tmp_path, new_database)
    assert [row["ticket_id"] for row in rows(reader(url), contract.SUPPORT_TICKETS)] == ["1"]
    assert reader(url, tables={"support_tickets": None}).read(contract.SUPPORT_TICKETS) is None
    assert rows(reader(url), contract.USERS) == []


def test_names_of_their_own_and_selects(made: Make, reader: Readers) -> None:
    url = made(
        "CREATE SCHEMA crm",
        'CREATE TABLE crm."Accounts" (id integer, "Display name" text, since timestamp)',
        f"INSERT INTO crm.\"Accounts\" VALUES (1, 'One', '{NAIVE}'), (2, 'Two', '{NAIVE}')",
        "CREATE TABLE crm.people (id integer, account integer, since timestamp)",
        f"INSERT INTO crm.people VALUES (7, 1, '{NAIVE}')",
        "CREATE TABLE crm.log (account integer, person integer, what text, moment timestamp)",
        f"INSERT INTO crm.log VALUES (1, 7, 'signed in', '{NAIVE}'), (2, 7, 'bought', '{NAIVE}')",
    )
    people = {"table": "people", "columns": {"user_id": "id", "tenant_id": "account", "created_at": "since"}}
    events = "SELECT account AS tenant_id, person AS user_id, 'login' AS event_type, moment FROM crm.log WHERE what = 'signed in';"
    tenants = {"tenant_id": "id", "name": "Display name", "created_at": "since"}
    mapped = reader(
        url,
        schema="crm",
        tables={
            "tenants": {"table": "Accounts", "columns": tenants},
            "users": people,
            "events": {"sql": events, "columns": {"occurred_at": "moment"}},
        },
    )
    mapped.check()
    assert [(row["tenant_id"], row["name"]) for row in rows(mapped, contract.TENANTS)] == [("1", "One"), ("2", "Two")]
    assert [(row["user_id"], row["tenant_id"]) for row in rows(mapped, contract.USERS)] == [("7", "1")]
    (event,) = rows(mapped, contract.EVENTS)
    assert (event["tenant_id"], event["event_type"], event["occurred_at"]) == ("1", "login", NAIVE)
    assert not mapped.bad_rows


def test_a_select_that_cant_run(made: Make, reader: Readers) -> None:
    mapping = {"events": {"sql": "SELECT * FROM app.evnts"}}
    message = refusal(lambda: reader(made(*LEAST), tables=mapping).check())
    assert message.startswith("source table events: its select (sql) can't be read: ")
    assert "evnts" in message


def test_a_table_that_the_mapping_names_must_be_there(made: Make, reader: Readers) -> None:
    message = refusal(lambda: reader(made(*LEAST), tables={"cases": {"table": "tickets"}}).check())
    assert "source table cases: was looked for as app.tickets" in message


def test_ids_of_every_kind(postgres: Make, reader: Readers) -> None:
    url = postgres(
        "CREATE SCHEMA app",
        "CREATE TYPE app.kind AS ENUM ('login', 'api_call')",
        "CREATE DOMAIN app.key AS varchar(20)",
        "CREATE TABLE app.tenants (tenant_id uuid PRIMARY KEY, name varchar(9), slug char(6), created_at timestamptz(3))",
        "CREATE TABLE app.users (user_id bigint PRIMARY KEY, tenant_id uuid, created_at timestamp)",
        "CREATE TABLE app.events (event_id app.key, tenant_id uuid, user_id smallint, event_type app.kind,"
        " occurred_at timestamptz)",
        f"INSERT INTO app.tenants VALUES ('A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'T', 'ab', '{PAST}')",
        f"INSERT INTO app.users SELECT 7, tenant_id, '{NAIVE}' FROM app.tenants",
        f"INSERT INTO app.events SELECT 'e1', tenant_id, 7, 'api_call', '{PAST}' FROM app.tenants",
    )
    found = reader(url)
    found.check()
    tenant_id = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    (tenant,) = rows(found, contract.TENANTS)
    assert (tenant["tenant_id"], tenant["name"], tenant["slug"]) == (tenant_id, "T", "ab")
    assert tenant["created_at"] == NAIVE.replace(microsecond=123_000)
    (user,) = rows(found, contract.USERS)
    assert (user["user_id"], user["tenant_id"], user["created_at"]) == ("7", tenant_id, NAIVE)
    (event,) = rows(found, contract.EVENTS)
    assert (event["event_id"], event["tenant_id"], event["user_id"]) == ("e1", tenant_id, "7")
    assert event["event_type"] == "api_call"
    assert not found.bad_rows


def test_a_window_of_a_source_with_ids_of_every_kind(made: Make, reader: Readers) -> None:
    """Predicates see ids as text and instants as they are, with a zone or without."""
    url = made(
        *LEAST[:3],
        "CREATE TABLE app.events (event_id integer, tenant_id text, user_id integer, event_type text, occurred_at timestamp)",
        f"INSERT INTO app.tenants VALUES ('t', 'T', '{PAST}')",
        *(
            f"INSERT INTO app.events VALUES ({n}, 't', {n}, 'login', '{NAIVE + timedelta(microseconds=n)}')"
            for n in range(5)
        ),
        f"INSERT INTO app.events VALUES (2, 't', 9, 'login', '{NAIVE - timedelta(days=300)}')",
    )
    found = reader(url)
    events = found.read(
        contract.EVENTS,
        parts=[
            lambda t: (t.user_id == "1") & (t.occurred_at < NAIVE + timedelta(seconds=1)),
            lambda t: (t.user_id != "1") & (t.occurred_at >= NAIVE + timedelta(microseconds=2)),
        ],
    )
    assert events is not None
    # The other event 2 lies outside both parts, and yet it is the one that stays.
    kept = sorted((row["event_id"], row["user_id"]) for row in events.to_pyarrow().to_pylist())
    assert kept == [("1", "1"), ("2", "9"), ("3", "3"), ("4", "4")]
    assert [(row.row_key, row.reason[:14]) for row in found.bad_rows["events"]] == [("2", "duplicated key")]


def test_empty_text_in_an_optional_column_reads_as_null(made: Make, reader: Readers) -> None:
    url = made(
        *LEAST,
        "ALTER TABLE app.tenants ADD slug text",
        "ALTER TABLE app.users ADD name text",
        "ALTER TABLE app.events ADD feature_key text",
        "UPDATE app.tenants SET slug = '', name = ''",
        "UPDATE app.users SET name = ' '",
        "UPDATE app.events SET feature_key = ''",
    )
    found = reader(url)
    assert [(row["name"], row["slug"]) for row in rows(found, contract.TENANTS)] == [("", None)]
    assert [row["name"] for row in rows(found, contract.USERS)] == [" "]
    assert [row["feature_key"] for row in rows(found, contract.EVENTS)] == [None]
    assert not found.bad_rows


def test_infinite_and_far_away_timestamps(made: Make, reader: Readers) -> None:
    values = {
        "good": f"'{PAST}', NULL",
        "ends never": f"'{PAST}', 'infinity'",
        "ended always": f"'{PAST}', '-infinity'",
        "began always": "'-infinity', NULL",
        "begins never": "'infinity', NULL",
        "far away": f"'{PAST}', '9999-12-31 23:59:58+00'",
        "long ago": "'0001-01-01 00:00:01+00', NULL",
    }
    url = made(
        *LEAST,
        "ALTER TABLE app.users ADD deactivated_at timestamptz",
        *(f"INSERT INTO app.users VALUES ('{name}', 't', {pair})" for name, pair in values.items()),
    )
    found = reader(url)
    assert [row["user_id"] for row in rows(found, contract.USERS)] == ["far away", "good", "long ago", "u"]
    assert {row.row_key: row.reason for row in found.bad_rows["users"]} == {
        "ends never": "deactivated_at is infinite",
        "ended always": "deactivated_at is before created_at",
        "began always": "created_at is infinite",
        "begins never": "created_at is after the run's clock",
    }


def test_an_infinite_date_reads_as_null(made: Make, reader: Readers) -> None:
    url = made(
        *LEAST, "ALTER TABLE app.tenants ADD renewal_date date", "UPDATE app.tenants SET renewal_date = 'infinity'"
    )
    assert [row["renewal_date"] for row in rows(reader(url), contract.TENANTS)] == [None]


ORDERS = (
    "CREATE TABLE app.orders (order_id text, tenant_id text, customer_id text, ordered_at timestamptz,"
    " delivered_at timestamptz, total_amount {kind})"
)


def order(order_id: str, amount: str) -> str:
    return f"INSERT INTO app.orders VALUES ('{order_id}', 't', 'c', '{PAST}', NULL, {amount})"


@pytest.mark.parametrize("kind", ["numeric", "numeric(14,2)", "double precision", "real", "bigint"])
def test_amounts_of_every_numeric_type(made: Make, reader: Readers, kind: str) -> None:
    amounts = {"zero": "0", "some": "12", "less": "-1", "none": "NULL"} | ({} if kind == "bigint" else {"part": "0.25"})
    found = reader(made(*LEAST, ORDERS.format(kind=kind), *(order(name, amount) for name, amount in amounts.items())))
    good = {row["order_id"]: row["total_amount"] for row in rows(found, contract.ORDERS)}
    expected = {name: None if text == "NULL" else Decimal(text) for name, text in amounts.items() if name != "less"}
    assert {name: None if text is None else Decimal(text) for name, text in good.items()} == expected
    assert [(row.row_key, row.reason) for row in found.bad_rows["orders"]] == [("less", "total_amount is negative")]


def test_amounts_that_are_no_numbers(postgres: Make, reader: Readers) -> None:
    url = postgres(
        *LEAST,
        ORDERS.format(kind="numeric"),
        *(
            order(amount, f"'{amount}'")
            for amount in ("NaN", "Infinity", "-Infinity", "-0.000001", "123456789012345678901234567890.123456")
        ),
    )
    found = reader(url)
    assert [row["total_amount"] for row in rows(found, contract.ORDERS)] == ["123456789012345678901234567890.123456"]
    reasons = {row.row_key: row.reason for row in found.bad_rows["orders"]}
    assert reasons.keys() == {"NaN", "Infinity", "-Infinity", "-0.000001"}
    assert (reasons["NaN"], reasons["-0.000001"]) == ("total_amount is not a number", "total_amount is negative")


def write_lake(folder: Path, files: dict[str, dict[str, Any]]) -> str:
    """Write Parquet files by their path in the folder; returns the source's URL."""
    for name, columns in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), folder / name)
    return f"parquet://{folder}"


def lake_of(created_at: pa.Array) -> dict[str, dict[str, Any]]:
    """The least that a source must have, as Parquet files."""
    return {
        "tenants/a.parquet": {"tenant_id": ["t"], "name": ["T"], "created_at": created_at},
        "users/a.parquet": {"user_id": ["u"], "tenant_id": ["t"], "created_at": created_at},
        "events/a.parquet": {"tenant_id": ["t"], "user_id": ["u"], "event_type": ["login"], "occurred_at": created_at},
    }


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Kolkata"])
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_parquet_with_instants_of_every_unit(tmp_path: Path, reader: Readers, unit: str, zone: str | None) -> None:
    """pandas writes nanoseconds where nobody says otherwise."""
    seen = PAST.replace(microsecond=123_000)
    kind = pa.timestamp(unit, zone)
    found = reader(
        write_lake(tmp_path / "lake", lake_of(pa.array([seen if zone else seen.replace(tzinfo=None)], kind)))
    )
    found.check()
    assert [row["created_at"] for row in rows(found, contract.TENANTS)] == [seen.replace(tzinfo=None)]
    window = [lambda t: t.occurred_at >= NAIVE - timedelta(hours=1)] if zone is None else []
    events = found.read(contract.EVENTS, parts=window)
    assert events is not None
    assert [row["occurred_at"] for row in events.to_pyarrow().to_pylist()] == [seen.replace(tzinfo=None)]
    assert not found.bad_rows


def test_parquet_as_other_programs_write_it(tmp_path: Path, reader: Readers) -> None:
    """Several files, dictionaries, large strings, numbers as ids, and columns that only some files have."""
    naive = pa.array([NAIVE], pa.timestamp("us"))
    files = lake_of(naive) | {
        "tenants/a.parquet": {
            "tenant_id": pa.array([1], pa.int16()),
            "name": pa.array(["T"]).dictionary_encode(),
            "created_at": naive,
        },
        "tenants/deep/b.parquet": {
            "created_at": naive,
            "name": pa.array(["U"], pa.large_string()),
            "tenant_id": pa.array([2], pa.int16()),
            "renewal_date": pa.array([date(2024, 5, 1)]),
        },
        "users/a.parquet": {"user_id": ["u"], "tenant_id": ["1"], "created_at": naive},
    }
    url = write_lake(tmp_path / "lake", files)
    (tmp_path / "lake" / "_delta_log").mkdir()
    found = reader(url)
    found.check()
    tenants = [(row["tenant_id"], row["name"], row["renewal_date"]) for row in rows(found, contract.TENANTS)]
    assert tenants == [("1", "T", None), ("2", "U", date(2024, 5, 1))]
    assert [(row["user_id"], row["tenant_id"]) for row in rows(found, contract.USERS)] == [("u", "1")]
