"""The data in PostgreSQL: the contract's tables and indexes, filled by COPY once per server."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.dataset as ds
from adbc_driver_postgresql import dbapi

from benchmarks.data.files import parquet_folder
from benchmarks.data.sizes import Dataset
from benchmarks.databases import execute, exists, recreate, rename, url_of
from health_pipeline.demo.contract import DDL, SCHEMAS
from health_pipeline.sources.contract import SOURCE_TABLES, Role, SourceTable

_ALIVE = "of an application that goes on"
_UNIQUE_EVENTS = "CREATE UNIQUE INDEX IF NOT EXISTS events_event_id ON app.events (event_id)"


def loaded_database(server_url: str, dataset: Dataset, cache: Path, *, has_unique_events: bool) -> str:
    """The URL of the database with the data in its schema app, which is made now if it isn't there.

    has_unique_events: whether a unique index guarantees that no event comes twice; without one, a run looks for itself.
    """
    name = f"bench_{dataset.name}"
    if not exists(server_url, name):
        unfinished = f"{name}_unfinished"
        _load(recreate(server_url, unfinished), parquet_folder(dataset, cache))
        rename(server_url, unfinished, name)
    url = url_of(server_url, name)
    execute(url, _UNIQUE_EVENTS if has_unique_events else "DROP INDEX IF EXISTS app.events_event_id")
    for table in SOURCE_TABLES.values():
        _go_on(url, table)
    return url


def _go_on(url: str, table: SourceTable) -> None:
    """One fact of an hour ago, after all days: an application that has stopped is looked at more closely by every run."""
    number = next(name for name in reversed(table.key) if name != table.creation)
    changed = {number: _ALIVE} | dict.fromkeys(column.name for column in table.with_role(Role.END))
    then = f"jsonb_build_object('{table.creation}', now() - interval '1 hour')"
    execute(url, f"DELETE FROM app.{table.name} WHERE {number} = '{_ALIVE}'")
    execute(
        url,
        f"INSERT INTO app.{table.name} SELECT (jsonb_populate_record(NULL::app.{table.name},"
        f" to_jsonb(newest) || %s::jsonb || {then})).*"
        f" FROM (SELECT * FROM app.{table.name} ORDER BY {table.creation} DESC NULLS LAST LIMIT 1) AS newest",
        [json.dumps(changed)],
    )


def _load(url: str, folder: Path) -> None:
    statements = DDL.strip().removesuffix(";").split(";\n")
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA app")
        cursor.execute("SET LOCAL search_path TO app")
        for statement in statements:
            if "CREATE INDEX" not in statement:
                cursor.execute(statement)
        for table in sorted(folder.iterdir()):
            rows = ds.dataset(table, schema=SCHEMAS[table.name], format="parquet").scanner().to_reader()
            cursor.adbc_ingest(table.name, rows, mode="append", db_schema_name="app")
        # Indexes are built once the rows are there, which is several times quicker.
        for statement in statements:
            if "CREATE INDEX" in statement:
                cursor.execute(statement)
        connection.commit()
    # As autovacuum leaves tables that have been there for a while.
    execute(url, "VACUUM (ANALYZE)")
