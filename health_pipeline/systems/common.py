"""What the systems share: a run for one tenant, and what any run found out about its source."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import ibis.expr.types as ir

from health_pipeline.errors import SettingError
from health_pipeline.sources import contract
from health_pipeline.sources.logical import Predicate, at
from health_pipeline.sources.reader import SourceReader

ROWS_PER_BATCH = 500_000


@dataclass(frozen=True)
class ReadFacts:
    """What a run found out about its source: counts by table, and the logical tables that are not mapped."""

    rows_read: dict[str, int]
    bad_rows: dict[str, int]
    unmapped_tables: list[str]

    @classmethod
    def of(cls, reader: SourceReader, **more: Any) -> Self:
        """The facts of what was read so far; more: the fields that a system adds."""
        return cls(
            rows_read=dict(reader.rows_read),
            bad_rows={name: len(rows) for name, rows in reader.bad_rows.items()},
            unmapped_tables=[table.name for table in contract.SOURCE_TABLES.values() if not reader.is_mapped(table)],
            **more,
        )


def impossible_events(clock: datetime, end: datetime) -> list[Predicate]:
    """Parts of the events that can only be bad, beside those before `end`: after the run's clock, infinite, or undated."""

    def after_clock(rows: ir.Table) -> ir.BooleanValue:
        when = rows.occurred_at
        return (when > at(when, clock)) & (when >= at(when, end))

    def undated(rows: ir.Table) -> ir.BooleanValue:
        when = rows.occurred_at
        return when.isnull() | (when < at(when, datetime.fromisoformat(contract.EARLIEST_INSTANT)))

    return [after_clock, undated]


def tenant_named(reader: SourceReader, name: str) -> str:
    """The tenant_id of the tenant with this id or, failing that, slug. Raises SettingError if there is none."""
    tenants = reader.read(contract.TENANTS)
    assert tenants is not None
    known = tenants.select("tenant_id", "slug").to_pyarrow().to_pylist()
    for row in sorted(known, key=lambda row: row["tenant_id"] != name):
        if name in (row["tenant_id"], row["slug"]):
            return str(row["tenant_id"])
    raise SettingError(f"--tenant {name}: no tenant of the source has this tenant_id or slug")
