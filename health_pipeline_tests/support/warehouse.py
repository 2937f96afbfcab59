"""Rows for the warehouse, and what it is held against."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pyarrow as pa
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from health_pipeline.days import DayRange
from health_pipeline.tables.catalogue import SCHEMA
from health_pipeline.tables.frames import as_arrow, as_frame
from health_pipeline.tables.sql import metadata
from health_pipeline.tables.tenant_health import USAGE_METRICS


def differences_to_declaration(connection: sa.Connection) -> list[Any]:
    """What Alembic would change to get from the database to the declared tables, comments included."""
    options = {
        "compare_type": True,
        "include_schemas": True,
        "version_table_schema": SCHEMA,
        "include_name": lambda name, kind, _: name == SCHEMA if kind == "schema" else True,
        "include_object": lambda _, name, kind, *__: kind != "table" or not re.search(r"_\d{4}_\d{2}$", name or ""),
    }
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata()))


def usage(mark: int, days: DayRange, tenants: int = 3) -> pa.Table:
    """Rows of usage_metrics that carry a mark in api_calls."""
    blank: dict[str, Any] = {c.name: None if c.nullable else 0 for c in USAGE_METRICS.columns}
    rows = [
        {**blank, "metric_date": day, "tenant_id": f"t{n}", "api_calls": mark} for day in days for n in range(tenants)
    ]
    return as_arrow(USAGE_METRICS, as_frame(USAGE_METRICS, pd.DataFrame(rows)))
