"""From a declared table to its SQLAlchemy table, which the migrations are held against."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from health_pipeline.tables.catalogue import SCHEMA, TABLES
from health_pipeline.tables.declare import Column, Table, Type

_SQL: dict[Type, sa.types.TypeEngine[Any]] = {
    Type.TEXT: sa.Text(),
    Type.INTEGER: sa.Integer(),
    Type.BIGINT: sa.BigInteger(),
    Type.FLOAT: sa.Double(),
    Type.BOOLEAN: sa.Boolean(),
    Type.DATE: sa.Date(),
    Type.INSTANT: sa.DateTime(timezone=True),
    Type.NUMERIC: sa.Numeric(),
    Type.JSON: postgresql.JSONB(),
}


def metadata() -> sa.MetaData:
    """All declared tables with their comments, keys and indexes, in the warehouse's schema."""
    result = sa.MetaData(schema=SCHEMA)
    for table in TABLES.values():
        _sql_table(table, result)
    return result


def _sql_table(table: Table, result: sa.MetaData) -> sa.Table:
    columns = [
        sa.Column(column.name, _SQL[column.type], nullable=column.nullable, comment=column_comment(column))
        for column in table.columns
    ]
    key = sa.PrimaryKeyConstraint(*table.key, name=f"{table.name}_pkey")
    indexes = [sa.Index(f"{table.name}_{'_'.join(columns)}", *columns) for columns in table.indexes]
    by = f"RANGE ({table.key[0]})" if table.is_by_month else None
    return sa.Table(table.name, result, *columns, key, *indexes, comment=table.grain, postgresql_partition_by=by)


def column_comment(column: Column) -> str:
    """What the column says, with its unit."""
    return f"{column.description} [{column.unit}]" if column.unit else column.description
