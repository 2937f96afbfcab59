"""Loading the demo application's tables into PostgreSQL."""

from collections.abc import Callable

import pyarrow as pa
from adbc_driver_postgresql import dbapi

from health_pipeline.demo.contract import DDL


def load(
    url: str,
    tables: dict[str, pa.Table],
    schema: str = "app",
    progress: Callable[[str, int], None] | None = None,
) -> None:
    """Replace `schema` of the database at `url` by the twelve tables of the source contract, filled with `tables`.

    All of it is one transaction: a failure leaves the old schema as it was.
    `progress` hears the name and the number of rows of each table that has been loaded. Raises the driver's errors.
    """
    quoted = '"' + schema.replace('"', '""') + '"'
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {quoted} CASCADE")
        cursor.execute(f"CREATE SCHEMA {quoted}")
        cursor.execute(f"SET LOCAL search_path TO {quoted}")
        for statement in DDL.strip().split(";\n"):
            cursor.execute(statement)
        for name, table in tables.items():
            cursor.adbc_ingest(name, table, mode="append", db_schema_name=schema)
            if progress is not None:
                progress(name, table.num_rows)
        connection.commit()
