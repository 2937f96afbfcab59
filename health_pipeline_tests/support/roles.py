"""Logins on the test server, and a warehouse with rows of two tenants in every table."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2

from health_pipeline.days import DayRange
from health_pipeline.tables.catalogue import SCHEMA, TABLES
from health_pipeline.tables.declare import Column, Table, Type
from health_pipeline.tables.tenant_health import PEER_BENCHMARKS
from health_pipeline.warehouse.months import make_months
from health_pipeline_tests.support.databases import administer, insert

OURS, THEIRS = "ours", "theirs"
ADDRESSES_AT = "people.example"
# So many that every risk status comes, and that they lie in two months.
DAYS = DayRange(date(2024, 2, 28), date(2024, 3, 2))
# What `migrate` writes itself.
OF_MIGRATE = ("view_definitions", "role_definitions")


@contextmanager
def logins(url: str, **roles: str) -> Iterator[None]:
    """Logins on the server while it lasts, by name: members of a role, or with attributes."""
    for name, options in roles.items():
        administer(url, f"CREATE ROLE {name} LOGIN {options}")
    yield
    for name in roles:
        administer(url, f"DROP ROLE {name}")


def as_login(url: str, login: str) -> str:
    """The URL of the same database for another login."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}"))


def attempt(url: str, *statements: str) -> str:
    """All that a session of these statements gets to see: the last one's rows, what is copied out, notices and errors.

    Nothing of what it does stays.
    """
    connection = psycopg2.connect(url)
    seen: list[str] = []
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                if statement.startswith("COPY"):
                    copied = io.StringIO()
                    cursor.copy_expert(statement, copied)
                    seen.append(copied.getvalue())
                else:
                    cursor.execute(statement)
            if cursor.description is not None:
                seen += [str(row) for row in cursor.fetchall()]
    except psycopg2.Error as error:
        seen.append(f"{type(error).__name__}: {error}")
    finally:
        seen += connection.notices
        connection.close()
    return "\n".join(seen)


def fill_everything(url: str) -> None:
    """Rows of both tenants in every table, all of them with the tenant's name in a text; benchmarks, which are of nobody."""
    make_months(url, list(TABLES.values()), DAYS)
    for table in TABLES.values():
        if table.name not in OF_MIGRATE:
            is_of_tenants = table is not PEER_BENCHMARKS and table.key != ("metric_date",)
            tenants = (OURS, THEIRS) if is_of_tenants else ("all",)
            insert(url, table.name, [_row(table, tenant, day) for tenant in tenants for day in _days(table)])
    administer(url, "ANALYZE")


def _days(table: Table) -> list[date]:
    has_day = any(column.type is Type.DATE for column in table.columns if column.name in table.key)
    return list(DAYS) if has_day else [DAYS.last]


def _row(table: Table, tenant: str, day: date) -> dict[str, Any]:
    return {column.name: _value(column, tenant, day) for column in table.columns}


def _value(column: Column, tenant: str, day: date) -> Any:
    if column.has_addresses:
        address = f"{tenant}@{ADDRESSES_AT}"
        return json.dumps({"email": address}) if column.type is Type.JSON else address
    if column.one_of is not None:
        return column.one_of[day.toordinal() % len(column.one_of)]
    values = {
        Type.TEXT: tenant if column.name == "tenant_id" else f"{column.name} of {tenant}",
        Type.DATE: day,
        Type.INSTANT: datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=1),
        Type.BOOLEAN: False,
        Type.JSON: json.dumps({"of": tenant}),
    }
    return values.get(column.type, len(tenant))


def relations(kinds: str) -> str:
    """A select of the names of the schema's relations of these kinds, such as 'rpv'."""
    return (
        f"SELECT relname AS name, relispartition AS is_month FROM pg_class WHERE relnamespace = '{SCHEMA}'::regnamespace"
        f" AND position(relkind::text in '{kinds}') > 0 ORDER BY 1"
    )
