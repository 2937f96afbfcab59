"""What the systems share: a run for one tenant, and what any run found out about its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import ibis.expr.types as ir

from health_pipeline.days import DayRange, at
from health_pipeline.errors import InvalidResult, SettingError, TooManyBadRows
from health_pipeline.metrics.freshness import Freshness
from health_pipeline.sources import contract
from health_pipeline.sources.bad_rows import MIN_BAD_ROWS_TO_FAIL
from health_pipeline.sources.logical import Predicate
from health_pipeline.sources.reader import SourceReader
from health_pipeline.systems.context import RunContext
from health_pipeline.tables.declare import Table
from health_pipeline.warehouse.writer import Writer, writing

ROWS_PER_BATCH = 200_000


@dataclass(frozen=True)
class ReadFacts:
    """What a run found out about its source: counts by table, and the logical tables that are not mapped."""

    rows_read: dict[str, int]
    bad_rows: dict[str, int]
    unmapped_tables: list[str]
    freshness: dict[str, Freshness]

    @classmethod
    def of(cls, reader: SourceReader, **more: Any) -> Self:
        """The facts of what was read so far; more: the fields that a system adds."""
        return cls(
            rows_read=dict(reader.rows_read),
            bad_rows={name: len(rows) for name, rows in reader.bad_rows.items()},
            unmapped_tables=[table.name for table in contract.SOURCE_TABLES.values() if not reader.is_mapped(table)],
            freshness=reader.freshness(),
            **more,
        )


@contextmanager
def writing_system(
    context: RunContext, system: str, tables: Sequence[Table], days: DayRange, facts: ReadFacts, tenant_id: str | None
) -> Iterator[Writer]:
    """A writer of a system's tables for the days, which records with them how fresh the source was.

    A run for one tenant records nothing: the rows of the others are as old as they were.
    """
    with writing(context.warehouse_url, tables, context.run_id, context.clock) as writer:
        yield writer
        record_facts(writer, system, days, facts, tenant_id)


def record_facts(writer: Writer, system: str, days: DayRange, facts: ReadFacts, tenant_id: str | None) -> None:
    """Record what a system's run found out about its source; nothing, if it was for one tenant."""
    if tenant_id is None:
        writer.record_freshness(system, days, facts.freshness)


def impossible_events(clock: datetime, end: datetime) -> list[Predicate]:
    """Parts of the events that can only be bad, beside those before `end`: after the run's clock, infinite, or undated."""

    def after_clock(rows: ir.Table) -> ir.BooleanValue:
        when = rows.occurred_at
        return (when > at(when, clock)) & (when >= at(when, end))

    def undated(rows: ir.Table) -> ir.BooleanValue:
        when = rows.occurred_at
        return when.isnull() | (when < at(when, contract.EARLIEST_INSTANT))

    return [after_clock, undated]


def check_left_out(left_out: int, tenants: int, max_bad_share: float, error: InvalidResult) -> None:
    """Raises TooManyBadRows where more tenants had to be left out than the limit on bad rows allows."""
    if left_out >= MIN_BAD_ROWS_TO_FAIL and left_out > max_bad_share * tenants:
        raise TooManyBadRows(
            f"{left_out} of {tenants} tenants have computed rows that break a rule, more than {max_bad_share:.1%};"
            f" nothing was written: {error}"
        ) from error


def tenant_named(reader: SourceReader, name: str) -> str:
    """The tenant_id of the tenant with this id or, failing that, slug. Raises SettingError if there is none."""
    tenants = reader.read(contract.TENANTS)
    assert tenants is not None
    known = tenants.select("tenant_id", "slug").to_pyarrow().to_pylist()
    for row in sorted(known, key=lambda row: row["tenant_id"] != name):
        if name in (row["tenant_id"], row["slug"]):
            return str(row["tenant_id"])
    raise SettingError(f"--tenant {name}: no tenant of the source has this tenant_id or slug")
