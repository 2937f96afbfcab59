"""Small sources from SQL statements, and what reading them gives."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from health_pipeline.errors import SourceError, UserError
from health_pipeline.sources.contract import SourceTable
from health_pipeline.sources.reader import SourceReader

CLOCK = datetime(2024, 3, 20, tzinfo=UTC)
PAST = datetime(2024, 3, 1, 12, 30, 0, 123_456, tzinfo=UTC)

# The least that a source must have: no optional column, no optional table.
LEAST = (
    "CREATE SCHEMA app",
    "CREATE TABLE app.tenants (tenant_id text, name text, created_at timestamptz)",
    "CREATE TABLE app.users (user_id text, tenant_id text, created_at timestamptz)",
    "CREATE TABLE app.events (tenant_id text, user_id text, event_type text, occurred_at timestamptz)",
    f"INSERT INTO app.tenants VALUES ('t', 'T', '{PAST}')",
    f"INSERT INTO app.users VALUES ('u', 't', '{PAST}')",
    f"INSERT INTO app.events VALUES ('t', 'u', 'login', '{PAST}')",
)

Readers = Callable[..., SourceReader]
Make = Callable[..., str]


def rows(reader: SourceReader, table: SourceTable) -> list[dict[str, Any]]:
    """The good rows of a table, by its key."""
    found = reader.read(table)
    assert found is not None
    return sorted(found.to_pyarrow().to_pylist(), key=lambda row: [str(row[name]) for name in table.key])


def refusal(action: Callable[[], object], error: type[UserError] = SourceError) -> str:
    """The message of a refusal: one line."""
    with pytest.raises(error) as raised:
        action()
    assert "\n" not in str(raised.value)
    return str(raised.value)
