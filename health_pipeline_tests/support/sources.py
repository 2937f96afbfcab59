"""Putting a source given as Python rows into PostgreSQL, a DuckDB file or a folder of Parquet files.

The tables have the contract's types, but neither keys nor NOT NULL: bad rows must get in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
from psycopg2.extras import execute_values

from health_pipeline.sources.contract import SOURCE_TABLES, Kind
from health_pipeline_tests.reference.contract import Source

SOURCE_KINDS = ("postgresql", "duckdb", "parquet")

TYPES = {
    Kind.TEXT: "text",
    Kind.INTEGER: "integer",
    Kind.NUMERIC: "numeric(14,2)",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.INSTANT: "timestamptz",
}


def load_source(
    kind: str, source: Source, folder: Path, new_database: Callable[[], str], types: Mapping[Kind, str] = TYPES
) -> str:
    """Put the source into a new place of the kind, in columns of these types; returns its HEALTH_SOURCE_URL."""
    match kind:
        case "postgresql":
            url = new_database()
            load_postgres(url, source, types=types)
        case "duckdb":
            load_duckdb(folder / "source.duckdb", source, types=types)
            url = f"duckdb://{folder / 'source.duckdb'}"
        case "parquet":
            load_parquet(folder / "source", source, types)
            url = f"parquet://{folder / 'source'}"
        case _:
            raise ValueError(kind)
    return url


def _columns(name: str, rows: list[dict[str, Any]]) -> list[str]:
    """The columns of a table: those its rows have, or all where it has no rows."""
    return [c.name for c in SOURCE_TABLES[name].columns if not rows or any(c.name in row for row in rows)]


def _types(name: str, columns: list[str], types: Mapping[Kind, str]) -> list[str]:
    return [types[SOURCE_TABLES[name].column(column).kind] for column in columns]


def _create(name: str, columns: list[str], table: str, types: Mapping[Kind, str]) -> str:
    typed = ", ".join(f'"{column}" {kind}' for column, kind in zip(columns, _types(name, columns, types), strict=True))
    return f"CREATE TABLE {table} ({typed})"


def load_postgres(url: str, source: Source, schema: str = "app", types: Mapping[Kind, str] = TYPES) -> None:
    """Replace the schema by the source's tables."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE; CREATE SCHEMA "{schema}"; SET timezone = \'UTC\'')
        for name, rows in source.items():
            columns = _columns(name, rows)
            cursor.execute(_create(name, columns, f'"{schema}"."{name}"', types))
            names = ", ".join(f'"{column}"' for column in columns)
            template = "(" + ", ".join(f"%s::{kind}" for kind in _types(name, columns, types)) + ")"
            values = [[row.get(column) for column in columns] for row in rows]
            if values:
                execute_values(cursor, f'INSERT INTO "{schema}"."{name}" ({names}) VALUES %s', values, template, 1000)
    connection.close()


def _text(value: Any) -> str | None:
    """A value as text that DuckDB casts to its type; its decimals know no NaN, and a negative amount is as bad."""
    if isinstance(value, Decimal) and not value.is_finite():
        return "-1"
    return value.isoformat() if isinstance(value, (datetime, date)) else None if value is None else str(value)


def load_duckdb(path: Path, source: Source, schema: str = "app", types: Mapping[Kind, str] = TYPES) -> None:
    """Write the source's tables into a new DuckDB file."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"SET TimeZone = 'UTC'; CREATE SCHEMA \"{schema}\"")
        for name, rows in source.items():
            columns = _columns(name, rows)
            connection.execute(_create(name, columns, f'"{schema}"."{name}"', types))
            texts = pa.table({c: pa.array([_text(row.get(c)) for row in rows], pa.string()) for c in columns})
            connection.register("texts", texts)
            typed = zip(columns, _types(name, columns, types), strict=True)
            casts = ", ".join(f'CAST("{column}" AS {kind})' for column, kind in typed)
            connection.execute(f'INSERT INTO "{schema}"."{name}" SELECT {casts} FROM texts')
            connection.unregister("texts")


def load_parquet(folder: Path, source: Source, types: Mapping[Kind, str] = TYPES) -> None:
    """Write the source's tables as a folder of Parquet files each."""
    database = folder.with_suffix(".duckdb")
    load_duckdb(database, source, types=types)
    with duckdb.connect(str(database)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name in source:
            (folder / name).mkdir(parents=True)
            connection.execute(f"COPY app.\"{name}\" TO '{folder / name / 'part-0.parquet'}' (FORMAT parquet)")
    database.unlink()
