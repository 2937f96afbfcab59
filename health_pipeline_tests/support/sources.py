"""Putting a source given as Python rows into PostgreSQL, a DuckDB file or a folder of Parquet files.

The tables have the contract's types, but neither keys nor NOT NULL: bad rows must get in.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
from psycopg2.extras import execute_values

from health_pipeline.sources.contract import SOURCE_TABLES, Kind
from health_pipeline_tests.reference.contract import Source

_TYPES = {
    Kind.TEXT: "text",
    Kind.INTEGER: "integer",
    Kind.NUMERIC: "numeric(14,2)",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.INSTANT: "timestamptz",
}


def _columns(name: str, rows: list[dict[str, Any]]) -> list[str]:
    """The columns of a table: those its rows have, or all where it has no rows."""
    return [c.name for c in SOURCE_TABLES[name].columns if not rows or any(c.name in row for row in rows)]


def _create(name: str, columns: list[str], table: str) -> str:
    typed = ", ".join(f'"{column}" {_TYPES[SOURCE_TABLES[name].column(column).kind]}' for column in columns)
    return f"CREATE TABLE {table} ({typed})"


def load_postgres(url: str, source: Source, schema: str = "app") -> None:
    """Replace the schema by the source's tables."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE; CREATE SCHEMA "{schema}"; SET timezone = \'UTC\'')
        for name, rows in source.items():
            columns = _columns(name, rows)
            cursor.execute(_create(name, columns, f'"{schema}"."{name}"'))
            names = ", ".join(f'"{column}"' for column in columns)
            types = [_TYPES[SOURCE_TABLES[name].column(column).kind] for column in columns]
            template = "(" + ", ".join(f"%s::{kind}" for kind in types) + ")"
            values = [[row.get(column) for column in columns] for row in rows]
            if values:
                execute_values(cursor, f'INSERT INTO "{schema}"."{name}" ({names}) VALUES %s', values, template, 1000)
    connection.close()


def _finite(value: Any) -> Any:
    """DuckDB's decimals know no NaN; a negative amount is as bad."""
    return -1 if isinstance(value, Decimal) and not value.is_finite() else value


def load_duckdb(path: Path, source: Source, schema: str = "app") -> None:
    """Write the source's tables into a new DuckDB file."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(f'SET TimeZone = \'UTC\'; CREATE SCHEMA "{schema}"')
        for name, rows in source.items():
            columns = _columns(name, rows)
            connection.execute(_create(name, columns, f'"{schema}"."{name}"'))
            if rows:
                marks = ", ".join(
                    f"CAST(? AS {_TYPES[SOURCE_TABLES[name].column(column).kind]})" for column in columns
                )
                connection.executemany(
                    f'INSERT INTO "{schema}"."{name}" VALUES ({marks})',
                    [[_finite(row.get(column)) for column in columns] for row in rows],
                )


def load_parquet(folder: Path, source: Source) -> None:
    """Write the source's tables as a folder of Parquet files each."""
    database = folder.with_suffix(".duckdb")
    load_duckdb(database, source)
    with duckdb.connect(str(database)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in source:
            (folder / name).mkdir(parents=True)
            connection.execute(f"COPY app.\"{name}\" TO '{folder / name / 'part-0.parquet'}' (FORMAT parquet)")
    database.unlink()
