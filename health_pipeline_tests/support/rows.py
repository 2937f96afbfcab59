"""Rows of warehouse tables for tests that fill them by hand."""

from __future__ import annotations

from datetime import date
from typing import Any

from health_pipeline.tables.catalogue import TABLES
from health_pipeline.tables.declare import Type
from health_pipeline_tests.support.databases import insert

_FILLERS: dict[Type, Any] = {
    Type.TEXT: "x",
    Type.INTEGER: 0,
    Type.BIGINT: 0,
    Type.FLOAT: 0.0,
    Type.BOOLEAN: False,
    Type.DATE: date(2024, 1, 1),
    Type.NUMERIC: 0,
}


def fill(url: str, table: str, *rows: dict[str, Any]) -> None:
    """Insert rows of which only the telling values are given; others are null where that is allowed."""
    blank = {c.name: None if c.nullable else _FILLERS.get(c.type) for c in TABLES[table].columns}
    insert(url, table, [{**blank, **row} for row in rows])
