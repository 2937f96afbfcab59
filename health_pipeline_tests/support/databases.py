"""Plain access to PostgreSQL, apart from the package's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extras import RealDictCursor, execute_values

from health_pipeline.days import DayRange
from health_pipeline.tables.catalogue import SCHEMA, TABLES
from health_pipeline.warehouse.months import make_months
from health_pipeline_tests.support.compare import Rows, keyed


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A cursor in a transaction that commits at the end; rows are dictionaries, instants UTC."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
            cursor.execute("SET timezone = 'UTC'")
            yield cursor
    finally:
        connection.close()


def administer(url: str, *statements: str) -> None:
    """Run statements outside any transaction, as CREATE DATABASE wants it."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def execute(url: str, *statements: str) -> None:
    """Run the statements in one transaction."""
    with connected(url) as cursor:
        for statement in statements:
            cursor.execute(statement)


def query(url: str, statement: str, *parameters: Any) -> list[dict[str, Any]]:
    """The rows of a select."""
    with connected(url) as cursor:
        cursor.execute(statement, parameters or None)
        return [dict(row) for row in cursor.fetchall()]


def value(url: str, statement: str, *parameters: Any) -> Any:
    """The one value that a select gives."""
    ((only,),) = [tuple(row.values()) for row in query(url, statement, *parameters)]
    return only


def insert(url: str, table: str, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows, all with the same columns, to a table of the warehouse."""
    names = list(rows[0])
    if TABLES[table].is_by_month:
        days = [row["metric_date"] for row in rows]
        make_months(url, [TABLES[table]], DayRange(min(days), max(days)))
    with connected(url) as cursor:
        execute_values(
            cursor,
            f"INSERT INTO {SCHEMA}.{table} ({', '.join(names)}) VALUES %s",
            [[row[n] for n in names] for row in rows],
        )


def table_rows(url: str, table: str) -> Rows:
    """All rows of a declared warehouse table, by its key."""
    return keyed(table, query(url, f"SELECT * FROM {SCHEMA}.{table}"))


def all_rows(url: str, group: str) -> dict[str, Rows]:
    """All rows of all tables of a system."""
    return {name: table_rows(url, name) for name, table in TABLES.items() if table.group == group}
